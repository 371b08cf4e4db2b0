//! The process that crash tests kill: writes to a store until somebody stops it.
//!
//! `crash-writer <directory> <notes> <first number of writer 0>,<of writer 1>,…`

use std::{fs::OpenOptions, path::Path, process::ExitCode};

use kcp_storage::Store;
use kcp_test_crash::{WRITERS, options, write};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [directory, notes, numbers] = &args[..] else {
        return fail("usage: crash-writer <directory> <notes> <numbers>");
    };
    let numbers: Vec<u64> = numbers.split(',').filter_map(|number| number.parse().ok()).collect();
    let store = match Store::open(options(Path::new(directory))) {
        Ok(store) => store,
        Err(error) => return fail(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let outcome = runtime.block_on(async {
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let file = OpenOptions::new().append(true).create(true).open(notes).map_err(|error| error.to_string())?;
            let first = numbers.get(writer as usize).copied().unwrap_or(0);
            tasks.push(tokio::spawn(write(store.clone(), writer, first, u64::MAX, file)));
        }
        for task in tasks {
            task.await.map_err(|error| error.to_string())?.map_err(|error| error.0)?;
        }
        Err::<(), String>(store.failed().map_or_else(|| "closed".to_owned(), |error| error.to_string()))
    });
    fail(&outcome.err().unwrap_or_default())
}

fn fail(reason: &str) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "a test's helper")]
    {
        eprintln!("crash-writer: {reason}");
    }
    ExitCode::FAILURE
}
