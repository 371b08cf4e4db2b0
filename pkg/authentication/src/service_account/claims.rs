//! What a token says.

use kcp_apimachinery::{UserInfo, user};
use serde_json::{Map, Value, json};

use super::LEGACY_ISSUER;
use crate::{identity, x509::EXTRA_CREDENTIAL_ID};

/// What kind of object a token dies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundKind {
    /// A Secret.
    Secret,
    /// A Pod.
    Pod,
}

/// The object that a token dies with, besides its service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its kind.
    pub kind: BoundKind,
    /// Its name; its namespace is the account's.
    pub name: String,
    /// Its uid; empty in legacy tokens, which name their Secret only.
    pub uid: String,
}

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// For whom it is; empty in legacy tokens, which are for this server.
    pub audiences: Vec<String>,
    /// The logical cluster of the account.
    pub cluster: String,
    /// The account's namespace.
    pub namespace: String,
    /// The account's name.
    pub name: String,
    /// The account's uid.
    pub uid: String,
    /// The token's own id; empty in legacy tokens.
    pub id: String,
    /// When it was issued, in seconds since the epoch.
    pub issued: i64,
    /// From when it is valid.
    pub not_before: i64,
    /// Until when; `None` in legacy tokens, which are valid as long as their Secret exists.
    pub expires: Option<i64>,
    /// What else it dies with.
    pub bound: Option<Bound>,
}

impl Claims {
    /// The JSON that is signed.
    pub(super) fn to_value(&self) -> Value {
        let subject = format!("{}{}:{}", identity::SERVICE_ACCOUNT, self.namespace, self.name);
        let Some(expires) = self.expires else {
            let secret = self.bound.as_ref().map(|b| b.name.as_str()).unwrap_or_default();
            return json!({
                "iss": LEGACY_ISSUER, "sub": subject,
                "kubernetes.io/serviceaccount/namespace": self.namespace,
                "kubernetes.io/serviceaccount/secret.name": secret,
                "kubernetes.io/serviceaccount/service-account.name": self.name,
                "kubernetes.io/serviceaccount/service-account.uid": self.uid,
                "kubernetes.io/serviceaccount/clusterName": self.cluster,
            });
        };
        let mut private = Map::new();
        private.insert("namespace".into(), self.namespace.clone().into());
        private.insert("serviceaccount".into(), json!({"name": self.name, "uid": self.uid}));
        private.insert("clusterName".into(), self.cluster.clone().into());
        if let Some(bound) = &self.bound {
            let kind = if bound.kind == BoundKind::Pod { "pod" } else { "secret" };
            private.insert(kind.into(), json!({"name": bound.name, "uid": bound.uid}));
        }
        json!({
            "aud": self.audiences, "exp": expires, "iat": self.issued, "iss": self.issuer, "jti": self.id,
            "kubernetes.io": private, "nbf": self.not_before, "sub": subject,
        })
    }

    /// Reads the JSON of a token whose signature is good; `None` when something that must be there is missing, or the
    /// subject is not the account.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let text = |v: &Value, field: &str| v.get(field).and_then(Value::as_str).map(str::to_owned);
        let claims = if value.get("iss")? == LEGACY_ISSUER {
            let own = |field: &str| text(value, &format!("kubernetes.io/serviceaccount/{field}"));
            Self {
                issuer: LEGACY_ISSUER.to_owned(),
                cluster: own("clusterName")?,
                namespace: own("namespace")?,
                name: own("service-account.name")?,
                uid: own("service-account.uid")?,
                bound: Some(Bound { kind: BoundKind::Secret, name: own("secret.name")?, uid: String::new() }),
                ..Self::default()
            }
        } else {
            let private = value.get("kubernetes.io")?;
            let account = private.get("serviceaccount")?;
            let audiences = match value.get("aud")? {
                Value::String(one) => vec![one.clone()],
                Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => return None,
            };
            let bound =
                [("pod", BoundKind::Pod), ("secret", BoundKind::Secret)].into_iter().find_map(|(field, kind)| {
                    let object = private.get(field)?;
                    Some(Bound { kind, name: text(object, "name")?, uid: text(object, "uid")? })
                });
            Self {
                issuer: text(value, "iss")?,
                audiences,
                cluster: text(private, "clusterName")?,
                namespace: text(private, "namespace")?,
                name: text(account, "name")?,
                uid: text(account, "uid")?,
                id: text(value, "jti").unwrap_or_default(),
                issued: value.get("iat").and_then(Value::as_i64).unwrap_or(0),
                not_before: value.get("nbf").and_then(Value::as_i64).unwrap_or(0),
                expires: Some(value.get("exp")?.as_i64()?),
                bound,
            }
        };
        let subject = text(value, "sub")?;
        (identity::split_service_account(&subject) == Some((&claims.namespace, &claims.name))).then_some(claims)
    }

    /// The user that the token's holder is.
    pub fn user(&self) -> UserInfo {
        let mut user = identity::service_account(&self.namespace, &self.name, &self.uid);
        if !self.id.is_empty() {
            user.extra.insert(EXTRA_CREDENTIAL_ID.into(), vec![format!("JTI={}", self.id)]);
        }
        if let Some(pod) = self.bound.as_ref().filter(|b| b.kind == BoundKind::Pod) {
            user.extra.insert("authentication.kubernetes.io/pod-name".into(), vec![pod.name.clone()]);
            user.extra.insert("authentication.kubernetes.io/pod-uid".into(), vec![pod.uid.clone()]);
        }
        user.extra.insert(user::EXTRA_CLUSTER.into(), vec![self.cluster.clone()]);
        user
    }
}
