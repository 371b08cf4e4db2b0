//! `kcp-bench`: the workloads of the performance targets, run against any server that speaks the Kubernetes API.
//!
//! Our own server is started from its binary, a fresh one for each workload; any other is given by a kubeconfig and is
//! measured beside it in the same run. What a peer cannot do is reported as absent, never guessed. Figures are medians
//! of rounds where a workload has rounds; a round in which a request failed is an error, not a figure.
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

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Args, report::Report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
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
    let mut report = Report::new(&args.dir()?)?;
    println!("{}", report.machine());
    for (server, config) in args.servers()? {
        for workload in args.workloads()? {
            eprintln!("{server}: {workload}");
            let outcome = workloads::run(workload, &server, config.as_ref(), args).await;
            report.add(&server, workload, outcome);
        }
    }
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    Ok(report)
}
