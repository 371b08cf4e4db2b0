//! What the end-to-end tests and the benches share: the real programs as processes, `kubectl` with a home of its own,
//! and waiting for conditions by watching.
//!
//! Nothing here reaches into the server: a [`Kcp`] is the binary `kcp`, started on a free port in a temporary folder, and
//! a [`Cluster`] is a simulated physical cluster in a process of its own, so that both can be killed, frozen and started
//! again. Dropping either ends its processes.
//!
//! The binaries are looked for beside the test's own: `target/<profile>/`. `KCP_BIN_DIR` names another folder.

mod binaries;
mod cluster;
mod kubectl;
mod process;
mod server;
mod wait;

pub use binaries::{binary, look_in, plugins};
pub use cluster::Cluster;
pub use kubectl::{Kubectl, Output, available, other_kubectl};
pub use process::{children, is_alive, signal};
pub use rustix::process::Signal;
pub use server::{Exit, Kcp};
pub use wait::{PATIENCE, gone, poll, until};
