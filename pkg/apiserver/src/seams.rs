//! What the server is given: who people are, which logical clusters there are, who may do what. Implemented by
//! whoever wires the program; the gate only calls them, in its fixed order.

use std::sync::Arc;

use kcp_apimachinery::{Status, UserInfo};
use kcp_authorization::Attributes;
use kcp_logicalcluster::{ClusterName, ClusterRef};
use kcp_registry::Verdict;
use rustls::pki_types::CertificateDer;

/// An identity proven by a client certificate, once for the connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who.
    pub user: Arc<UserInfo>,
    /// Until when, in seconds since the epoch: checked on every request.
    pub not_after: i64,
}

/// Says who is behind a credential (AN-02, AN-03).
pub trait Authenticator: Send + Sync {
    /// The identity in a client certificate whose chain was verified (AN-01). Called once for each connection.
    fn certificate(&self, certificate: &CertificateDer<'_>) -> Option<Peer>;

    /// The identity behind a bearer token; `None` when the token is no good. `cluster` is what the URL names.
    fn token(&self, token: &str, cluster: Option<&ClusterRef>) -> Option<Arc<UserInfo>>;

    /// Whether requests without credentials go on as `system:anonymous` (AN-04).
    fn allows_anonymous(&self) -> bool {
        true
    }
}

/// A logical cluster that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its immutable id: what storage, RBAC and tokens use.
    pub name: ClusterName,
    /// How to call it in texts for people: its path.
    pub path: Arc<str>,
    /// A warning for the client, such as that the way it named the cluster is deprecated.
    pub warning: Option<String>,
}

impl Resolved {
    /// A logical cluster whose path is its name.
    pub fn named(name: ClusterName) -> Self {
        Self { path: name.as_str().into(), name, warning: None }
    }
}

/// Which logical clusters a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// One.
    One(Resolved),
    /// All: `/clusters/*`, list and watch only.
    All,
}

/// Finds the logical cluster behind a reference.
pub trait ClusterResolver: Send + Sync {
    /// The logical cluster; `None` when there is none, which only privileged callers are told.
    ///
    /// # Errors
    /// When it is there but cannot be used at the moment.
    fn resolve(&self, reference: &ClusterRef) -> Result<Option<Resolved>, Status>;

    /// The logical cluster of requests without a `/clusters/` prefix.
    fn default_cluster(&self) -> Resolved {
        Resolved::named(ClusterName::system_admin())
    }

    /// The logical cluster in which rights on the whole server (`/metrics`) are decided.
    fn server_cluster(&self) -> Resolved {
        Resolved::named(ClusterName::system_admin())
    }
}

/// Says who may do what. The workspace-content stage is part of it: its refusal is a verdict with the reason
/// `"<path>" workspace access not permitted`.
pub trait Authorizer: Send + Sync {
    /// May the user in `attributes` do what they say in `cluster`?
    fn authorize(&self, cluster: &Cluster, attributes: &Attributes<'_>) -> Verdict;
}
