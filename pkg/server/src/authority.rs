//! Answers to questions that objects ask about users: reviews, tokens, grants.

use std::sync::Arc;

use kcp_apimachinery::{Status, UserInfo, time::Timestamp, user};
use kcp_apiserver::{Authorizer as _, Cluster, Resolved};
use kcp_authentication::{
    ServiceAccountIssuer, TokenAuthenticator,
    service_account::{Bound, BoundKind, TokenRequest},
};
use kcp_authorization::Attributes;
use kcp_logicalcluster::ClusterName;
use kcp_registry::{Access, Authority, IssuedToken, Tenancy, TokenAnswer, TokenOrder, Verdict};
use serde_json::Value;

use crate::authorizer::ServerAuthorizer;

pub(crate) struct ServerAuthority {
    pub(crate) authorizer: Arc<ServerAuthorizer>,
    pub(crate) tokens: Arc<TokenAuthenticator>,
    pub(crate) issuer: Arc<ServiceAccountIssuer>,
    pub(crate) tenancy: Arc<Tenancy>,
}

impl ServerAuthority {
    /// The path of a logical cluster that whoever asks is in already, or names.
    fn name_for_people(&self, cluster: &ClusterName) -> Arc<str> {
        self.tenancy.path(cluster).map_or_else(|| cluster.as_str().into(), |path| path.as_str().into())
    }
}

impl Authority for ServerAuthority {
    fn authorize(&self, cluster: &ClusterName, user: &UserInfo, access: &Access<'_>) -> Verdict {
        // A review names a user and rarely the group that every user has who has shown who he is.
        let mut named = user.clone();
        if user.username != user::ANONYMOUS
            && !user.in_group(user::UNAUTHENTICATED)
            && !user.in_group(user::AUTHENTICATED)
        {
            named.groups.push(user::AUTHENTICATED.to_owned());
        }
        let attributes = Attributes {
            user: &named,
            verb: access.verb,
            group: access.group,
            version: access.version,
            resource: access.resource,
            subresource: access.subresource,
            name: access.name,
            namespace: access.namespace,
            path: access.path,
            is_resource: access.path.is_empty(),
            scope: kcp_authorization::Scope::Unknown,
        };
        let cluster = Resolved { path: self.name_for_people(cluster), ..Resolved::named(cluster.clone()) };
        self.authorizer.authorize(&Cluster::One(cluster), &attributes)
    }

    fn review_token(&self, cluster: &ClusterName, token: &str, audiences: &[String]) -> TokenAnswer {
        match self.tokens.authenticate(token, audiences, Timestamp::now()) {
            Ok(known) => {
                let user = kcp_authentication::identity::seen_from(&known.user, cluster).into_owned();
                TokenAnswer { user: Some(user), audiences: known.audiences, error: String::new() }
            }
            Err(error) => TokenAnswer { error: error.to_string(), ..TokenAnswer::default() },
        }
    }

    fn issue_token(&self, cluster: &ClusterName, order: &TokenOrder<'_>) -> Result<IssuedToken, Status> {
        let bound = match order.bound {
            None => None,
            Some((kind, _, name, uid)) => {
                let kind = match kind {
                    "Pod" => BoundKind::Pod,
                    "Secret" => BoundKind::Secret,
                    other => return Err(Status::bad_request(format!("cannot bind a token to a {other}"))),
                };
                Some(Bound { kind, name: name.to_owned(), uid: uid.to_owned() })
            }
        };
        let request = TokenRequest {
            cluster,
            namespace: order.namespace,
            name: order.name,
            uid: order.uid,
            audiences: order.audiences,
            seconds: order.seconds,
            bound,
        };
        let minted = self
            .issuer
            .mint(&request, Timestamp::now())
            .ok_or_else(|| Status::internal("the token could not be signed"))?;
        Ok(IssuedToken {
            token: minted.token.expose().to_owned(),
            expires: minted.expires.unix_seconds(),
            audiences: minted.audiences,
        })
    }

    fn rules(&self, cluster: &ClusterName, user: &UserInfo, namespace: &str) -> Value {
        let seen = self.authorizer.effective(cluster, user);
        self.authorizer.policy(cluster).rules_for(&seen, namespace).to_review_status()
    }

    fn check_grant(
        &self,
        cluster: &ClusterName,
        user: &UserInfo,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if user.in_group(kcp_apimachinery::user::MASTERS) {
            return Ok(());
        }
        let seen = self.authorizer.effective(cluster, user);
        let policy = self.authorizer.policy(cluster);
        match new["kind"].as_str() {
            Some("Role" | "ClusterRole") => policy.check_role_write(&seen, new, old),
            _ => policy.check_binding_write(&seen, new, old),
        }
    }
}
