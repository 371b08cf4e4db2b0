//! The whole server: options, the phases of a start, and a clean end.
//!
//! Phases: listen (so that a taken port is found before anything is written), credentials, storage, registry and gate,
//! bootstrap, serve, controllers, ready. Everything that runs is ended by one token and waited for.

mod address;
mod admission;
mod authenticator;
mod authority;
mod authorizer;
mod bootstrap;
mod credentials;
mod error;
mod imports;
mod kinds;
mod kubeconfig;
mod logging;
mod options;
pub mod simulated;
mod start;
mod transport;
mod tree;

pub use error::StartError;
pub use logging::init_logging;
pub use options::{LogFormat, LogOptions, Options, Profile};
pub use start::{Running, data_directory, start};
