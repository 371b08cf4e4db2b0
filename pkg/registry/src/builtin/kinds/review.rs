//! Reviews: questions asked by creating an object that is answered and never stored (C-16).

use kcp_apimachinery::{Status, UserInfo, object};
use kcp_authorization::review::{self, ReviewKind};
use serde_json::{Value, json};

use super::{built_in, set, text};
use crate::{
    authority::{Access, TokenAnswer},
    strategy::{Strategy, StrategyContext},
};

pub(super) struct Reviews;

impl Strategy for Reviews {
    built_in!(no_defaults);

    fn review(&self, object: Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
        match ctx.info.gvk.kind.as_str() {
            "SubjectAccessReview" => access(ReviewKind::Subject, object, ctx),
            "LocalSubjectAccessReview" => access(ReviewKind::LocalSubject, object, ctx),
            "SelfSubjectAccessReview" => access(ReviewKind::SelfSubject, object, ctx),
            "SelfSubjectRulesReview" => rules(&object, ctx),
            "SelfSubjectReview" => Ok(whoami(ctx)),
            "TokenReview" => token(object, ctx),
            _ => Err(Status::method_not_allowed(&ctx.info.group_resource(), "create")),
        }
    }
}

fn no_authority() -> Status {
    Status::internal("no authorizer is configured")
}

/// An answer that is not made from the question.
fn fresh(ctx: &StrategyContext<'_>) -> Value {
    json!({"kind": ctx.info.gvk.kind, "apiVersion": ctx.info.gvk.api_version(), "metadata": {}})
}

/// The namespace of a review is that of the URL (C-03).
fn place(object: &mut Value, namespace: &str) -> Result<(), Status> {
    let given = object::namespace(object);
    if !given.is_empty() && given != namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(text));
    }
    object::meta_mut(object).insert("namespace".into(), namespace.into());
    Ok(())
}

/// AZ-06.
fn access(kind: ReviewKind, mut object: Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
    if kind == ReviewKind::LocalSubject {
        place(&mut object, ctx.namespace)?;
    }
    let asked = review::question(kind, &object, ctx.user)?;
    let access = Access {
        verb: &asked.verb,
        group: &asked.group,
        version: &asked.version,
        resource: &asked.resource,
        subresource: &asked.subresource,
        namespace: &asked.namespace,
        name: &asked.name,
        path: &asked.path,
    };
    let authority = ctx.registry.authority().ok_or_else(no_authority)?;
    let verdict = authority.authorize(ctx.cluster, &asked.user, &access);
    set(&mut object, "status", review::status(verdict.allowed, verdict.denied, &verdict.reason, ""));
    Ok(object)
}

/// AZ-07.
fn rules(object: &Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
    let namespace = text(object, "/spec/namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let authority = ctx.registry.authority().ok_or_else(no_authority)?;
    let mut answer = fresh(ctx);
    set(&mut answer, "spec", json!({}));
    set(&mut answer, "status", authority.rules(ctx.cluster, ctx.user, namespace));
    Ok(answer)
}

/// The form of a user in answers.
fn user_info(user: &UserInfo) -> Value {
    // Plain data: writing it as JSON cannot fail.
    serde_json::to_value(user).unwrap_or_default()
}

/// AN-08.
fn whoami(ctx: &StrategyContext<'_>) -> Value {
    let mut answer = fresh(ctx);
    object::meta_mut(&mut answer).insert("creationTimestamp".into(), ctx.now.rfc3339().into());
    set(&mut answer, "status", json!({"userInfo": user_info(ctx.user)}));
    answer
}

/// AN-07.
fn token(mut object: Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
    let given = text(&object, "/spec/token");
    if given.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> =
        super::list(&object, "/spec/audiences").iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    let authority = ctx.registry.authority().ok_or_else(no_authority)?;
    let answer = authority.review_token(ctx.cluster, given, &audiences);
    set(&mut object, "status", token_status(&answer));
    Ok(object)
}

fn token_status(answer: &TokenAnswer) -> Value {
    let mut status = json!({"user": {}});
    if let Some(user) = &answer.user {
        set(&mut status, "authenticated", true);
        set(&mut status, "user", user_info(user));
        if !answer.audiences.is_empty() {
            set(&mut status, "audiences", json!(answer.audiences));
        }
    }
    if !answer.error.is_empty() {
        set(&mut status, "error", answer.error.as_str());
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-03: a local review is about the namespace that it is asked in.
    #[test]
    fn local_reviews_are_placed() {
        let mut review = json!({"spec": {}});
        place(&mut review, "n").unwrap();
        assert_eq!(review["metadata"]["namespace"], "n");
        place(&mut review, "n").unwrap();
        assert_eq!(place(&mut review, "m").unwrap_err().code, 400);
    }

    /// AN-07: a bad token is answered, not refused.
    #[test]
    fn token_answers() {
        let bad = TokenAnswer { error: "invalid bearer token".into(), ..TokenAnswer::default() };
        assert_eq!(token_status(&bad), json!({"error": "invalid bearer token", "user": {}}));
        let user = UserInfo { username: "ann".into(), groups: vec!["g".into()], ..UserInfo::default() };
        let good = TokenAnswer { user: Some(user), audiences: vec!["a".into()], ..TokenAnswer::default() };
        assert_eq!(
            token_status(&good),
            json!({"authenticated": true, "audiences": ["a"], "user": {"username": "ann", "groups": ["g"]}})
        );
    }
}
