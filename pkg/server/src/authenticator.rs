//! Who people are: certificates, static tokens, the admin's token, service accounts.

use std::sync::Arc;

use kcp_apimachinery::{
    GroupResource, UserInfo, object,
    time::{Timestamp, parse_rfc3339},
};
use kcp_apiserver::{Authenticator, Peer};
use kcp_authentication::{LiveObject, LiveSecret, Secret, ServiceAccountLookup, TokenAuthenticator, x509};
use kcp_logicalcluster::{ClusterName, ClusterRef};
use kcp_storage::{Key, Store};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

/// The server's authenticator.
pub(crate) struct ServerAuthenticator {
    pub(crate) tokens: Arc<TokenAuthenticator>,
}

impl Authenticator for ServerAuthenticator {
    fn certificate(&self, certificate: &CertificateDer<'_>) -> Option<Peer> {
        match x509::peer(certificate) {
            Ok((user, not_after)) => Some(Peer { user: Arc::new(user), not_after }),
            Err(error) => {
                tracing::debug!(%error, "a client certificate names no user");
                None
            }
        }
    }

    fn token(&self, token: &str, _cluster: Option<&ClusterRef>) -> Option<Arc<UserInfo>> {
        match self.tokens.authenticate(token, &[], Timestamp::now()) {
            Ok(known) => Some(known.user),
            Err(error) => {
                tracing::debug!(%error, "a bearer token was refused");
                None
            }
        }
    }
}

/// Checks tokens against the objects in the store.
pub(crate) struct StoreLookup(pub(crate) Store);

impl StoreLookup {
    fn read(&self, cluster: &ClusterName, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = Key::object(&GroupResource::new("", resource), cluster, namespace, name).ok()?;
        serde_json::from_slice(&self.0.get(&key)?.value).ok()
    }
}

fn live(object: &Value) -> LiveObject {
    LiveObject {
        uid: object::uid(object).to_owned(),
        deleted: parse_rfc3339(object::meta_str(object, "deletionTimestamp")),
    }
}

impl ServiceAccountLookup for StoreLookup {
    fn service_account(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<LiveObject> {
        self.read(cluster, "serviceaccounts", namespace, name).as_ref().map(live)
    }

    fn secret(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<LiveSecret> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let secret = self.read(cluster, "secrets", namespace, name)?;
        let token = secret.pointer("/data/token").and_then(Value::as_str).and_then(|t| STANDARD.decode(t).ok());
        let token = token.and_then(|t| String::from_utf8(t).ok()).map(Secret::new);
        Some(LiveSecret { object: live(&secret), token })
    }

    fn pod(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<LiveObject> {
        self.read(cluster, "pods", namespace, name).as_ref().map(live)
    }
}
