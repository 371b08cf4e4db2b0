//! Fills Secrets of type `kubernetes.io/service-account-token`, and deletes them when their service account is gone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kcp_apimachinery::{GroupResource, GroupVersionResource, Status, object};
use kcp_client::{DeleteParams, Error, Patch, WriteParams, gone_or_changed_is_fine};
use kcp_controller::{Action, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Key;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::{CONCURRENCY, context::Context, meta::Seen};

const TYPE: &str = "kubernetes.io/service-account-token";
const NAME_ANNOTATION: &str = "kubernetes.io/service-account.name";
const UID_ANNOTATION: &str = "kubernetes.io/service-account.uid";

/// What is to be done with such a Secret.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    Delete,
    /// The merge patch that completes it, and whether a token is to be put into it.
    Fill(Value, bool),
}

/// Decides by the account that is there under the Secret's name for it, if any.
fn plan(secret: &Value, account_uid: Option<&str>, root_ca: &str) -> Plan {
    let bound = object::annotation(secret, UID_ANNOTATION).unwrap_or_default();
    let uid = match account_uid {
        // An account may well be made after its Secret, above all `default`, which every namespace gets.
        None if bound.is_empty() => return Plan::Nothing,
        Some(uid) if bound.is_empty() || bound == uid => uid,
        _ => return Plan::Delete,
    };
    if secret["immutable"] == true {
        return Plan::Nothing;
    }
    let has = |key: &str| secret["data"].get(key).and_then(Value::as_str).unwrap_or_default();
    let mut data = Map::new();
    let ca = BASE64_STANDARD.encode(root_ca);
    if has("ca.crt") != ca {
        data.insert("ca.crt".into(), ca.into());
    }
    if has("namespace").is_empty() {
        data.insert("namespace".into(), BASE64_STANDARD.encode(object::namespace(secret)).into());
    }
    let lacks_token = has("token").is_empty();
    if data.is_empty() && !lacks_token && bound == uid {
        return Plan::Nothing;
    }
    let metadata = json!({
        "uid": object::uid(secret), "resourceVersion": object::resource_version(secret),
        "annotations": {UID_ANNOTATION: uid},
    });
    Plan::Fill(json!({"metadata": metadata, "data": data}), lacks_token)
}

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<Key>,
    /// The Secrets of that type, by logical cluster and namespace: an account that comes or goes concerns those.
    known: Mutex<HashMap<(String, String), BTreeSet<Key>>>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default(), known: Mutex::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        let of = || (seen.parts.cluster.to_owned(), seen.parts.namespace.to_owned());
        if seen.is("", "serviceaccounts") {
            if let Some(secrets) = self.known.lock().get(&of()) {
                self.queue.add_all(secrets.iter().cloned());
            }
        } else if seen.is("", "secrets") && memchr::memmem::find(seen.value, TYPE.as_bytes()).is_some() {
            let mut known = self.known.lock();
            if !seen.deleted {
                known.entry(of()).or_default().insert(seen.key.clone());
                self.queue.add(seen.key.clone());
            } else if let Some(secrets) = known.get_mut(&of()) {
                secrets.remove(seen.key);
                if secrets.is_empty() {
                    known.remove(&of());
                }
            }
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("tokens-controller", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    fn read(&self, key: &Key) -> Option<Value> {
        serde_json::from_slice(&self.context.store.get(key)?.value).ok()
    }

    async fn reconcile(&self, key: Key) -> Result<Action, Error> {
        let parts = key.parts();
        let (Some(secret), Ok(cluster)) = (self.read(&key), ClusterName::new(parts.cluster)) else {
            return Ok(Action::Done);
        };
        let account = object::annotation(&secret, NAME_ANNOTATION).unwrap_or_default();
        if secret["type"] != TYPE || object::is_deleting(&secret) || account.is_empty() {
            return Ok(Action::Done);
        }
        let accounts = GroupResource::new("", "serviceaccounts");
        let found = Key::object(&accounts, &cluster, parts.namespace, account).ok().and_then(|key| self.read(&key));
        let (client, secrets) = (self.context.client(&cluster), GroupVersionResource::new("", "v1", "secrets"));
        let written = match plan(&secret, found.as_ref().map(object::uid), &self.context.root_ca) {
            Plan::Nothing => return Ok(Action::Done),
            Plan::Delete => {
                let params = DeleteParams {
                    uid: Some(object::uid(&secret).to_owned()),
                    resource_version: Some(object::resource_version(&secret).to_owned()),
                    ..DeleteParams::default()
                };
                client.delete(&secrets, parts.namespace, parts.name, &params).await
            }
            Plan::Fill(mut patch, lacks_token) => {
                if lacks_token {
                    let uid = found.as_ref().map(object::uid).unwrap_or_default();
                    let minted = self.context.tokens.mint(&cluster, parts.namespace, account, uid, parts.name);
                    let token = minted.ok_or_else(|| Status::internal("the token could not be signed"))?;
                    patch["data"]["token"] = BASE64_STANDARD.encode(token).into();
                }
                let params = WriteParams::manager("tokens-controller");
                client.patch(&secrets, parts.namespace, parts.name, "", &Patch::Merge(&patch), &params).await
            }
        };
        gone_or_changed_is_fine(written)?;
        Ok(Action::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bound: &str, data: Value) -> Value {
        let mut secret = json!({"type": TYPE, "data": data, "metadata": {
            "name": "s", "namespace": "n", "uid": "su", "resourceVersion": "7",
        }});
        if !bound.is_empty() {
            object::set_annotation(&mut secret, UID_ANNOTATION, bound);
        }
        secret
    }

    #[test]
    fn plans() {
        let full = || json!({"token": "dA==", "ca.crt": BASE64_STANDARD.encode("CA"), "namespace": "bg=="});
        let fill = |data: Value, token| {
            let metadata = json!({"uid": "su", "resourceVersion": "7", "annotations": {UID_ANNOTATION: "u1"}});
            Plan::Fill(json!({"metadata": metadata, "data": data}), token)
        };
        let mut locked = secret("u1", json!({}));
        locked["immutable"] = true.into();
        for (what, secret, account, want) in [
            ("new", secret("", Value::Null), Some("u1"), fill(json!({"ca.crt": "Q0E=", "namespace": "bg=="}), true)),
            ("complete", secret("u1", full()), Some("u1"), Plan::Nothing),
            ("not bound yet", secret("", full()), Some("u1"), fill(json!({}), false)),
            (
                "its token was revoked",
                secret("u1", json!({"token": "", "ca.crt": "Q0E=", "namespace": "bg=="})),
                Some("u1"),
                fill(json!({}), true),
            ),
            (
                "of another CA",
                secret("u1", json!({"token": "dA==", "ca.crt": "b2xk", "namespace": "eA=="})),
                Some("u1"),
                fill(json!({"ca.crt": "Q0E="}), false),
            ),
            ("cannot be changed", locked.clone(), Some("u1"), Plan::Nothing),
            ("cannot be changed, of a gone account", locked, None, Plan::Delete),
            ("of a gone account", secret("u1", full()), None, Plan::Delete),
            ("of an earlier account", secret("u0", full()), Some("u1"), Plan::Delete),
            ("before its account", secret("", Value::Null), None, Plan::Nothing),
        ] {
            assert_eq!(plan(&secret, account, "CA"), want, "{what}");
        }
    }
}
