//! The syncer as a program of its own.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    kcp_allocator::configure();
    let options = kcp_syncer::Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(kcp_syncer::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", kcp_client::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
