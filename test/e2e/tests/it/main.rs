//! The system from outside: the real binaries, the real `kubectl`, real connections.
//!
//! Each test starts a server of its own, on a free port in a temporary folder. They wait for conditions by watching and
//! name the checklist rows (`W-10`, `LC-02` …) that they prove. Run them with `./test/run`, which builds the binaries.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    reason = "in tests a panic is the report, and nothing is hot"
)]

mod access;
mod isolation;
mod kube_rs;
mod kubectl;
mod learning;
mod lives;
mod resilience;
mod simulated;
mod start;
mod story;
mod support;
mod workloads;
mod workspaces;
