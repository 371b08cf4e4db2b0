//! From a client's certificate to a user (AN-01). That the certificate is genuine and in time is rustls' business: it
//! does not let a connection with another one come about.

use kcp_apimachinery::{UserInfo, user};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::secret::sha256;

/// The extra key that names the credential.
pub const EXTRA_CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Why a certificate names no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be parsed.
    #[error("the certificate is malformed: {0}")]
    Malformed(String),
    /// Its subject has no common name.
    #[error("the certificate's subject has no common name, so it names no user")]
    NoCommonName,
}

/// The user that a verified certificate names: its common name, in the groups that its organisations name.
///
/// # Errors
/// When the certificate is malformed or has no common name.
pub fn user_from_certificate(der: &CertificateDer<'_>) -> Result<UserInfo, CertificateError> {
    let malformed = |e: &dyn std::fmt::Display| CertificateError::Malformed(e.to_string());
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| malformed(&e))?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Err(CertificateError::NoCommonName);
    }
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    if !groups.iter().any(|g| g == user::AUTHENTICATED) {
        groups.push(user::AUTHENTICATED.to_owned());
    }
    let id: String = sha256(der).iter().map(|b| format!("{b:02x}")).collect();
    Ok(UserInfo {
        username: name.to_owned(),
        uid: String::new(),
        groups,
        extra: [(EXTRA_CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={id}")])].into(),
    })
}

/// As [`user_from_certificate`], with the second since the epoch until which the certificate is valid.
///
/// # Errors
/// As [`user_from_certificate`].
pub fn peer(der: &CertificateDer<'_>) -> Result<(UserInfo, i64), CertificateError> {
    let user = user_from_certificate(der)?;
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| CertificateError::Malformed(e.to_string()))?;
    Ok((user, certificate.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::CertificateAuthority;

    #[test]
    fn certificates_name_users_an01() {
        let ca = CertificateAuthority::generate("test").unwrap();
        let issued = ca.issue_client("jane", Some("dev"), 1).unwrap();
        let user = user_from_certificate(&issued.chain[0]).unwrap();
        assert_eq!(user.username, "jane");
        assert_eq!(user.groups, ["dev", "system:authenticated"]);
        let id = &user.extra[EXTRA_CREDENTIAL_ID][0];
        assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
        let nobody = ca.issue_client("", Some("dev"), 1).unwrap();
        assert_eq!(user_from_certificate(&nobody.chain[0]), Err(CertificateError::NoCommonName));
        assert!(user_from_certificate(&CertificateDer::from(vec![1, 2])).is_err());
    }
}
