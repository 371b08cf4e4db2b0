//! The TLS side of a [`Config`].

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};

use crate::config::{Config, ConfigError};

/// Accepts any certificate: what `insecure-skip-tls-verify` asks for. Signatures are still checked.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn invalid(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> ConfigError {
    move |e| ConfigError::Invalid { what, detail: e.to_string() }
}

/// The authorities to trust: those that are given, and only when none are, those of the system.
fn roots(
    ca: Option<&[u8]>,
    system: impl FnOnce() -> Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for cert in CertificateDer::pem_slice_iter(pem) {
                let cert = cert.map_err(|e| invalid("certificate authority")(&e))?;
                roots.add(cert).map_err(|e| invalid("certificate authority")(&e))?;
            }
        }
        None => {
            // Systems carry old certificates that are not well-formed: they are no reason not to trust the others.
            let (_, ignored) = roots.add_parsable_certificates(system());
            if ignored > 0 {
                tracing::debug!(ignored, "some of the system's certificate authorities cannot be read");
            }
        }
    }
    Ok(roots)
}

fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "reading the system's certificate authorities failed");
    }
    found.certs
}

pub(crate) fn client_config(config: &Config) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| invalid("TLS")(&e))?;
    let builder = if config.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
    } else {
        builder.with_root_certificates(roots(config.ca.as_deref(), system_roots)?)
    };
    let mut tls = match &config.client_cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = CertificateDer::pem_slice_iter(cert)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| invalid("client certificate")(&e))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| invalid("client key")(&e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| invalid("client certificate")(&e))?
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBcjCCARegAwIBAgIUeHUTqn1T8EG0Vc0DjXO0XBZ9S3QwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTcxNzEzWhgPMjEyNjEwMjgxNzE3MTNa
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhWuhSNPd
WC9vrRXSCr2rOjjdc1jDRILqM0IGPtphygnjCUWM/w/XXLa2nkiS3P1g5V1izD1X
ARdeET3XsbJZDaNTMFEwHQYDVR0OBBYEFLNZ8FYH/a/jt8OSqBX3f2CkUhFRMB8G
A1UdIwQYMBaAFLNZ8FYH/a/jt8OSqBX3f2CkUhFRMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSQAwRgIhAN5wvO5e1ziXpQew9Q2QA0tGd/YFgmurQhZSnnaV
5eEHAiEA9B1uT4qOQWAT12RTc4Dyw+w8vfx8xnYE2RmeuoZEYkk=
-----END CERTIFICATE-----
";

    #[test]
    fn the_system_is_trusted_only_where_nothing_is_given() {
        let system = || CertificateDer::pem_slice_iter(CA.as_bytes()).flatten().collect::<Vec<_>>();
        let broken = || vec![CertificateDer::from(vec![0])];
        assert_eq!(roots(None, system).unwrap().len(), 1);
        assert_eq!(roots(None, broken).unwrap().len(), 0);
        assert_eq!(roots(Some(CA.as_bytes()), broken).unwrap().len(), 1);
        assert_eq!(roots(Some(b""), system).unwrap().len(), 0, "what was given has nothing to trust in it");
        let malformed = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert!(roots(Some(malformed), system).is_err());
    }
}
