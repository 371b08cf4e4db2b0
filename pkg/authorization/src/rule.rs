//! One rule of a role, and what it allows (AZ-02).

use std::fmt;

use kcp_apimachinery::field::go_quote;
use serde_json::{Map, Value, json};

use crate::Attributes;

/// A rule: all of its verbs on all of its resources, or on all of its paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct PolicyRule {
    /// Verbs; `*` is all.
    pub verbs: Vec<String>,
    /// API groups; `*` is all, the empty text core.
    pub api_groups: Vec<String>,
    /// Resources: `*`, `pods`, `pods/log`, `*/log`.
    pub resources: Vec<String>,
    /// Names of objects; none is all.
    pub resource_names: Vec<String>,
    /// Paths: `/healthz`, `/api/*`, `*`.
    pub non_resource_urls: Vec<String>,
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|t| t == text)
}

fn has_or_all(list: &[String], text: &str) -> bool {
    list.iter().any(|t| t == "*" || t == text)
}

/// Whether `owner`, which may end in `*`, contains `path`.
fn url_covers(owner: &str, path: &str) -> bool {
    owner == path || owner.ends_with('*') && path.starts_with(owner.trim_end_matches('*'))
}

impl PolicyRule {
    /// Reads a rule; what is missing or null is empty.
    pub fn from_value(rule: &Value) -> Self {
        let texts = |field: &str| -> Vec<String> {
            let list = rule.get(field).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            api_groups: texts("apiGroups"),
            resources: texts("resources"),
            resource_names: texts("resourceNames"),
            non_resource_urls: texts("nonResourceURLs"),
        }
    }

    /// Reads the `rules` of a role.
    pub fn list(role: &Value) -> Vec<Self> {
        role.get("rules").and_then(Value::as_array).into_iter().flatten().map(Self::from_value).collect()
    }

    /// The wire form, without what is empty.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        let fields = [
            ("apiGroups", &self.api_groups),
            ("nonResourceURLs", &self.non_resource_urls),
            ("resourceNames", &self.resource_names),
            ("resources", &self.resources),
            ("verbs", &self.verbs),
        ];
        for (field, list) in fields {
            if !list.is_empty() || field == "verbs" {
                map.insert(field.to_owned(), json!(list));
            }
        }
        Value::Object(map)
    }

    /// Whether the rule allows what is asked.
    pub fn allows(&self, a: &Attributes<'_>) -> bool {
        if !has_or_all(&self.verbs, a.verb) {
            return false;
        }
        if !a.is_resource {
            return self.non_resource_urls.iter().any(|owner| url_covers(owner, a.path));
        }
        has_or_all(&self.api_groups, a.group)
            && self.resources.iter().any(|r| resource_matches(r, a.resource, a.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, a.name))
    }

    /// Splits the rule into rules of one verb, one group, one resource and at most one name, or one path.
    pub(crate) fn break_down(&self) -> Vec<Self> {
        let mut out = Vec::new();
        let one = |text: &String| vec![text.clone()];
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let rule =
                        Self { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Self::default() };
                    if self.resource_names.is_empty() {
                        out.push(rule);
                    } else {
                        let names = self.resource_names.iter();
                        out.extend(names.map(|name| Self { resource_names: one(name), ..rule.clone() }));
                    }
                }
            }
        }
        for url in &self.non_resource_urls {
            for verb in &self.verbs {
                out.push(Self { verbs: one(verb), non_resource_urls: one(url), ..Self::default() });
            }
        }
        out
    }

    /// Whether whoever holds this rule holds the broken-down rule `other`.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let all = |mine: &[String], theirs: &[String]| has(mine, "*") || theirs.iter().all(|t| has(mine, t));
        let resource = |path: &String| match path.split_once('/') {
            _ if has(&self.resources, path) => true,
            Some((_, sub)) => has(&self.resources, &format!("*/{sub}")),
            None => false,
        };
        all(&self.verbs, &other.verbs)
            && all(&self.api_groups, &other.api_groups)
            && (has(&self.resources, "*") || other.resources.iter().all(resource))
            && (self.resource_names.is_empty()
                || !other.resource_names.is_empty()
                    && other.resource_names.iter().all(|n| has(&self.resource_names, n)))
            && other.non_resource_urls.iter().all(|path| self.non_resource_urls.iter().any(|o| url_covers(o, path)))
    }
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((r, s)) => !subresource.is_empty() && s == subresource && (r == "*" || r == resource),
    }
}

/// The compact form of refusals: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        f.write_str("{")?;
        let mut separator = "";
        for (name, list) in parts.into_iter().filter(|(_, list)| !list.is_empty()) {
            write!(f, "{separator}{name}:{}", quoted_list(list))?;
            separator = ", ";
        }
        f.write_str("}")
    }
}

/// A list as Go's `%q` prints it: `["a" "b"]`.
pub(crate) fn quoted_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|t| go_quote(t)).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::UserInfo;

    use super::*;

    fn rule(value: Value) -> PolicyRule {
        PolicyRule::from_value(&value)
    }

    #[test]
    fn rules_allow_what_they_say_az02() {
        let user = UserInfo::default();
        let ask = |verb, group, resource, subresource, name| Attributes {
            subresource,
            name,
            ..Attributes::resource(&user, verb, group, resource)
        };
        let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        let named =
            json!({"verbs": ["get", "create"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]});
        let sub = json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale", "deployments/status"]});
        let cases = [
            (&all, ask("fly", "x", "y", "z", "n"), true),
            (&named, ask("get", "", "configmaps", "", "a"), true),
            (&named, ask("get", "", "configmaps", "", "b"), false),
            (&named, ask("create", "", "configmaps", "", ""), false),
            (&named, ask("get", "apps", "configmaps", "", "a"), false),
            (&named, ask("get", "", "configmaps", "status", "a"), false),
            (&named, ask("delete", "", "configmaps", "", "a"), false),
            (&sub, ask("get", "apps", "replicasets", "scale", "x"), true),
            (&sub, ask("get", "apps", "deployments", "status", "x"), true),
            (&sub, ask("get", "apps", "deployments", "", "x"), false),
            (&sub, ask("get", "apps", "replicasets", "status", "x"), false),
        ];
        for (value, attributes, want) in cases {
            assert_eq!(rule(value.clone()).allows(&attributes), want, "{value} {attributes:?}");
        }
        let paths = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*", "/x*"]}));
        for (path, want) in [
            ("/healthz", true),
            ("/healthz/", false),
            ("/api", false),
            ("/api/", true),
            ("/api/v1", true),
            ("/xyz", true),
        ] {
            assert_eq!(paths.allows(&Attributes::path(&user, "get", path)), want, "{path}");
        }
        assert!(!paths.allows(&Attributes::path(&user, "post", "/healthz")));
        assert!(!rule(all).allows(&Attributes::path(&user, "get", "/")), "resources are not paths");
        assert!(rule(json!({"verbs": ["*"], "nonResourceURLs": ["*"]})).allows(&Attributes::path(&user, "get", "/a")));
    }

    #[test]
    fn rules_print_compactly() {
        let r =
            rule(json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}));
        assert_eq!(r.to_string(), r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get" "list"]}"#);
    }
}
