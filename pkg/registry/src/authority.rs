//! What kinds need to know about users: installed by whoever wires authentication and authorisation together.
//!
//! The registry is below that wiring, but reviews, tokens and "may this user use that workspace type" are answered by
//! objects; this trait is the one way back up.

use kcp_apimachinery::{Status, UserInfo};
use kcp_logicalcluster::ClusterName;
use serde_json::Value;

/// Something that a user wants to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The group, empty for core.
    pub group: &'a str,
    /// The version; `*` or empty for any.
    pub version: &'a str,
    /// The plural; empty for a path.
    pub resource: &'a str,
    /// The subresource, empty for none.
    pub subresource: &'a str,
    /// The namespace, empty for cluster scope.
    pub namespace: &'a str,
    /// The name, empty for any.
    pub name: &'a str,
    /// The path, when it is not about a resource.
    pub path: &'a str,
}

/// The answer to an [`Access`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It may be done.
    pub allowed: bool,
    /// It may not, whatever other authorizers say.
    pub denied: bool,
    /// Why.
    pub reason: String,
}

/// What a `TokenReview` learns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenAnswer {
    /// Who the token belongs to, when it is good.
    pub user: Option<UserInfo>,
    /// The audiences that it is good for, out of those asked for.
    pub audiences: Vec<String>,
    /// Why it is not.
    pub error: String,
}

/// A service account's token that is asked for.
#[derive(Debug, Clone, Default)]
pub struct TokenOrder<'a> {
    /// The namespace of the service account.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// For whom; empty for the server itself.
    pub audiences: &'a [String],
    /// For how long.
    pub seconds: i64,
    /// The object that it dies with: kind, apiVersion, name, uid.
    pub bound: Option<(&'a str, &'a str, &'a str, &'a str)>,
}

/// A token that was issued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// When it expires, in seconds since the epoch.
    pub expires: i64,
    /// The audiences that it was given.
    pub audiences: Vec<String>,
}

/// Answers questions about users in a logical cluster.
pub trait Authority: Send + Sync {
    /// May `user` do `access`?
    fn authorize(&self, cluster: &ClusterName, user: &UserInfo, access: &Access<'_>) -> Verdict;
    /// Whose is this token?
    fn review_token(&self, cluster: &ClusterName, token: &str, audiences: &[String]) -> TokenAnswer;
    /// Issues a service account's token.
    ///
    /// # Errors
    /// Whatever the client is to be told.
    fn issue_token(&self, cluster: &ClusterName, order: &TokenOrder<'_>) -> Result<IssuedToken, Status>;
    /// What `user` may do in `namespace`: `status` of a SelfSubjectRulesReview.
    fn rules(&self, cluster: &ClusterName, user: &UserInfo, namespace: &str) -> Value;
    /// Whether `user` may write a role or a binding: he grants nothing that he does not hold, unless he has the verb
    /// `escalate` or `bind` on the role (AZ-04). `new` is a Role, ClusterRole, RoleBinding or ClusterRoleBinding; `old`
    /// is what it replaces.
    ///
    /// # Errors
    /// 403 with the list of what he does not hold; 404 when the role that a binding names does not exist.
    fn check_grant(
        &self,
        cluster: &ClusterName,
        user: &UserInfo,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status>;
}
