//! PEM: the text form of certificates and keys. The only module that uses `rustls_pemfile`, which is no longer
//! developed; everything else sees DER.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{self, FileError};

/// Why a PEM text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A section is malformed.
    #[error("{origin} is not valid PEM: {detail}")]
    Malformed {
        /// The file or what else the text is.
        origin: String,
        /// What is wrong.
        detail: String,
    },
    /// There is no such section.
    #[error("{origin} holds no {what}")]
    Missing {
        /// The file or what else the text is.
        origin: String,
        /// `certificate` or `private key`.
        what: &'static str,
    },
}

/// All certificates in `text`, in order; at least one. `origin` is what the text is, for errors.
///
/// # Errors
/// When the text is malformed or has no certificate.
pub fn certificates(text: &[u8], origin: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = rustls_pemfile::certs(&mut &*text).collect();
    let found = found.map_err(|e| malformed(origin, &e))?;
    if found.is_empty() {
        return Err(PemError::Missing { origin: origin.to_owned(), what: "certificate" });
    }
    Ok(found)
}

/// The first private key in `text` (PKCS#8, PKCS#1 or SEC1).
///
/// # Errors
/// When the text is malformed or has no private key.
pub fn private_key(text: &[u8], origin: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    let found = rustls_pemfile::private_key(&mut &*text).map_err(|e| malformed(origin, &e))?;
    found.ok_or_else(|| PemError::Missing { origin: origin.to_owned(), what: "private key" })
}

/// The certificates in a file.
///
/// # Errors
/// As [`certificates`], and when the file cannot be read.
pub fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    certificates(&files::read(path)?, &path.display().to_string())
}

/// The private key in a file.
///
/// # Errors
/// As [`private_key`], and when the file cannot be read.
pub fn private_key_in(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    private_key(&files::read(path)?, &path.display().to_string())
}

/// Writes one PEM section.
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

fn malformed(origin: &str, error: &std::io::Error) -> PemError {
    PemError::Malformed { origin: origin.to_owned(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_and_written() {
        let der = vec![7u8; 100];
        let text = encode("CERTIFICATE", &der) + &encode("PRIVATE KEY", &der);
        assert_eq!(certificates(text.as_bytes(), "x").unwrap()[0].as_ref(), der);
        assert_eq!(private_key(text.as_bytes(), "x").unwrap().secret_der(), der);
        assert_eq!(certificates(b"nothing", "file x").unwrap_err().to_string(), "file x holds no certificate");
        assert_eq!(private_key(b"", "file x").unwrap_err().to_string(), "file x holds no private key");
        let broken = b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
        assert!(certificates(broken, "file x").unwrap_err().to_string().starts_with("file x is not valid PEM"));
    }
}
