//! The plug-ins of kubectl: `kubectl ws`, `kubectl kcp`, `kubectl create workspace`.
//!
//! One program answers by the name it is called by ([`run`]). A command reads the kubeconfig, talks to the server it
//! names, says what it did on standard output, and changes the kubeconfig only after everything else has succeeded.
//! Data goes to standard output, everything else to standard error.

mod args;
mod complete;
pub mod kubeconfig;
mod run;
mod session;
mod table;
mod workload;
pub mod workspace_path;
mod ws;

pub use run::run;
