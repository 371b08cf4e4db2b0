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

impl UserInfo {
    /// The anonymous user (AN-04).
    pub fn anonymous() -> Self {
        Self { username: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The logical cluster whose service account this is, if it is one.
    pub fn service_account_cluster(&self) -> Option<&str> {
        self.extra.get(EXTRA_CLUSTER).and_then(|v| v.first()).map(String::as_str)
    }
}
