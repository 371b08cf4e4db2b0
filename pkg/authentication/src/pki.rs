//! The server's own keys and certificates: a CA, serving certificates and client certificates, all ECDSA P-256.
//!
//! What is made is kept in a folder and used again at the next start as long as it fits: in time, signed by the CA at hand,
//! good for the hosts asked for. A serving certificate that no longer fits is made anew; a CA never is, because clients
//! hold it: an expired or damaged one stops the start with a clear message.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    files::{self, FileError},
    pem::{self, PemError},
};

const DAY: u64 = 24 * 60 * 60;
const CA_DAYS: u64 = 3650;
const SERVING_DAYS: u64 = 365;
/// A serving certificate with less than this left is made anew at start.
const RENEW_DAYS: u64 = 30;

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not hold what it should.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// A certificate cannot be parsed.
    #[error("the certificate in {origin} is malformed: {detail}")]
    Malformed {
        /// The file.
        origin: String,
        /// What is wrong.
        detail: String,
    },
    /// A certificate is no longer valid.
    #[error("the certificate in {origin} expired at {when}")]
    Expired {
        /// The file.
        origin: String,
        /// When.
        when: String,
    },
    /// A certificate is not valid yet.
    #[error("the certificate in {origin} is not valid before {when}")]
    NotYetValid {
        /// The file.
        origin: String,
        /// When it will be.
        when: String,
    },
    /// The key is not that of the certificate.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// A CA file holds a certificate that is none of a CA.
    #[error("the certificate in {0} is not one of a certificate authority")]
    NotAuthority(String),
    /// A host cannot stand in a certificate.
    #[error("{0:?} is neither a host name nor an IP address")]
    Host(String),
}

/// A certificate with its chain and its private key.
pub struct Identity {
    /// The certificate, then what it was signed by.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a certificate chain and its key, and checks that they belong together and are in time.
    ///
    /// # Errors
    /// When a file cannot be read, is malformed, expired, or the key is another's.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        let identity = Self { chain: pem::certificates_in(certificate)?, key: pem::private_key_in(key)? };
        let origin = certificate.display().to_string();
        check_time(&identity.chain[0], &origin)?;
        identity.check_key(&origin, &key.display().to_string())?;
        Ok(identity)
    }

    fn check_key(&self, certificate: &str, key: &str) -> Result<(), PkiError> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &default_provider()).map(|_| ()).map_err(|e| {
            let (certificate, key) = (certificate.to_owned(), key.to_owned());
            match e {
                rustls::Error::InconsistentKeys(_) => PkiError::KeyMismatch { certificate, key },
                e => PkiError::Malformed { origin: key, detail: e.to_string() },
            }
        })
    }

    /// The chain as PEM.
    pub fn certificate_pem(&self) -> String {
        self.chain.iter().map(|c| pem::encode("CERTIFICATE", c)).collect()
    }

    /// The private key as PEM.
    pub fn key_pem(&self) -> String {
        let label = match self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::encode(label, self.key.secret_der())
    }
}

/// A certificate authority that can sign.
pub struct CertificateAuthority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// Makes a new one, valid for ten years.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate(name: &str) -> Result<Self, PkiError> {
        Ok(Self::with_key(name)?.0)
    }

    fn with_key(name: &str) -> Result<(Self, String), PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let key_pem = key.serialize_pem();
        let mut params = parameters(name, None, CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok((Self { certificate, issuer: Issuer::new(params, key) }, key_pem))
    }

    /// Reads `<stem>.crt` and `<stem>.key` in `dir`, or makes them when both are missing.
    ///
    /// # Errors
    /// When one is missing, malformed or expired, the key is another's, or the files cannot be written.
    pub fn load_or_create(dir: &Path, stem: &str, name: &str) -> Result<Self, PkiError> {
        let (certificate, key) = paths(dir, stem);
        if !certificate.exists() && !key.exists() {
            let (authority, key_pem) = Self::with_key(name)?;
            // The key first: a certificate without its key is worthless, and both are made again without it.
            files::write_private(&key, key_pem.as_bytes())?;
            files::write_private(&certificate, authority.certificate_pem().as_bytes())?;
            return Ok(authority);
        }
        Self::read(&certificate, &key)
    }

    /// Reads a CA's certificate and key.
    ///
    /// # Errors
    /// When a file cannot be read, is malformed, expired or no CA's, or the key is another's.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        let identity = Identity::read(certificate, key)?;
        let der = identity.chain[0].clone();
        let origin = certificate.display().to_string();
        let parsed = parse(&der, &origin)?;
        if !parsed.is_ca() {
            return Err(PkiError::NotAuthority(origin));
        }
        let key = KeyPair::try_from(&identity.key)?;
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { certificate: der, issuer })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA's certificate as PEM: what clients are given to trust.
    pub fn certificate_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.certificate)
    }

    /// A certificate for a server reached as any of `hosts` (names or IP addresses), or as localhost.
    ///
    /// # Errors
    /// When a host is neither a name nor an address.
    pub fn issue_serving(&self, hosts: &[String]) -> Result<Identity, PkiError> {
        let hosts = with_localhost(hosts);
        let mut params = parameters("kcp", None, SERVING_DAYS);
        let names = CertificateParams::new(hosts.clone());
        params.subject_alt_names = names.map_err(|_| PkiError::Host(hosts.join(", ")))?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A certificate that makes its holder the user `name`, in `group` if there is one, for `days`.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn issue_client(&self, name: &str, group: Option<&str>, days: u64) -> Result<Identity, PkiError> {
        let mut params = parameters(name, group, days);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Identity, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|e| PkiError::Malformed { origin: "a new key".to_owned(), detail: e.to_owned() })?;
        Ok(Identity { chain: vec![certificate, self.certificate.clone()], key })
    }

    /// Reads `<stem>.crt` and `<stem>.key` in `dir`, or makes them when they are missing or do not fit any more: another
    /// CA's, nearly expired, or without one of `hosts`.
    ///
    /// # Errors
    /// When files cannot be read or written, or a host is neither a name nor an address.
    pub fn serving_or_create(&self, dir: &Path, stem: &str, hosts: &[String]) -> Result<Identity, PkiError> {
        let (certificate, key) = paths(dir, stem);
        if certificate.exists() && key.exists() {
            match Identity::read(&certificate, &key) {
                Ok(identity) if self.vouches(&identity, hosts) => return Ok(identity),
                Ok(_) => {
                    tracing::info!(path = %certificate.display(), "serving certificate no longer fits; making a new one")
                }
                Err(PkiError::File(e)) => return Err(e.into()),
                Err(error) => tracing::info!(%error, "making a new serving certificate"),
            }
        }
        let identity = self.issue_serving(hosts)?;
        files::write_private(&key, identity.key_pem().as_bytes())?;
        files::write_private(&certificate, identity.certificate_pem().as_bytes())?;
        Ok(identity)
    }

    /// Whether a client that trusts this CA accepts `identity` as each of `hosts`, for a month to come.
    fn vouches(&self, identity: &Identity, hosts: &[String]) -> bool {
        let mut roots = RootCertStore::empty();
        if roots.add(self.certificate.clone()).is_err() {
            return false;
        }
        let provider = Arc::new(default_provider());
        let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
            return false;
        };
        let later = now().checked_add(Duration::from_secs(RENEW_DAYS * DAY));
        let later = UnixTime::since_unix_epoch(later.unwrap_or_default());
        with_localhost(hosts).into_iter().all(|host| {
            let Ok(name) = ServerName::try_from(host) else { return false };
            verifier.verify_server_cert(&identity.chain[0], &identity.chain[1..], &name, &[], later).is_ok()
        })
    }
}

/// Checks that each certificate of a CA bundle is one of a CA and in time.
///
/// # Errors
/// When one is not, or the file cannot be read.
pub fn authorities_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let origin = path.display().to_string();
    let found = pem::certificates_in(path)?;
    for certificate in &found {
        check_time(certificate, &origin)?;
        if !parse(certificate, &origin)?.is_ca() {
            return Err(PkiError::NotAuthority(origin));
        }
    }
    Ok(found)
}

fn paths(dir: &Path, stem: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{stem}.crt")), dir.join(format!("{stem}.key")))
}

fn with_localhost(hosts: &[String]) -> Vec<String> {
    let mut all = hosts.to_vec();
    for own in ["localhost", "127.0.0.1", "::1"] {
        if !all.iter().any(|h| h == own) {
            all.push(own.to_owned());
        }
    }
    all
}

fn parameters(name: &str, group: Option<&str>, days: u64) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    if !name.is_empty() {
        subject.push(DnType::CommonName, name);
    }
    let now = date_time_ymd(1970, 1, 1) + now();
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    // Clocks of clients may be late.
    params.not_before = now - Duration::from_secs(60 * 60);
    params.not_after = now + Duration::from_secs(days * DAY);
    params
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn parse<'a>(der: &'a CertificateDer<'_>, origin: &str) -> Result<X509Certificate<'a>, PkiError> {
    let malformed = |detail: String| PkiError::Malformed { origin: origin.to_owned(), detail };
    X509Certificate::from_der(der).map(|(_, c)| c).map_err(|e| malformed(e.to_string()))
}

fn check_time(der: &CertificateDer<'_>, origin: &str) -> Result<(), PkiError> {
    let certificate = parse(der, origin)?;
    let validity = certificate.validity();
    let now = i64::try_from(now().as_secs()).unwrap_or(i64::MAX);
    let time = |at: i64| kcp_apimachinery::time::Timestamp::from_unix_seconds(at).rfc3339();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now > to {
        return Err(PkiError::Expired { origin: origin.to_owned(), when: time(to) });
    }
    if now < from {
        return Err(PkiError::NotYetValid { origin: origin.to_owned(), when: time(from) });
    }
    Ok(())
}

#[cfg(test)]
#[path = "pki_tests.rs"]
mod tests;
