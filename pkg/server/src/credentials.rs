//! The server's own keys, certificates and tokens: read, or made on the first start.

use std::{path::Path, sync::Arc};

use kcp_apimachinery::{UserInfo, user};
use kcp_apiserver::{Tls, TlsOptions};
use kcp_authentication::{
    Secret, ServiceAccountIssuer, TokenAuthenticator,
    admin_token::AdminToken,
    files,
    pki::{self, CertificateAuthority, Identity},
    token_file::TokenFile,
};
use kcp_client::Config;

use crate::{
    error::StartError,
    kubeconfig::Admin,
    options::{Options, Profile},
};

/// Everything that proves something.
pub(crate) struct Credentials {
    pub(crate) tls: Tls,
    /// PEM of the CA that clients in workspaces are to trust.
    pub(crate) ca_pem: String,
    pub(crate) issuer: Arc<ServiceAccountIssuer>,
    pub(crate) tokens: TokenAuthenticator,
}

fn credentials(e: impl std::fmt::Display) -> StartError {
    StartError::Credentials(e.to_string())
}

/// Reads or makes the credentials; `base_url` is where clients reach the server, as `host`.
///
/// # Errors
/// When a file cannot be read or written, has expired, is another's, or is malformed.
pub(crate) fn prepare(options: &Options, host: &str, base_url: &str) -> Result<Credentials, StartError> {
    let dir = &options.root_directory;
    let authority = CertificateAuthority::load_or_create(dir, "ca", "kcp-ca").map_err(credentials)?;
    let (identity, ca_pem) = serving(options, &authority, host)?;
    let mut client_authorities = vec![authority.certificate().clone()];
    if let Some(path) = &options.client_ca_file {
        client_authorities
            .extend(pki::authorities_in(path).map_err(|e| credentials(format!("--client-ca-file: {e}")))?);
    }
    let audiences = [options.service_account_issuer.clone()];
    let issuer = ServiceAccountIssuer::load_or_create(&dir.join("sa.key"), &options.service_account_issuer, &audiences)
        .map_err(credentials)?;
    let mut tokens = admin(options, base_url, Some(ca_pem.as_bytes()).filter(|_| options.tls_cert_file.is_none()))?;
    if let Some(path) = &options.token_auth_file {
        let file = TokenFile::read(path).map_err(|e| credentials(format!("--token-auth-file: {e}")))?;
        for (token, user) in file.entries {
            tokens = tokens.with_static(&token, user);
        }
    }
    let tls = Tls::new(TlsOptions { certificates: identity.chain, key: identity.key, client_authorities })
        .map_err(credentials)?;
    Ok(Credentials { tls, ca_pem, issuer: Arc::new(issuer), tokens })
}

/// The serving certificate, and what vouches for it.
fn serving(options: &Options, authority: &CertificateAuthority, host: &str) -> Result<(Identity, String), StartError> {
    if let (Some(certificate), Some(key)) = (&options.tls_cert_file, &options.tls_private_key_file) {
        let identity = Identity::read(certificate, key).map_err(|e| credentials(format!("--tls-cert-file: {e}")))?;
        let pem = identity.certificate_pem();
        return Ok((identity, pem));
    }
    let mut hosts = vec![host.to_owned(), "kubernetes.default.svc".to_owned()];
    if !options.bind_address.is_unspecified() {
        hosts.push(options.bind_address.to_string());
    }
    let identity = authority.serving_or_create(&options.root_directory, "apiserver", &hosts).map_err(credentials)?;
    Ok((identity, authority.certificate_pem()))
}

/// The admin's token, and the kubeconfig that holds it.
fn admin(options: &Options, base_url: &str, ca_pem: Option<&[u8]>) -> Result<TokenAuthenticator, StartError> {
    let path = options.below_root(&options.kubeconfig_path);
    let store = options.below_root(&options.authentication_admin_token_path);
    let known = known_admin(&path)?;
    let token = AdminToken::load_or_create(&store, &path, known.as_ref().map(|k| &k.token)).map_err(credentials)?;
    if let Some(new) = &token.new {
        let text = Admin { base_url, ca_pem, token: new.expose() }.render(options.profile == Profile::Workspaces);
        write(&path, text.as_bytes())?;
    } else if let Some(known) = known.filter(|k| k.base_url != base_url) {
        // People's own contexts live in the same file: only the address changes.
        write(&path, known.text.replace(&known.base_url, base_url).as_bytes())?;
        tracing::info!(path = %path.display(), from = known.base_url, to = base_url, "the kubeconfig has the new address");
    }
    let user = UserInfo {
        username: "kcp-admin".into(),
        groups: vec![user::MASTERS.into(), user::AUTHENTICATED.into()],
        ..UserInfo::default()
    };
    Ok(TokenAuthenticator::new().with_static_hash(token.hash, user))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    files::write_private(path, bytes).map_err(credentials)
}

struct KnownAdmin {
    text: String,
    token: Secret,
    base_url: String,
}

/// The admin as the kubeconfig of an earlier start has it.
fn known_admin(path: &Path) -> Result<Option<KnownAdmin>, StartError> {
    let Some(bytes) = files::read_optional(path).map_err(credentials)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let config = Config::from_kubeconfig_text(&text, "default", path)
        .map_err(|e| credentials(format!("{}: {e}. Remove the file to have a new one written", path.display())))?;
    let base_url = match config.server.find("/clusters/") {
        Some(at) => config.server[..at].to_owned(),
        None => config.server.clone(),
    };
    let token = Secret::new(config.token.unwrap_or_default());
    Ok(Some(KnownAdmin { text, token, base_url }))
}
