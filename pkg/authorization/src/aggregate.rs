//! Aggregated cluster roles (AZ-05).

use kcp_apimachinery::{object, selectors::LabelSelector};
use serde_json::Value;

use crate::layer::limit_of;

/// The rules that the aggregated cluster role `role` must have, gathered from those of `all` that its selectors match, in
/// the order of their names, each rule once; `None` when the role is not aggregated. A role never feeds itself; one that
/// is limited to certain objects feeds none, because its rules would lose the limit. A
/// selector that cannot be read selects nothing.
pub fn aggregate<'a>(role: &Value, all: impl IntoIterator<Item = &'a Value>) -> Option<Value> {
    let selectors: Vec<LabelSelector> = role
        .pointer("/aggregationRule/clusterRoleSelectors")?
        .as_array()?
        .iter()
        .filter_map(|s| LabelSelector::from_object(s).ok())
        .collect();
    let name = object::name(role);
    let labels = |r: &'a Value| r.pointer("/metadata/labels").unwrap_or(&Value::Null);
    let mut sources: Vec<&'a Value> = all
        .into_iter()
        .filter(|r| object::name(r) != name && limit_of(r).is_none() && selectors.iter().any(|s| s.matches(labels(r))))
        .collect();
    sources.sort_by(|a, b| object::name(a).cmp(object::name(b)));
    let mut rules: Vec<Value> = Vec::new();
    for rule in sources.iter().filter_map(|r| r.get("rules")?.as_array()).flatten() {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    Some(Value::Array(rules))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_gather_rules_az05() {
        let role = |name: &str, to: &str, verb: &str| json!({"metadata": {"name": name, "labels": {to: "true"}}, "rules": [{"verbs": [verb]}, {"verbs": ["same"]}]});
        let view = json!({"metadata": {"name": "view", "labels": {"view": "true"}}, "rules": [{"verbs": ["old"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"view": "true"}}]}});
        let all = [role("z", "view", "z"), view.clone(), role("a", "view", "a"), role("m", "edit", "m")];
        let got = aggregate(&view, &all).unwrap();
        assert_eq!(got, json!([{"verbs": ["a"]}, {"verbs": ["same"]}, {"verbs": ["z"]}]));
        assert_eq!(aggregate(&all[0], &all), None);
    }
}
