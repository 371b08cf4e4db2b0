//! Names that mean something else in the physical cluster, and back.
//!
//! Kubernetes itself puts a `default` service account and a `kube-root-ca.crt` into every namespace, so those of the
//! workspace go by other names there. Each name maps to one name and back, so two objects never collide.

use kcp_apimachinery::GroupResource;

const ACCOUNT: (&str, &str) = ("default", "kcp-default");
const CA_MAP: (&str, &str) = ("kube-root-ca.crt", "kcp-root-ca.crt");
/// Before the name of a secret that holds a service account's token: the physical cluster has its own of that kind.
const TOKEN_PREFIX: &str = "kcp-";
/// What the names of such secrets contain.
const TOKEN_INFIX: &str = "-token-";

fn pair(resource: &GroupResource) -> Option<(&'static str, &'static str)> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "serviceaccounts") => Some(ACCOUNT),
        ("", "configmaps") => Some(CA_MAP),
        _ => None,
    }
}

fn is_secret(resource: &GroupResource) -> bool {
    resource.group.is_empty() && resource.resource == "secrets"
}

/// The name in the physical cluster of an object of the workspace.
pub(crate) fn down(resource: &GroupResource, name: &str) -> String {
    match pair(resource) {
        Some((up, down)) if name == up => down.to_owned(),
        // A name of the workspace that looks like a renamed one steps aside in the same way.
        Some((_, down)) if is_shifted(name, down) => format!("{TOKEN_PREFIX}{name}"),
        _ if is_secret(resource) && name.contains(TOKEN_INFIX) => format!("{TOKEN_PREFIX}{name}"),
        _ => name.to_owned(),
    }
}

/// The name in the workspace of an object of the physical cluster: the inverse of [`down`].
pub(crate) fn up(resource: &GroupResource, name: &str) -> String {
    match pair(resource) {
        Some((up, down)) if name == down => up.to_owned(),
        Some((_, down)) => match name.strip_prefix(TOKEN_PREFIX) {
            Some(rest) if is_shifted(rest, down) => rest.to_owned(),
            _ => name.to_owned(),
        },
        None if is_secret(resource) && name.contains(TOKEN_INFIX) => {
            name.strip_prefix(TOKEN_PREFIX).unwrap_or(name).to_owned()
        }
        None => name.to_owned(),
    }
}

/// Whether `name` is `down` with any number of prefixes before it.
fn is_shifted(name: &str, down: &str) -> bool {
    let mut rest = name;
    loop {
        if rest == down {
            return true;
        }
        match rest.strip_prefix(TOKEN_PREFIX) {
            Some(r) => rest = r,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_and_none_collide() {
        let names = [
            "default",
            "kcp-default",
            "kcp-kcp-default",
            "kube-root-ca.crt",
            "kcp-root-ca.crt",
            "kcp-kcp-root-ca.crt",
            "a",
            "kcp-a",
            "default-token-x",
            "kcp-default-token-x",
            "kcp-kcp-default-token-x",
        ];
        for resource in ["serviceaccounts", "configmaps", "secrets"] {
            let resource = GroupResource::new("", resource);
            let downs: std::collections::BTreeSet<String> = names.iter().map(|n| down(&resource, n)).collect();
            assert_eq!(downs.len(), names.len(), "{resource}");
            for name in names {
                assert_eq!(up(&resource, &down(&resource, name)), name, "{resource}");
            }
        }
    }

    #[test]
    fn the_renames_are_the_originals() {
        assert_eq!(down(&GroupResource::new("", "serviceaccounts"), "default"), "kcp-default");
        assert_eq!(down(&GroupResource::new("", "configmaps"), "kube-root-ca.crt"), "kcp-root-ca.crt");
        assert_eq!(down(&GroupResource::new("apps", "deployments"), "default"), "default");
    }
}
