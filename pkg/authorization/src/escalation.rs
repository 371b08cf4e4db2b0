//! Nobody grants what they do not have (AZ-04).

use std::collections::BTreeSet;

use kcp_apimachinery::{GroupResource, Status, UserInfo, field::go_quote, object};
use kcp_apis::tenancy::{ACCESS_GROUP, ADMIN_GROUP};
use serde_json::Value;

use crate::{
    Attributes, GROUP, RbacIndex, is_superuser,
    rule::{PolicyRule, quoted_list},
};

impl RbacIndex {
    /// Checks that `user` holds all of `wanted` in `namespace`.
    ///
    /// # Errors
    /// With Kubernetes' text, which lists what is not held.
    pub fn confirm_no_escalation(&self, user: &UserInfo, namespace: &str, wanted: &[PolicyRule]) -> Result<(), String> {
        let held = self.rules_for(user, namespace);
        let missing: Vec<PolicyRule> = wanted
            .iter()
            .flat_map(PolicyRule::break_down)
            .filter(|rule| !held.rules.iter().any(|owner| owner.covers(rule)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let lines: BTreeSet<String> = compact(missing).iter().map(PolicyRule::to_string).collect();
        let lines: Vec<String> = lines.into_iter().collect();
        // Groups that the way into the workspace has added are not the user's own.
        let own = |g: &&String| ![ACCESS_GROUP, ADMIN_GROUP].contains(&g.as_str());
        let groups: Vec<String> = user.groups.iter().filter(own).cloned().collect();
        let mut text = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            go_quote(&user.username),
            quoted_list(&groups),
            lines.join("\n")
        );
        if !held.errors.is_empty() {
            text.push_str(&format!("; resolution errors: [{}]", held.errors.join(" ")));
        }
        Err(text)
    }

    /// Whether `user` may write the role `new` (a Role or ClusterRole; `old` is what it replaces).
    ///
    /// # Errors
    /// With the 403 to answer.
    pub fn check_role_write(&self, user: &UserInfo, new: &Value, old: Option<&Value>) -> Result<(), Status> {
        let (namespace, name) = (object::namespace(new), object::name(new));
        let resource = if namespace.is_empty() { "clusterroles" } else { "roles" };
        let escalate = Attributes::resource(user, "escalate", GROUP, resource).named(namespace, name);
        if is_superuser(user)
            || old.is_some_and(|old| same_but_for_gc(new, old))
            || self.authorize(&escalate).is_allowed()
        {
            return Ok(());
        }
        let refuse = |text: &str| Status::forbidden(&GroupResource::new(GROUP, resource), name, text);
        self.confirm_no_escalation(user, namespace, &PolicyRule::list(new)).map_err(|text| refuse(&text))?;
        // An aggregated role gathers whatever anybody labels, so only who has everything may make one.
        if new.get("aggregationRule").is_some_and(|r| !r.is_null())
            && self.confirm_no_escalation(user, namespace, &everything()).is_err()
        {
            return Err(refuse("must have cluster-admin privileges to use an aggregationRule"));
        }
        Ok(())
    }

    /// Whether `user` may write the binding `new` (a RoleBinding or ClusterRoleBinding; `old` is what it replaces).
    ///
    /// # Errors
    /// With the 403 to answer, or the 404 when the role that it names does not exist.
    pub fn check_binding_write(&self, user: &UserInfo, new: &Value, old: Option<&Value>) -> Result<(), Status> {
        let (namespace, name) = (object::namespace(new), object::name(new));
        let resource = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        let role = |field: &str| new.pointer(&format!("/roleRef/{field}")).and_then(Value::as_str).unwrap_or_default();
        let (role_kind, role_name) = (role("kind"), role("name"));
        let role_resource = if role_kind == "ClusterRole" { "clusterroles" } else { "roles" };
        let bind = Attributes::resource(user, "bind", GROUP, role_resource).named(namespace, role_name);
        if is_superuser(user) || old.is_some_and(|old| same_but_for_gc(new, old)) || self.authorize(&bind).is_allowed()
        {
            return Ok(());
        }
        let group_resource = GroupResource::new(GROUP, resource);
        match self.role_rules(role_kind, role_name, namespace) {
            None => Err(Status::not_found(&group_resource, role_name)),
            Some(rules) => self
                .confirm_no_escalation(user, namespace, rules)
                .map_err(|text| Status::forbidden(&group_resource, name, text)),
        }
    }
}

fn everything() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    [
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}

/// Whether the two differ in nothing but what a garbage collector changes: finalizers and owner references, and the
/// book-keeping that every write changes.
fn same_but_for_gc(new: &Value, old: &Value) -> bool {
    let strip = |value: &Value| {
        let mut value = value.clone();
        for field in ["finalizers", "ownerReferences", "managedFields", "resourceVersion"] {
            object::meta_mut(&mut value).remove(field);
        }
        value
    };
    strip(new) == strip(old)
}

/// Joins rules that differ only in their verbs.
fn compact(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut out: Vec<PolicyRule> = Vec::new();
    for rule in rules {
        let simple = rule.non_resource_urls.is_empty();
        let same = |other: &&mut PolicyRule| {
            other.non_resource_urls.is_empty()
                && other.api_groups == rule.api_groups
                && other.resources == rule.resources
                && other.resource_names == rule.resource_names
        };
        match out.iter_mut().find(same).filter(|_| simple) {
            Some(other) => {
                other.verbs.extend(rule.verbs.into_iter().filter(|v| !other.verbs.contains(v)).collect::<Vec<_>>())
            }
            None => out.push(rule),
        }
    }
    out
}

#[cfg(test)]
#[path = "escalation_tests.rs"]
mod tests;
