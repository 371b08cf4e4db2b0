//! `kcp`: thousands of Kubernetes API servers in one process.

mod cli;
mod data;
mod playground;
mod start;
mod story;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    kcp_allocator::configure();
    let command = cli::Cli::parse().command;
    match cli::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", kcp_client::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
