//! Tokens of service accounts: JSON web tokens that this server signs and checks (AN-05, AN-06, LC-06, V-06).
//!
//! The claim `kubernetes.io.clusterName` says which logical cluster the account lives in, so the same names in two
//! clusters are two accounts, and a request without cluster in its URL can be routed by its token.

mod claims;
mod documents;
mod issuer;

use kcp_apimachinery::time::Timestamp;
use kcp_logicalcluster::ClusterName;

pub use claims::{Bound, BoundKind, Claims};
pub use documents::{discovery_document, jwks};
pub use issuer::{IssuerError, Minted, ServiceAccountIssuer, TokenRequest, VerifyError, cluster_hint};

/// Who issues legacy tokens, the ones kept in Secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// A live object, as far as tokens care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveObject {
    /// Its uid.
    pub uid: String,
    /// When its deletion was asked for, if it was.
    pub deleted: Option<Timestamp>,
}

/// A live Secret, as far as tokens care.
#[derive(Clone)]
pub struct LiveSecret {
    /// Its uid and deletion.
    pub object: LiveObject,
    /// What it holds under `token`, for legacy tokens.
    pub token: Option<crate::Secret>,
}

/// Where tokens are checked against what exists. Must answer from memory: it is asked for every request.
pub trait ServiceAccountLookup: Send + Sync {
    /// A service account.
    fn service_account(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<LiveObject>;
    /// A Secret.
    fn secret(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<LiveSecret>;
    /// A pod. Where there are no pods, there is none.
    fn pod(&self, _cluster: &ClusterName, _namespace: &str, _name: &str) -> Option<LiveObject> {
        None
    }
}
