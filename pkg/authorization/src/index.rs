//! Who may do what in one logical cluster.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use kcp_apimachinery::{UserInfo, field::go_quote};
use serde_json::Value;

use crate::{
    Attributes,
    layer::{Binding, Layer, Role, SubjectKind},
    rule::PolicyRule,
};

/// The policy of one logical cluster: what is stored there over the bootstrap policy. An object of the same kind,
/// namespace and name overrides the bootstrap one.
///
/// Cheap to clone; immutable.
#[derive(Debug, Clone)]
pub struct RbacIndex {
    bootstrap: Arc<Layer>,
    local: Arc<Layer>,
}

/// The answer to a question.
#[derive(Debug, Clone)]
pub enum Decision {
    /// A rule allows it.
    Allow {
        /// Which one; formatted only when somebody wants to read it.
        reason: Reason,
    },
    /// No rule allows it. Another authorizer may.
    NoOpinion {
        /// Roles that bindings name and that do not exist; mostly empty.
        reason: Reason,
    },
}

impl Decision {
    /// Whether it is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// The reason, in either case.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Allow { reason } | Self::NoOpinion { reason } => reason,
        }
    }
}

/// Why a decision was made, as Kubernetes words it. Empty when there is nothing to say.
#[derive(Debug, Clone, Default)]
pub struct Reason(Why);

#[derive(Debug, Clone, Default)]
enum Why {
    #[default]
    Nothing,
    Binding(Arc<Binding>, usize),
    Missing(Vec<String>),
}

impl Reason {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Why::Nothing)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Nothing => Ok(()),
            Why::Missing(errors) => write!(f, "RBAC: {}", aggregate_text(errors)),
            Why::Binding(binding, subject) => {
                let (kind, name) = match binding.namespace.as_str() {
                    "" => ("ClusterRoleBinding", go_quote(&binding.name)),
                    namespace => ("RoleBinding", go_quote(&format!("{}/{namespace}", binding.name))),
                };
                let role_kind = if binding.cluster_role { "ClusterRole" } else { "Role" };
                write!(f, "RBAC: allowed by {kind} {name} of {role_kind} {}", go_quote(&binding.role))?;
                let Some(subject) = binding.subjects.get(*subject) else { return Ok(()) };
                match subject.kind {
                    SubjectKind::User => write!(f, " to User {}", go_quote(&subject.name)),
                    SubjectKind::Group => write!(f, " to Group {}", go_quote(&subject.name)),
                    SubjectKind::ServiceAccount => {
                        let text = format!("{}/{}", subject.name, subject.namespace);
                        write!(f, " to ServiceAccount {}", go_quote(&text))
                    }
                }
            }
        }
    }
}

/// The rules that a user has in a namespace.
#[derive(Debug, Clone, Default)]
pub struct UserRules<'a> {
    /// The rules, of cluster role bindings first.
    pub rules: Vec<&'a PolicyRule>,
    /// Rules that hold only for objects with certain labels. They give nobody the right to pass them on.
    pub limited: Vec<&'a PolicyRule>,
    /// Roles that bindings name and that do not exist, as error texts. Not empty: the rules may be incomplete.
    pub errors: Vec<String>,
}

impl UserRules<'_> {
    /// The errors as one text, empty when there are none.
    pub fn error_text(&self) -> String {
        if self.errors.is_empty() { String::new() } else { aggregate_text(&self.errors) }
    }

    /// The `status` of a SelfSubjectRulesReview (AZ-07).
    pub fn to_review_status(&self) -> Value {
        let with = |want: fn(&PolicyRule) -> bool, drop: &[&str]| -> Vec<Value> {
            let rules = self.rules.iter().chain(&self.limited).filter(|r| want(r));
            let values = rules.map(|r| {
                let mut value = r.to_value();
                if let Some(map) = value.as_object_mut() {
                    drop.iter().for_each(|field| {
                        map.remove(*field);
                    });
                }
                value
            });
            values.collect()
        };
        let mut status = serde_json::json!({
            "resourceRules": with(|r| !r.resources.is_empty(), &["nonResourceURLs"]),
            "nonResourceRules": with(|r| !r.non_resource_urls.is_empty(), &["resources", "apiGroups", "resourceNames"]),
            "incomplete": false,
        });
        if !self.errors.is_empty() {
            status["evaluationError"] = self.error_text().into();
        }
        status
    }
}

impl RbacIndex {
    /// Compiles the objects stored in a logical cluster, over `bootstrap`.
    pub fn build<'a>(
        bootstrap: &Arc<Layer>,
        cluster_roles: impl IntoIterator<Item = &'a Value>,
        roles: impl IntoIterator<Item = &'a Value>,
        cluster_role_bindings: impl IntoIterator<Item = &'a Value>,
        role_bindings: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let mut local = Layer::compile(cluster_roles, roles, cluster_role_bindings, role_bindings);
        // A role stored here may feed an aggregated bootstrap role. Most clusters store none, and share the rules.
        if local.touches_aggregation(&bootstrap.aggregation) {
            local.fill_aggregated(&bootstrap.aggregation);
        }
        Self { bootstrap: Arc::clone(bootstrap), local: Arc::new(local) }
    }

    /// The bootstrap policy alone: a cluster that stores no roles and bindings. Costs nothing.
    pub fn bootstrap_only(bootstrap: &Arc<Layer>) -> Self {
        static EMPTY: LazyLock<Arc<Layer>> = LazyLock::new(Arc::default);
        Self { bootstrap: Arc::clone(bootstrap), local: Arc::clone(&EMPTY) }
    }

    /// Whether a rule allows what is asked, and which (AZ-02, AZ-03). Does not know about superusers.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut missing = Vec::new();
        for (binding, role) in self.grants(attributes.user, attributes.namespace) {
            match role {
                Some(role) => {
                    let within =
                        || role.limit.as_ref().is_none_or(|limit| attributes.scope.within(limit, attributes.verb));
                    if role.rules.iter().any(|rule| rule.allows(attributes)) && within() {
                        let subject = binding.subjects.iter().position(|s| s.is(attributes.user)).unwrap_or(0);
                        return Decision::Allow { reason: Reason(Why::Binding(Arc::clone(binding), subject)) };
                    }
                }
                None => note(&mut missing, binding),
            }
        }
        let why = if missing.is_empty() { Why::Nothing } else { Why::Missing(missing) };
        Decision::NoOpinion { reason: Reason(why) }
    }

    /// All rules that `user` has in `namespace` (empty: in the whole cluster).
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> UserRules<'_> {
        let mut out = UserRules::default();
        let mut seen: Vec<*const Binding> = Vec::new();
        for (binding, role) in self.grants(user, namespace) {
            let id = Arc::as_ptr(binding);
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            match role {
                Some(role) if role.limit.is_some() => out.limited.extend(&role.rules),
                Some(role) => out.rules.extend(&role.rules),
                None => note(&mut out.errors, binding),
            }
        }
        out
    }

    /// The rules of the role that a binding in `namespace` (empty: a cluster role binding) refers to.
    pub fn role_rules(&self, kind: &str, name: &str, namespace: &str) -> Option<&[PolicyRule]> {
        self.role_of(kind == "ClusterRole", name, namespace).map(|r| r.rules.as_slice())
    }

    /// The bindings that are for `user`, of the whole cluster first, each with its role if that exists.
    fn grants<'s, 'q>(
        &'s self,
        user: &'q UserInfo,
        namespace: &'q str,
    ) -> impl Iterator<Item = (&'s Arc<Binding>, Option<&'s Role>)> + use<'s, 'q> {
        let scopes = [Some(""), Some(namespace).filter(|n| !n.is_empty())];
        scopes.into_iter().flatten().flat_map(move |scope| {
            let base = self.bootstrap.bindings(scope, user).filter(move |b| !self.local.has_binding(scope, &b.name));
            let all = self.local.bindings(scope, user).chain(base);
            all.map(move |b| (b, self.role_of(b.cluster_role, &b.role, scope)))
        })
    }

    fn role_of(&self, cluster_role: bool, name: &str, namespace: &str) -> Option<&Role> {
        if cluster_role {
            self.local.cluster_roles.get(name).or_else(|| self.bootstrap.cluster_roles.get(name))
        } else {
            self.local.role(namespace, name).or_else(|| self.bootstrap.role(namespace, name))
        }
    }
}

fn note(errors: &mut Vec<String>, binding: &Binding) {
    let kind = if binding.cluster_role { "clusterrole" } else { "role" };
    let text = format!("{kind}.{} {} not found", crate::GROUP, go_quote(&binding.role));
    if !errors.contains(&text) {
        errors.push(text);
    }
}

fn aggregate_text(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
