//! `kcp-bench`: the workloads of the performance targets, run against any server that speaks the Kubernetes API.
//!
//! Our own server is started from its binary, a fresh one for each workload; any other is given by a kubeconfig and is
//! measured beside it in the same run. What a peer cannot do is reported as absent, never guessed. Figures are medians
//! of rounds; a round in which a request failed is an error, not a figure.
//!
//! The load generator shares the machine with the server, so throughput is what both together manage; CPU per operation
//! comes from the server process's own accounting (`/proc/<pid>/stat`) and does not.

mod args;
mod histogram;
mod load;
mod probe;
mod report;
mod target;
mod workloads;

use std::{process::ExitCode, time::Instant};

use clap::Parser as _;

use crate::{args::Args, probe::Probe, report::Report};

fn main() -> ExitCode {
    kcp_allocator::configure();
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&args)) {
        Ok(report) => {
            report.print();
            if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    let (dir, servers) = (args.dir()?, args.servers()?);
    let mut report = Report::new(&dir)?;
    println!("{}", report.machine());
    for round in 1..=args.rounds {
        // Peers take turns, so that a noisy minute hits both.
        for workload in args.workloads() {
            for (server, config) in &servers {
                let pressure = probe::pressure();
                let fsync = probe::fsync(&dir)?.ms(50.0);
                let own = Probe::new(vec![std::process::id()]);
                let (begun, cpu) = (Instant::now(), own.cpu());
                let outcome = workloads::run(workload, server, config.as_ref(), args).await;
                let share = (own.cpu() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
                eprintln!(
                    "round {round}, {server}, {workload}: {:.1} s, fsync p50 {fsync:.2} ms, generator {share:.0} % of a core, CPU pressure before {pressure:.0} %",
                    begun.elapsed().as_secs_f64()
                );
                report.add(server, workload, fsync, outcome);
            }
        }
    }
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    Ok(report)
}
