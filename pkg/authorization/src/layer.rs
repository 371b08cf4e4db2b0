//! The compiled policy of one source: the bootstrap policy, or what is stored in one logical cluster.

use std::{collections::HashMap, sync::Arc};

use kcp_apimachinery::{UserInfo, object, selectors::LabelSelector};
use kcp_apis::workload::REQUIRED_SELECTOR_ANNOTATION;
use serde_json::Value;

use crate::{aggregate, rule::PolicyRule};

/// Whom a binding is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: SubjectKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    User,
    Group,
    ServiceAccount,
}

impl Subject {
    fn from_value(value: &Value, binding_namespace: &str) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let kind = match text("kind") {
            "User" => SubjectKind::User,
            "Group" => SubjectKind::Group,
            "ServiceAccount" => SubjectKind::ServiceAccount,
            _ => return None,
        };
        let namespace = match text("namespace") {
            "" => binding_namespace,
            namespace => namespace,
        };
        // A service account without namespace, in a binding that has none either, is nobody.
        if kind == SubjectKind::ServiceAccount && namespace.is_empty() {
            return None;
        }
        Some(Self { kind, namespace: namespace.to_owned(), name: text("name").to_owned() })
    }

    /// The username that this subject is, for users and service accounts.
    fn username(&self) -> String {
        match self.kind {
            SubjectKind::ServiceAccount => format!("system:serviceaccount:{}:{}", self.namespace, self.name),
            _ => self.name.clone(),
        }
    }

    pub(crate) fn is(&self, user: &UserInfo) -> bool {
        match self.kind {
            SubjectKind::User => self.name == user.username,
            SubjectKind::Group => user.in_group(&self.name),
            SubjectKind::ServiceAccount => user
                .username
                .strip_prefix("system:serviceaccount:")
                .and_then(|rest| rest.split_once(':'))
                .is_some_and(|(namespace, name)| namespace == self.namespace && name == self.name),
        }
    }
}

/// A binding, in a namespace or (with an empty one) in the whole cluster.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Whether it refers to a ClusterRole, rather than to a Role of its namespace.
    pub(crate) cluster_role: bool,
    pub(crate) role: String,
    pub(crate) subjects: Vec<Subject>,
}

impl Binding {
    fn from_value(value: &Value) -> Option<Self> {
        let namespace = object::namespace(value).to_owned();
        let role = value.get("roleRef")?;
        let cluster_role = match role.get("kind")?.as_str()? {
            "ClusterRole" => true,
            "Role" if !namespace.is_empty() => false,
            _ => return None,
        };
        let subjects = value.get("subjects").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            name: object::name(value).to_owned(),
            cluster_role,
            role: role.get("name")?.as_str()?.to_owned(),
            subjects: subjects.filter_map(|s| Subject::from_value(s, &namespace)).collect(),
            namespace,
        })
    }
}

/// A role, compiled.
#[derive(Debug, Default)]
pub(crate) struct Role {
    pub(crate) rules: Vec<PolicyRule>,
    /// The objects that the rules are limited to, if they are.
    pub(crate) limit: Option<LabelSelector>,
}

impl Role {
    fn from_value(role: &Value) -> Self {
        let limit = limit_of(role).map(|text| {
            // One that cannot be read must not grant everything.
            LabelSelector::parse(text).unwrap_or_else(|_| LabelSelector::nothing())
        });
        // Neither must an empty one: it would be no limit at all, which nobody means who writes it.
        let limit = limit.map(|l| if l.is_empty() { LabelSelector::nothing() } else { l });
        Self { rules: PolicyRule::list(role), limit }
    }
}

/// The annotation that limits a role.
pub(crate) fn limit_of(role: &Value) -> Option<&str> {
    role.pointer("/metadata/annotations")?.get(REQUIRED_SELECTOR_ANNOTATION)?.as_str()
}

/// The bindings of one scope by whom they are for.
#[derive(Debug, Default)]
struct Subjects {
    users: HashMap<String, Vec<Arc<Binding>>>,
    groups: HashMap<String, Vec<Arc<Binding>>>,
}

/// The roles and bindings of one source, compiled. Objects that make no sense (unknown kinds of subjects or roles) are
/// left out: they grant nothing.
#[derive(Debug, Default)]
pub struct Layer {
    /// Rules of cluster roles by name.
    pub(crate) cluster_roles: HashMap<String, Role>,
    /// The cluster roles that take part in aggregation, whole: they are aggregated anew when a layer is put over this
    /// one.
    pub(crate) aggregation: Vec<Value>,
    /// Rules of roles by namespace and name.
    roles: HashMap<String, HashMap<String, Role>>,
    /// Bindings by namespace, those of the whole cluster under the empty one.
    scopes: HashMap<String, Subjects>,
    /// Names of all bindings by namespace, those without subjects included: they override too.
    names: HashMap<String, Vec<String>>,
}

impl Layer {
    /// Compiles the objects of one source. Rules of aggregated cluster roles are gathered from the same source when they
    /// have none yet.
    pub fn compile<'a>(
        cluster_roles: impl IntoIterator<Item = &'a Value>,
        roles: impl IntoIterator<Item = &'a Value>,
        cluster_role_bindings: impl IntoIterator<Item = &'a Value>,
        role_bindings: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let mut layer = Self::default();
        for role in cluster_roles {
            layer.cluster_roles.insert(object::name(role).to_owned(), Role::from_value(role));
            if is_aggregated(role) || is_labelled(role) {
                layer.aggregation.push(role.clone());
            }
        }
        layer.fill_aggregated(&[]);
        for role in roles {
            let (namespace, name) = (object::namespace(role).to_owned(), object::name(role).to_owned());
            layer.roles.entry(namespace).or_default().insert(name, Role::from_value(role));
        }
        for value in cluster_role_bindings.into_iter().chain(role_bindings) {
            layer.names.entry(object::namespace(value).to_owned()).or_default().push(object::name(value).to_owned());
            if let Some(binding) = Binding::from_value(value) {
                layer.add(Arc::new(binding));
            }
        }
        layer.names.values_mut().for_each(|names| names.sort_unstable());
        layer
    }

    /// Reads the four lists of a policy document: `clusterroles`, `roles`, `clusterrolebindings`, `rolebindings`.
    pub fn from_document(document: &Value) -> Self {
        let list = |field: &str| document.get(field).and_then(Value::as_array).into_iter().flatten();
        Self::compile(list("clusterroles"), list("roles"), list("clusterrolebindings"), list("rolebindings"))
    }

    fn add(&mut self, binding: Arc<Binding>) {
        let scope = self.scopes.entry(binding.namespace.clone()).or_default();
        let mut seen: Vec<(bool, String)> = Vec::new();
        for subject in &binding.subjects {
            let group = subject.kind == SubjectKind::Group;
            let key = subject.username();
            if !seen.contains(&(group, key.clone())) {
                let map = if group { &mut scope.groups } else { &mut scope.users };
                map.entry(key.clone()).or_default().push(Arc::clone(&binding));
                seen.push((group, key));
            }
        }
    }

    /// Gathers the rules of aggregated cluster roles from this layer and from `below` it: several times, as they may
    /// feed each other, until nothing changes (or, with a cycle, as often as there are roles).
    pub(crate) fn fill_aggregated(&mut self, below: &[Value]) {
        let mut pool: Vec<Value> =
            below.iter().filter(|r| !self.cluster_roles.contains_key(object::name(r))).cloned().collect();
        pool.extend(self.aggregation.iter().cloned());
        let feeding = pool.iter().filter(|r| is_aggregated(r)).count();
        let mut changed = true;
        for _ in 0..=feeding {
            if !changed {
                break;
            }
            changed = false;
            for i in 0..pool.len() {
                let Some(rules) = aggregate(&pool[i], &pool) else { continue };
                if pool[i].get("rules") != Some(&rules) {
                    pool[i]["rules"] = rules;
                    changed = true;
                }
            }
        }
        for role in pool.iter().filter(|r| is_aggregated(r)) {
            self.cluster_roles.insert(object::name(role).to_owned(), Role::from_value(role));
        }
    }

    /// Whether objects of this layer can change the aggregated roles of a layer below it.
    pub(crate) fn touches_aggregation(&self, below: &[Value]) -> bool {
        !self.aggregation.is_empty() || below.iter().any(|r| self.cluster_roles.contains_key(object::name(r)))
    }

    /// The bindings in `namespace` (empty: of the whole cluster) that are for `user`. One may come twice.
    pub(crate) fn bindings<'s, 'q>(
        &'s self,
        namespace: &'q str,
        user: &'q UserInfo,
    ) -> impl Iterator<Item = &'s Arc<Binding>> + use<'s, 'q> {
        let scope = self.scopes.get(namespace);
        let users = scope.and_then(|s| s.users.get(&user.username)).into_iter().flatten();
        let groups = scope.into_iter().flat_map(|s| user.groups.iter().filter_map(|g| s.groups.get(g))).flatten();
        users.chain(groups)
    }

    pub(crate) fn has_binding(&self, namespace: &str, name: &str) -> bool {
        self.names.get(namespace).is_some_and(|names| names.binary_search_by(|n| n.as_str().cmp(name)).is_ok())
    }

    pub(crate) fn role(&self, namespace: &str, name: &str) -> Option<&Role> {
        self.roles.get(namespace)?.get(name)
    }
}

fn is_aggregated(role: &Value) -> bool {
    role.get("aggregationRule").is_some_and(|r| !r.is_null())
}

fn is_labelled(role: &Value) -> bool {
    role.pointer("/metadata/labels").and_then(Value::as_object).is_some_and(|l| !l.is_empty())
}
