//! Who a request comes from.

use std::collections::BTreeMap;

/// An authenticated identity. Immutable through a request: filters make a new one, they never change one.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserInfo {
    /// The name, such as `system:serviceaccount:ns:name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// A unique id, empty when the authenticator knows none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups, `system:authenticated` among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// More facts, by lower-case key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The user of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of everyone who has shown credentials.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of those who have not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that no authorizer stops.
pub const MASTERS: &str = "system:masters";
/// Extra key: the logical cluster that a service account belongs to.
pub const EXTRA_CLUSTER: &str = "authentication.kcp.io/cluster-name";
/// Extra key: the logical clusters outside of which the user is nobody in particular, as `cluster:<id>`. The server puts it
/// on whoever is impersonated with the rights of one logical cluster.
pub const EXTRA_SCOPES: &str = "authentication.kcp.io/scopes";

impl UserInfo {
    /// The anonymous user (AN-04).
    pub fn anonymous() -> Self {
        Self { username: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Whether the user counts in the logical cluster with this id. Every scope must allow it; each is a list of
    /// alternatives.
    pub fn is_in_scope(&self, cluster: &str) -> bool {
        let allows = |one: &str| one.trim().strip_prefix("cluster:") == Some(cluster);
        self.extra.get(EXTRA_SCOPES).is_none_or(|scopes| scopes.iter().all(|scope| scope.split(',').any(allows)))
    }

    /// The logical cluster whose service account this is, if it is one.
    pub fn service_account_cluster(&self) -> Option<&str> {
        self.extra.get(EXTRA_CLUSTER).and_then(|v| v.first()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_limit_where_a_user_counts() {
        let with = |scopes: &[&str]| UserInfo {
            extra: BTreeMap::from([(EXTRA_SCOPES.to_owned(), scopes.iter().map(|&s| s.to_owned()).collect())]),
            ..UserInfo::default()
        };
        assert!(UserInfo::default().is_in_scope("a"));
        for (scopes, a, b) in [
            (&["cluster:a"][..], true, false),
            (&["cluster:a,cluster:b"], true, true),
            (&["cluster:a", "cluster:b"], false, false),
            (&["cluster:a1"], false, false),
            (&["a"], false, false),
            (&[""], false, false),
        ] {
            assert_eq!((with(scopes).is_in_scope("a"), with(scopes).is_in_scope("b")), (a, b), "{scopes:?}");
        }
    }
}
