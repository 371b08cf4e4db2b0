//! Processes and their groups.

use std::fs;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

fn pid(id: u32) -> anyhow::Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).with_context(|| format!("{id} is no process id"))
}

/// Sends a signal to one process.
///
/// # Errors
/// When there is no such process.
pub fn signal(id: u32, signal: Signal) -> anyhow::Result<()> {
    kill_process(pid(id)?, signal).with_context(|| format!("cannot signal process {id}"))
}

/// Sends a signal to a process and everything that it started.
pub(crate) fn signal_group(id: u32, signal: Signal) -> anyhow::Result<()> {
    kill_process_group(pid(id)?, signal).with_context(|| format!("cannot signal the process group {id}"))
}

/// Whether a process exists.
pub fn is_alive(id: u32) -> bool {
    pid(id).is_ok_and(|p| test_kill_process(p).is_ok())
}

/// The processes that `parent` has started and that have not been waited for.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_child = |id: &u32| {
        // "pid (name) state ppid …"; the name may hold blanks and brackets.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
        let (state, of) = (fields.next(), fields.next().and_then(|p| p.parse::<u32>().ok()));
        of == Some(parent) && state != Some("Z")
    };
    let ids = entries.flatten().filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()));
    ids.filter(is_child).collect()
}
