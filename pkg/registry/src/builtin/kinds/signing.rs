//! Certificate signing requests (Y-09, B-06). Who asks is written by the server; approval and signing are for those who
//! may do so for the request's signer. Nothing here signs.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object};
use serde_json::{Map, Value, json};

use super::{built_in, keep, list, set, text};
use crate::{
    authority::Access,
    strategy::{Strategy, StrategyContext},
};

pub(super) struct SigningRequests;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

impl Strategy for SigningRequests {
    built_in!(no_defaults);

    fn name_rule(&self) -> kcp_apimachinery::validation::NameFn {
        |_, _| Vec::new()
    }

    fn prepare_create(&self, new: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        set(new, "status", json!({}));
        let spec = object::child_mut(new, "spec");
        let mut set = |field: &str, value: Value| {
            let empty = match &value {
                Value::String(s) => s.is_empty(),
                Value::Array(a) => a.is_empty(),
                Value::Object(m) => m.is_empty(),
                _ => true,
            };
            if empty {
                spec.remove(field)
            } else {
                spec.insert(field.to_owned(), value)
            };
        };
        set("username", ctx.user.username.as_str().into());
        set("uid", ctx.user.uid.as_str().into());
        set("groups", json!(ctx.user.groups));
        set("extra", json!(ctx.user.extra));
        Ok(())
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        keep(new, old, "spec");
        match ctx.subresource {
            "approval" => {
                keep(new, old, "metadata");
                // Only whether it is approved can be said here.
                let judged = conditions_where(new, is_judgement);
                let mut status = old.get("status").cloned().unwrap_or_else(|| json!({}));
                let mut all = conditions_where(old, |kind| !is_judgement(kind));
                all.extend(judged);
                let map = object::as_map(&mut status);
                if all.is_empty() {
                    map.remove("conditions")
                } else {
                    map.insert("conditions".into(), all.into())
                };
                set(new, "status", status);
                stamp(new, ctx);
                permit(new, ctx, "approve", "approve requests")?;
            }
            "status" => {
                // Whether it is approved cannot be said here.
                let mut all = conditions_where(old, is_judgement);
                all.extend(conditions_where(new, |kind| !is_judgement(kind)));
                let status = object::child_mut(new, "status");
                if all.is_empty() {
                    status.remove("conditions")
                } else {
                    status.insert("conditions".into(), all.into())
                };
                stamp(new, ctx);
                if new.pointer("/status/certificate") != old.pointer("/status/certificate") {
                    permit(new, ctx, "sign", "sign requests")?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        request(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        conditions(new, old)
    }
}

fn is_judgement(kind: &str) -> bool {
    matches!(kind, "Approved" | "Denied")
}

fn conditions_where(o: &Value, keep: impl Fn(&str) -> bool) -> Vec<Value> {
    list(o, "/status/conditions").iter().filter(|c| keep(text(c, "/type"))).cloned().collect()
}

/// Sets the times of conditions that came without.
fn stamp(o: &mut Value, ctx: &StrategyContext<'_>) {
    let Some(Value::Array(all)) = o.pointer_mut("/status/conditions") else { return };
    for condition in all {
        let map: &mut Map<String, Value> = object::as_map(condition);
        for field in ["lastUpdateTime", "lastTransitionTime"] {
            super::set_default(map, field, ctx.now.rfc3339());
        }
    }
}

/// 403 unless the user may do `verb` for the signer, by its name or for all signers of its domain.
fn permit(o: &Value, ctx: &StrategyContext<'_>, verb: &str, words: &str) -> Result<(), Status> {
    let signer = text(o, "/spec/signerName");
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let may = |name: &str| {
        ctx.may(&Access {
            verb,
            group: "certificates.k8s.io",
            version: "*",
            resource: "signers",
            name,
            ..Access::default()
        })
    };
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    let detail = format!("user not permitted to {words} with signerName {}", kcp_apimachinery::field::go_quote(signer));
    Err(Status::forbidden(&ctx.info.group_resource(), object::name(o), detail))
}

fn request(o: &Value) -> FieldErrors {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut errors = FieldErrors::new();
    let spec = FieldPath::new("spec");
    let pem = STANDARD.decode(text(o, "/spec/request")).unwrap_or_default();
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE REQUEST-----") {
        let detail = "PEM block type must be CERTIFICATE REQUEST";
        errors.push(FieldError::invalid(&spec.child("request"), text(o, "/spec/request"), detail));
    }
    let usages = list(o, "/spec/usages");
    let path = spec.child("usages");
    if usages.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    for (i, usage) in usages.iter().enumerate() {
        if !usage.as_str().is_some_and(|u| USAGES.contains(&u)) {
            errors.push(FieldError::not_supported(&path.index(i), usage.clone(), &USAGES));
        }
        if usages[..i].contains(usage) {
            errors.push(FieldError::duplicate(&path.index(i), usage.clone()));
        }
    }
    let signer = text(o, "/spec/signerName");
    let path = spec.child("signerName");
    if signer.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if !signer.split_once('/').is_some_and(|(domain, rest)| {
        domain.contains('.') && kcp_apimachinery::validation::is_dns1123_subdomain(domain) && !rest.is_empty()
    }) {
        let detail = "must be a fully qualified domain and path of the form \"example.com/signer-name\"";
        errors.push(FieldError::invalid(&path, signer, detail));
    }
    if let Some(seconds) = o.pointer("/spec/expirationSeconds").and_then(Value::as_i64)
        && seconds < 600
    {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&spec.child("expirationSeconds"), seconds, detail));
    }
    errors
}

fn conditions(new: &Value, old: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let path = FieldPath::new("status.conditions");
    let all = list(new, "/status/conditions");
    let has = |kind: &str| all.iter().any(|c| text(c, "/type") == kind);
    for (i, c) in all.iter().enumerate() {
        let (kind, path) = (text(c, "/type"), path.index(i));
        if kind.is_empty() {
            errors.push(FieldError::required(&path.child("type"), ""));
        }
        match text(c, "/status") {
            "" => errors.push(FieldError::required(&path.child("status"), "")),
            "True" => {}
            status if matches!(kind, "Approved" | "Denied" | "Failed") => {
                errors.push(FieldError::not_supported(&path.child("status"), status, &["True"]));
            }
            "False" | "Unknown" => {}
            status => {
                errors.push(FieldError::not_supported(&path.child("status"), status, &["False", "True", "Unknown"]));
            }
        }
    }
    if has("Approved") && has("Denied") {
        let detail = "Approved and Denied conditions are mutually exclusive";
        errors.push(FieldError::invalid(&path, "", detail));
    }
    for kind in ["Approved", "Denied", "Failed"] {
        if list(old, "/status/conditions").iter().any(|c| text(c, "/type") == kind) && !has(kind) {
            let detail = format!("updates may not remove a condition of type \"{kind}\"");
            errors.push(FieldError::forbidden(&path, &detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    /// Y-09: what a request must say.
    #[test]
    fn requests() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let pem = STANDARD.encode("-----BEGIN CERTIFICATE REQUEST-----\nx\n-----END CERTIFICATE REQUEST-----\n");
        let good = json!({"spec": {"request": pem, "usages": ["client auth"], "signerName": "example.dev/x"}});
        assert_eq!(texts(&request(&good)), Vec::<String>::new());
        let bad = json!({"spec": {"request": "eA==", "signerName": "x", "expirationSeconds": 5}});
        assert_eq!(
            texts(&request(&bad)),
            [
                "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
                "spec.usages: Required value",
                "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form \"example.com/signer-name\"",
                "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
            ]
        );
    }

    /// Y-09: a judgement is final.
    #[test]
    fn judgements() {
        let with = |kinds: &[&str]| {
            let all: Vec<Value> = kinds.iter().map(|k| json!({"type": k, "status": "True"})).collect();
            json!({"status": {"conditions": all}})
        };
        assert!(conditions(&with(&["Approved"]), &with(&[])).is_empty());
        assert_eq!(
            texts(&conditions(&with(&[]), &with(&["Denied"]))),
            ["status.conditions: Forbidden: updates may not remove a condition of type \"Denied\""]
        );
        assert_eq!(conditions(&with(&["Approved", "Denied"]), &with(&[])).len(), 1);
    }
}
