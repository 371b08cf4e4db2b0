//! Home workspaces: `GET` of the Workspace `~` in `root` answers with the workspace of whoever asks, and makes it first
//! when there is none.
//!
//! Homes are ordinary workspaces of type `home` in the workspace `root:users`, which comes into being with the first of
//! them. A home is found by its name, which follows from the user's; that it really is the user's is read from its owner.

use std::sync::Arc;

use bytes::Bytes;
use kcp_apimachinery::{Status, UserInfo, status::reason, user};
use kcp_apis::{
    core::phase,
    tenancy::{self, WORKSPACE},
};
use kcp_logicalcluster::{ClusterName, ClusterPath};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    registry::Registry,
    request::{Body, Request, WriteOptions},
};

/// How many hex digits of a hash tell apart users whose names cannot be names of workspaces.
const HASH: usize = 10;

/// Whether a request is for the home of whoever asks.
pub(crate) fn is_meant(request: &Request) -> bool {
    request.name == tenancy::HOME_ALIAS
        && request.info.storage.group_resource == WORKSPACE.group_resource()
        && request.subresource.is_empty()
        && request.cluster().is_ok_and(|c| c.as_str() == ClusterName::ROOT)
}

/// The name of a user's home. No two users have the same, but for collisions of hashes: a name that could be taken for
/// a hashed one is hashed too.
fn name_of(username: &str) -> String {
    let hashed = |n: &str| {
        n.rsplit_once('-').is_some_and(|(_, end)| end.len() == HASH && end.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let valid = ClusterPath::root().join(username).is_ok() && username.len() <= 48;
    if valid && !hashed(username) && !tenancy::RESERVED_NAMES.contains(&username) {
        return username.to_owned();
    }
    let plain: String = username
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(32)
        .collect();
    let digest = Sha256::digest(username);
    let hash: String = digest.iter().take(HASH / 2).map(|b| format!("{b:02x}")).collect();
    format!("{}-{hash}", plain.trim_matches('-')).trim_start_matches('-').to_owned()
}

/// The Workspace that is the home of the request's user.
pub(crate) async fn get(registry: &Registry, request: &Request) -> Result<Bytes, Status> {
    let user = &request.user;
    let refuse = |detail: &str| Status::forbidden(&request.info.group_resource(), tenancy::HOME_ALIAS, detail);
    if user.service_account_cluster().is_some() || !user.in_group(user::AUTHENTICATED) {
        return Err(refuse("only users have home workspaces"));
    }
    let homes = homes(registry, request).await?;
    let name = name_of(&user.username);
    if registry.tenancy().child(&homes, &name).is_none() {
        // The rights to make it are the server's; whose it is is the user's.
        make(registry, request, &homes, &name, tenancy::types::HOME, Arc::clone(user)).await?;
    }
    let child = registry.tenancy().child(&homes, &name);
    if !child.is_some_and(|c| registry.tenancy().is_owner(&c, user)) {
        return Err(refuse("the workspace of that name belongs to somebody else"));
    }
    let own = Request::new(homes, Arc::clone(&request.info), Arc::clone(user)).named(&name);
    let found = registry.read_one(&own)?;
    let object: Value = serde_json::from_slice(&found).map_err(Status::internal)?;
    let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    if phase != phase::READY {
        let text = format!("the home workspace is not ready: its phase is {phase:?}");
        return Err(Status::failure(429, reason::TOO_MANY_REQUESTS, text).with_retry_after(1));
    }
    Ok(found)
}

/// The logical cluster of the workspace that holds the homes.
async fn homes(registry: &Registry, request: &Request) -> Result<ClusterName, Status> {
    let root = ClusterName::root();
    if let Some(found) = registry.tenancy().child(&root, tenancy::HOMES) {
        return Ok(found);
    }
    let server = UserInfo {
        username: "system:kcp-bootstrap".into(),
        groups: vec![user::MASTERS.into(), user::AUTHENTICATED.into()],
        ..UserInfo::default()
    };
    make(registry, request, &root, tenancy::HOMES, tenancy::types::UNIVERSAL, Arc::new(server)).await?;
    let made = registry.tenancy().child(&root, tenancy::HOMES);
    made.ok_or_else(|| Status::internal("the workspace of the home workspaces cannot be found"))
}

/// Makes a Workspace; that somebody else was faster is fine.
async fn make(
    registry: &Registry,
    request: &Request,
    cluster: &ClusterName,
    name: &str,
    kind: &str,
    user: Arc<UserInfo>,
) -> Result<(), Status> {
    let object = json!({
        "apiVersion": WORKSPACE.api_version(), "kind": WORKSPACE.kind,
        "metadata": {"name": name}, "spec": {"type": tenancy::root_type(kind)},
    });
    let own = Request::new(cluster.clone(), Arc::clone(&request.info), user);
    let options = WriteOptions { field_manager: "kcp-homes".into(), ..WriteOptions::default() };
    match registry.create(&own, &Body::from(&object), &options).await {
        Err(status) if status.code != 409 => Err(status),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_has_a_name_of_his_own() {
        assert_eq!(name_of("alice"), "alice");
        let users = [
            "alice",
            "Alice",
            "ALICE",
            "alice@x",
            "alice-x",
            "root",
            "system",
            "system:apiserver",
            "a-0123456789",
            "-",
            "ä",
            "",
            &name_of("alice@x"),
            &"a".repeat(300),
        ]
        .map(str::to_owned);
        let names = users.clone().map(|user| name_of(&user));
        for (user, name) in users.iter().zip(&names) {
            assert!(ClusterPath::root().join(name).is_ok(), "{user}: {name}");
            assert!(!tenancy::RESERVED_NAMES.contains(&name.as_str()), "{user}");
        }
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), users.len(), "{names:?}");
    }
}
