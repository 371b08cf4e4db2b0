//! One client for the Kubernetes API, over the wire or in-process with the same meaning.
//!
//! A [`Client`] is a [`Transport`] plus a path prefix such as `/clusters/root:org`; [`Client::at`] gives the same
//! connection another prefix, so one process talks to many logical clusters over one HTTP/2 connection. Objects are JSON
//! trees. Failures that the server names arrive as [`Status`](kcp_apimachinery::Status) in [`Error::Status`].
//!
//! Deliberately absent: caches (see `kcp-controller`), typed objects, retries of writes.

mod client;
mod config;
mod error;
mod http;
mod params;
mod tls;
mod transport;
mod watch;

pub use client::{Client, List};
pub use config::{Config, ConfigError};
pub use error::{Error, chain, gone_is_fine, gone_or_changed_is_fine};
pub use http::HttpTransport;
pub use params::{DeleteParams, ListParams, Patch, WatchParams, WriteParams};
pub use transport::{BodyStream, BoxFuture, Transport, TransportError};
pub use watch::{WatchEvent, WatchStream};
