//! Why a server does not start: each variant is one clear line for whoever typed the command.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A flag's value makes no sense.
    #[error("{flag}: {detail}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong and what to give instead.
        detail: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried, such as `cannot write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The port is taken or may not be used.
    #[error("cannot listen on {address}: {source}{}", hint(.source))]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data cannot be opened.
    #[error("cannot open the data in {path}: {source}")]
    Storage {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: kcp_storage::OpenError,
    },
    /// A certificate, key, token file or CA cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// Something that should never fail did.
    #[error("{0}")]
    Internal(String),
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another server runs there: stop it, or choose another port with --secure-port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose another with --secure-port",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: see --bind-address",
        _ => "",
    }
}
