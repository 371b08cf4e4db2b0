//! TLS: the server's certificate, and client certificates that are asked for but not demanded (AN-01).
//!
//! A client certificate that does not verify does not break the handshake: the connection is without that identity
//! and every request on it that shows nothing better is answered 401, which tells a person more than a TLS alert.
//! The handshake itself still proves that the client holds the certificate's key.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

/// What TLS needs.
#[derive(Debug)]
pub struct TlsOptions {
    /// The serving certificate, its chain after it.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Who signs client certificates; empty when none are accepted.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key does not fit the certificate, or either is unusable.
    #[error("the serving certificate and its key cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
    /// A client authority is not a CA certificate.
    #[error("a client certificate authority cannot be used: {0}")]
    Authority(#[source] rustls::Error),
    /// The verifier for client certificates could not be built.
    #[error("client certificates cannot be verified: {0}")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// The server's side of TLS, ready for connections.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Tls {
    /// Checks the options and prepares.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = if options.client_authorities.is_empty() {
            None
        } else {
            let mut roots = RootCertStore::empty();
            for authority in options.client_authorities {
                roots.add(authority).map_err(TlsError::Authority)?;
            }
            let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(TlsError::Verifier)?;
            Some(built)
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Certificate)?;
        let builder = match &verifier {
            Some(inner) => builder.with_client_cert_verifier(Arc::new(Deferred(Arc::clone(inner)))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(options.certificates, options.key).map_err(TlsError::Certificate)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// Whether the chain that the client showed leads to one of the client authorities, now.
    pub(crate) fn verifies(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (&self.verifier, chain) {
            (Some(verifier), [end, between @ ..]) => verifier.verify_client_cert(end, between, UnixTime::now()).is_ok(),
            _ => false,
        }
    }
}

/// The crypto provider of this process, for those who set up clients.
pub fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Lets every client certificate pass the handshake, once its key was proven; [`Tls::verifies`] decides afterwards.
#[derive(Debug)]
struct Deferred(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Deferred {
    fn offer_client_auth(&self) -> bool {
        true
    }
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        _end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Path building is bounded: nobody needs longer chains.
        if between.len() > 8 {
            return Err(rustls::Error::General("the client's certificate chain is too long".into()));
        }
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
