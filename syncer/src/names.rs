//! Names that mean something else in the physical cluster, and back.
//!
//! Kubernetes itself puts a `default` service account and a `kube-root-ca.crt` into every namespace, so those of the
//! workspace go by other names there. Each name maps to one name and back, so two objects never collide. Everything else
//! keeps its name, because other objects refer to it; token secrets do as well, for the names of a cluster's own are random.

use kcp_apimachinery::GroupResource;

const ACCOUNT: (&str, &str) = ("default", "kcp-default");
const CA_MAP: (&str, &str) = ("kube-root-ca.crt", "kcp-root-ca.crt");
/// Before a name that steps aside for a renamed one.
const ASIDE: &str = "kcp-";

fn pair(resource: &GroupResource) -> Option<(&'static str, &'static str)> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "serviceaccounts") => Some(ACCOUNT),
        ("", "configmaps") => Some(CA_MAP),
        _ => None,
    }
}

/// The name in the physical cluster of an object of the workspace.
pub(crate) fn down(resource: &GroupResource, name: &str) -> String {
    match pair(resource) {
        Some((up, down)) if name == up => down.to_owned(),
        // A name of the workspace that looks like a renamed one steps aside in the same way.
        Some((_, down)) if is_shifted(name, down) => format!("{ASIDE}{name}"),
        _ => name.to_owned(),
    }
}

/// The name in the workspace of an object of the physical cluster: the inverse of [`down`].
pub(crate) fn up(resource: &GroupResource, name: &str) -> String {
    match pair(resource) {
        Some((up, down)) if name == down => up.to_owned(),
        Some((_, down)) => match name.strip_prefix(ASIDE) {
            Some(rest) if is_shifted(rest, down) => rest.to_owned(),
            _ => name.to_owned(),
        },
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
        match rest.strip_prefix(ASIDE) {
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
        assert_eq!(down(&GroupResource::new("", "secrets"), "api-token-x"), "api-token-x", "pods refer to it");
    }
}
