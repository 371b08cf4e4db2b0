//! A server with one logical cluster in memory, for trying clients against the HTTP side alone.
//!
//! `cargo run -p kcp-apiserver --example serve -- 6443 admin-token` serves `https://127.0.0.1:6443`, where the token may
//! do everything, and writes nothing to disk. With `physical` as third argument it has the kinds of a physical cluster.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::{net::SocketAddr, sync::Arc};

use kcp_apimachinery::{Status, UserInfo};
use kcp_apiserver::{
    ApiServer, Authenticator, Authorizer, Cluster, ClusterResolver, ConnectionOptions, Listener, Options, Parts, Peer,
    Resolved, Tls, TlsOptions,
};
use kcp_authentication::{pki::CertificateAuthority, x509};
use kcp_authorization::Attributes;
use kcp_logicalcluster::{ClusterName, ClusterRef};
use kcp_registry::{
    Config, Registry, Verdict,
    builtin::{self, Profile},
};
use kcp_storage::Store;
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

struct Simple {
    token: String,
}

impl Authenticator for Simple {
    fn certificate(&self, certificate: &CertificateDer<'_>) -> Option<Peer> {
        x509::user_from_certificate(certificate).ok().map(|user| Peer { user: Arc::new(user), not_after: i64::MAX })
    }
    fn token(&self, token: &str, _cluster: Option<&ClusterRef>) -> Option<Arc<UserInfo>> {
        (token == self.token).then(|| {
            Arc::new(UserInfo {
                username: "admin".into(),
                groups: vec!["system:masters".into(), "system:authenticated".into()],
                ..UserInfo::default()
            })
        })
    }
}

impl Authorizer for Simple {
    fn authorize(&self, _cluster: &Cluster, attributes: &Attributes<'_>) -> Verdict {
        Verdict { allowed: kcp_authorization::is_superuser(attributes.user), ..Verdict::default() }
    }
}

impl ClusterResolver for Simple {
    fn resolve(&self, reference: &ClusterRef) -> Result<Option<Resolved>, Status> {
        Ok(Some(match reference {
            ClusterRef::System(name) => Resolved::named(name.clone()),
            _ => Resolved::named(ClusterName::root()),
        }))
    }
    fn default_cluster(&self) -> Resolved {
        Resolved::named(ClusterName::root())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().as_deref().unwrap_or("6443").parse()?;
    let token = arguments.next().unwrap_or_else(|| "admin-token".into());
    let profile = if arguments.next().as_deref() == Some("physical") { Profile::Physical } else { Profile::Workspace };

    let authority = CertificateAuthority::generate("example")?;
    let identity = authority.issue_serving(&["127.0.0.1".into(), "localhost".into()])?;
    let tls = Tls::new(TlsOptions {
        certificates: identity.chain,
        key: identity.key,
        client_authorities: vec![authority.certificate().clone()],
    })?;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let address = listener.address();
    let registry = Registry::new(Config {
        store: Store::open(kcp_storage::Options::memory())?,
        base: builtin::base_table(profile, &kcp_registry::strategies()),
        external_url: format!("https://{address}"),
        ca_pem: authority.certificate_pem(),
        admission: kcp_admission::Chain::default(),
    });
    let wiring = Arc::new(Simple { token });
    let api = ApiServer::new(Parts {
        registry,
        authenticator: Arc::clone(&wiring) as Arc<dyn Authenticator>,
        authorizer: Arc::clone(&wiring) as Arc<dyn Authorizer>,
        resolver: wiring,
        issuer: None,
        options: Options { external_address: address.to_string(), ..Options::default() },
    });
    println!("https://{address}");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    listener.serve(tls, api, ConnectionOptions::default(), shutdown).await;
    Ok(())
}
