//! The server's side of TLS.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::CertificateDer,
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::pki::Identity;

/// Why a server cannot offer TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or key cannot be used.
    #[error("cannot use the serving certificate: {0}")]
    Certificate(rustls::Error),
    /// The client CAs cannot be used.
    #[error("cannot use the client certificate authorities: {0}")]
    ClientAuthorities(String),
}

/// A TLS configuration that offers HTTP/2 and HTTP/1.1 (T-09) with TLS 1.2 and 1.3. A client may show a certificate; one
/// that `client_authorities` did not sign, or that has expired, ends the handshake (AN-01).
///
/// # Errors
/// When the certificate, its key or the authorities cannot be used.
pub fn server_config(
    identity: Identity,
    client_authorities: &[CertificateDer<'static>],
) -> Result<ServerConfig, TlsError> {
    let verifier = client_verifier(client_authorities)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn client_verifier(authorities: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if authorities.is_empty() {
        return Ok(Arc::new(NoClientAuth));
    }
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|e| TlsError::ClientAuthorities(e.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|e| TlsError::ClientAuthorities(e.to_string()))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::pki::CertificateAuthority;

    #[test]
    fn client_certificates_are_optional_and_checked_an01() {
        let (ca, foreign) =
            (CertificateAuthority::generate("a").unwrap(), CertificateAuthority::generate("b").unwrap());
        let config = server_config(ca.issue_serving(&[]).unwrap(), &[ca.certificate().clone()]).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        let verifier = client_verifier(&[ca.certificate().clone()]).unwrap();
        assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
        let good = ca.issue_client("jane", None, 1).unwrap();
        let bad = foreign.issue_client("jane", Some("system:masters"), 1).unwrap();
        let serving = ca.issue_serving(&[]).unwrap();
        let accepts =
            |chain: &[CertificateDer<'_>]| verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).is_ok();
        assert!(accepts(&good.chain));
        assert!(!accepts(&bad.chain), "another CA's");
        assert!(!accepts(&serving.chain), "not made for clients");
        assert!(!client_verifier(&[]).unwrap().offer_client_auth());
    }
}
