//! Service accounts (Y-03) and the tokens that they are asked for (B-04).

use kcp_apimachinery::{
    FieldError, FieldErrors, FieldPath, GroupKind, GroupResource, GroupVersion, Status, object, time::Timestamp,
};
use serde_json::{Value, json};

use super::{built_in, set, text};
use crate::{
    authority::TokenOrder,
    builtin::codec,
    strategy::{Strategy, StrategyContext},
};

pub(in crate::builtin) const TOKEN_REQUEST: &str = "io.k8s.api.authentication.v1.TokenRequest";
const MIN_SECONDS: i64 = 10 * 60;
const MAX_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 60 * 60;

pub(super) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    built_in!(no_defaults, shown_when_deleted);

    fn create_subresource(&self, body: Value, parent: &Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
        if ctx.subresource != "token" {
            return Err(Status::method_not_allowed(&ctx.info.group_resource(), "create"));
        }
        token(body, parent, ctx)
    }
}

fn token(mut request: Value, account: &Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
    codec::apply(TOKEN_REQUEST, &mut request).map_err(|e| super::undecodable("v1", "TokenRequest", &e))?;
    let spec = object::child_mut(&mut request, "spec");
    super::set_default(spec, "expirationSeconds", DEFAULT_SECONDS);
    let errors = validate(&request, account);
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("authentication.k8s.io", "TokenRequest"), "", &errors));
    }
    let reference = request.pointer("/spec/boundObjectRef").filter(|r| r.is_object()).cloned();
    let bound_uid = reference.as_ref().map(|r| bound(r, account, ctx)).transpose()?;
    let bound = reference
        .as_ref()
        .zip(bound_uid.as_deref())
        .map(|(r, uid)| (text(r, "/kind"), text(r, "/apiVersion"), text(r, "/name"), uid));
    let audiences: Vec<String> =
        super::list(&request, "/spec/audiences").iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    let Some(authority) = ctx.registry.authority() else {
        return Err(Status::internal("no issuer of tokens is configured"));
    };
    let order = TokenOrder {
        namespace: ctx.namespace,
        name: object::name(account),
        uid: object::uid(account),
        audiences: &audiences,
        seconds: request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT_SECONDS),
        bound,
    };
    let issued = authority.issue_token(ctx.cluster, &order)?;
    let meta = object::meta_mut(&mut request);
    meta.insert("name".into(), order.name.into());
    meta.insert("namespace".into(), order.namespace.into());
    meta.insert("uid".into(), order.uid.into());
    meta.insert("creationTimestamp".into(), ctx.now.rfc3339().into());
    object::child_mut(&mut request, "spec").insert("audiences".into(), json!(issued.audiences));
    set(
        &mut request,
        "status",
        json!({
            "token": issued.token,
            "expirationTimestamp": Timestamp::from_unix_seconds(issued.expires).rfc3339(),
        }),
    );
    set(&mut request, "kind", "TokenRequest");
    set(&mut request, "apiVersion", "authentication.k8s.io/v1");
    Ok(request)
}

fn validate(request: &Value, account: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for (field, want) in [("name", object::name(account)), ("namespace", object::namespace(account))] {
        let given = object::meta_str(request, field);
        if !given.is_empty() && given != want {
            let detail = format!("must match the service account {field} if specified");
            errors.push(FieldError::invalid(&FieldPath::new("metadata").child(field), given, &detail));
        }
    }
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT_SECONDS);
    let path = FieldPath::new("spec.expirationSeconds");
    if seconds < MIN_SECONDS {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > MAX_SECONDS {
        errors.push(FieldError::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    errors
}

/// The uid of the object that a token is to die with.
fn bound(reference: &Value, account: &Value, ctx: &StrategyContext<'_>) -> Result<String, Status> {
    let (name, kind) = (text(reference, "/name"), text(reference, "/kind"));
    let gv = GroupVersion::parse(text(reference, "/apiVersion")).unwrap_or_default();
    let (resource, namespace) = match (gv.group.as_str(), gv.version.as_str(), kind) {
        ("", "v1", "Pod") => ("pods", ctx.namespace),
        ("", "v1", "Secret") => ("secrets", ctx.namespace),
        ("", "v1", "Node") => ("nodes", ""),
        _ => {
            let what = format!("{}/{}, Kind={kind}", gv.group, gv.version);
            return Err(Status::bad_request(format!("cannot bind token to object of type {what}")));
        }
    };
    let group_resource = GroupResource::new("", resource);
    let found = ctx.get("", resource, namespace, name).ok_or_else(|| Status::not_found(&group_resource, name))?;
    if resource == "pods" && text(&found, "/spec/serviceAccountName") != object::name(account) {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
            kcp_apimachinery::field::go_quote(object::name(account))
        )));
    }
    let (given, uid) = (text(reference, "/uid"), object::uid(&found));
    if !given.is_empty() && given != uid {
        let detail = format!(
            "the UID in the bound object reference ({given}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&group_resource, name, &detail));
    }
    Ok(uid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B-04: how long a token may live, and whose it is.
    #[test]
    fn requests_are_checked() {
        let account = json!({"metadata": {"name": "bot", "namespace": "n"}});
        for (request, want) in [
            (json!({"spec": {"expirationSeconds": 3600}}), vec![]),
            (
                json!({"spec": {"expirationSeconds": 60}}),
                vec!["spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes"],
            ),
            (
                json!({"spec": {"expirationSeconds": 5_000_000_000_i64}}),
                vec![
                    "spec.expirationSeconds: Invalid value: 5000000000: may not specify a duration larger than 2^32 seconds",
                ],
            ),
            (
                json!({"metadata": {"name": "other"}, "spec": {}}),
                vec!["metadata.name: Invalid value: \"other\": must match the service account name if specified"],
            ),
        ] {
            let found: Vec<String> = validate(&request, &account).iter().map(ToString::to_string).collect();
            assert_eq!(found, want);
        }
    }
}
