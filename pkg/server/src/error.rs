//! Why a server does not start: each variant is one clear line for whoever typed the command.

use std::{io, path::PathBuf};

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
    #[error("{0}{hint}", hint = hint(.0))]
    Listen(kcp_apiserver::BindError),
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

fn hint(error: &kcp_apiserver::BindError) -> &'static str {
    use kcp_apiserver::BindError;
    match error {
        BindError::InUse(_) => "; another server runs there: stop it, or choose another port with --secure-port",
        BindError::Denied(_) => "; ports below 1024 need privileges: choose another with --secure-port",
        BindError::NoAddress(_) => "; see --bind-address",
        BindError::Other(..) => "",
    }
}
