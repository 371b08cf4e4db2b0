//! Roles and bindings: their rules, and who may write them (AZ-02 to AZ-04).
//!
//! Nobody hands out more than he has: whoever writes a role must hold all its rules or the verb `escalate` on it,
//! whoever writes a binding all rules of the role or the verb `bind` on it.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object, validation};
use serde_json::{Value, json};

use super::{built_in, each, list, set_default_text, text, within};
use crate::strategy::{Strategy, StrategyContext};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Roles and ClusterRoles.
pub(super) struct Roles {
    pub(super) namespaced: bool,
}

/// RoleBindings and ClusterRoleBindings.
pub(super) struct Bindings {
    pub(super) namespaced: bool,
}

impl Strategy for Roles {
    built_in!(no_defaults, create_on_update, path_name);

    fn prepare_create(&self, new: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        no_empty_rules(new);
        check_grant(new, None, ctx)
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        no_empty_rules(new);
        check_grant(new, Some(old), ctx)
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        role(new, self.namespaced)
    }

    fn validate_update(&self, new: &Value, _: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        role(new, self.namespaced)
    }
}

impl Strategy for Bindings {
    built_in!(create_on_update, path_name);

    fn default(&self, binding: &mut Value, _: &StrategyContext<'_>) {
        let map = object::as_map(binding);
        within(map, "roleRef", |r| set_default_text(r, "apiGroup", GROUP));
        each(map, "subjects", |s| {
            if matches!(s.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
                set_default_text(s, "apiGroup", GROUP);
            }
        });
    }

    fn prepare_create(&self, new: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        check_grant(new, None, ctx)
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        // Another role is refused by validation, with a text that says so.
        if new.get("roleRef") == old.get("roleRef") { check_grant(new, Some(old), ctx) } else { Ok(()) }
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        binding(new, self.namespaced)
    }

    fn validate_update(&self, new: &Value, old: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = binding(new, self.namespaced);
        if new.get("roleRef") != old.get("roleRef") {
            // The text shows the fields under their Go names.
            let part = |field: &str| text(new, &format!("/roleRef/{field}"));
            let shown = json!({"APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name")});
            errors.push(FieldError::invalid(&FieldPath::new("roleRef"), shown, "cannot change roleRef"));
        }
        errors
    }
}

/// No rules are null, as they come back from Kubernetes' storage.
fn no_empty_rules(role: &mut Value) {
    if list(role, "/rules").is_empty() {
        super::set(role, "rules", Value::Null);
    }
}

fn check_grant(new: &Value, old: Option<&Value>, ctx: &StrategyContext<'_>) -> Result<(), Status> {
    ctx.registry.authority().map_or(Ok(()), |a| a.check_grant(ctx.cluster, ctx.user, new, old))
}

fn role(o: &Value, namespaced: bool) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for (i, rule) in list(o, "/rules").iter().enumerate() {
        let path = FieldPath::new("rules").index(i);
        let missing = |field: &str| list(rule, &format!("/{field}")).is_empty();
        let mut require = |field: &str, detail: &str| {
            if missing(field) {
                errors.push(FieldError::required(&path.child(field), detail));
            }
        };
        require("verbs", "verbs must contain at least one value");
        if missing("nonResourceURLs") {
            require("apiGroups", "resource rules must supply at least one api group");
            require("resources", "resource rules must supply at least one resource");
            continue;
        }
        let urls = rule.get("nonResourceURLs").cloned().unwrap_or(Value::Null);
        let path = path.child("nonResourceURLs");
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&path, urls.clone(), detail));
        }
        if !(missing("apiGroups") && missing("resources") && missing("resourceNames")) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&path, urls, detail));
        }
    }
    if let Some(aggregation) = o.get("aggregationRule").filter(|a| a.is_object()) {
        let path = FieldPath::new("aggregationRule.clusterRoleSelectors");
        let selectors = list(aggregation, "/clusterRoleSelectors");
        if selectors.is_empty() {
            let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(FieldError::required(&path, detail));
        }
        for (i, selector) in selectors.iter().enumerate() {
            super::pod_checks::label_selector(selector, &path.index(i), &mut errors);
        }
    }
    errors
}

fn binding(o: &Value, namespaced: bool) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let role = FieldPath::new("roleRef");
    if text(o, "/roleRef/apiGroup") != GROUP {
        errors.push(FieldError::not_supported(&role.child("apiGroup"), text(o, "/roleRef/apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(o, "/roleRef/kind")) {
        errors.push(FieldError::not_supported(&role.child("kind"), text(o, "/roleRef/kind"), kinds));
    }
    let name = text(o, "/roleRef/name");
    if name.is_empty() {
        errors.push(FieldError::required(&role.child("name"), ""));
    } else {
        for message in validation::name_is_path_segment(name, false) {
            errors.push(FieldError::invalid(&role.child("name"), name, &message));
        }
    }
    for (i, s) in list(o, "/subjects").iter().enumerate() {
        subject(s, namespaced, &FieldPath::new("subjects").index(i), &mut errors);
    }
    errors
}

fn subject(s: &Value, namespaced: bool, path: &FieldPath, errors: &mut FieldErrors) {
    let (kind, name, group) = (text(s, "/kind"), text(s, "/name"), text(s, "/apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let expect_group = |want: &str, errors: &mut FieldErrors| {
        if group != want {
            errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[want]));
        }
    };
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                for message in validation::name_is_subdomain(name, false) {
                    errors.push(FieldError::invalid(&path.child("name"), name, &message));
                }
            }
            expect_group("", errors);
            if !namespaced && text(s, "/namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => expect_group(GROUP, errors),
        other => {
            let known = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), other, &known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        let mut all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        all.sort();
        all
    }

    /// AZ-02: what a rule must have.
    #[test]
    fn rules() {
        let o = json!({"rules": [
            {"resources": ["x"], "verbs": []},
            {"apiGroups": [""], "nonResourceURLs": ["/x"], "verbs": ["get"]}
        ]});
        assert_eq!(
            texts(&role(&o, true)),
            [
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
            ]
        );
        assert!(role(&json!({"rules": [{"nonResourceURLs": ["/x/*"], "verbs": ["get"]}]}), false).is_empty());
        assert_eq!(role(&json!({"aggregationRule": {}}), false).len(), 1);
    }

    /// AZ-03: whom a binding may name.
    #[test]
    fn subjects() {
        let role_ref = json!({"apiGroup": GROUP, "kind": "Role", "name": "r"});
        let o = json!({"roleRef": role_ref, "subjects": [{"kind": "Robot", "name": ""}]});
        assert_eq!(
            texts(&binding(&o, true)),
            [
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                "subjects[0].name: Required value",
            ]
        );
        let o = json!({"roleRef": role_ref, "subjects": [{"kind": "ServiceAccount", "name": "a"}]});
        assert!(binding(&o, true).is_empty());
        assert_eq!(
            texts(&binding(&o, false)),
            [
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "subjects[0].namespace: Required value",
            ]
        );
    }
}
