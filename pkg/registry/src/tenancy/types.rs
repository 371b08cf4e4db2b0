//! What the type of a workspace says: what it extends, where it may be, what is set when one is made.

use std::collections::{BTreeMap, BTreeSet};

use kcp_apis::tenancy::WORKSPACE_TYPE;
use kcp_logicalcluster::{ClusterName, ClusterPath};
use serde_json::Value;

use crate::strategy::StrategyContext;

/// How many types one type may extend, directly or not.
const MOST: usize = 64;

/// A WorkspaceType, named by the path of the workspace that holds it and its own name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TypeName {
    pub(super) path: String,
    pub(super) name: String,
}

impl TypeName {
    /// Reads `{"name": …, "path": …}`; the path may be missing.
    pub(super) fn read(reference: &Value) -> Option<Self> {
        let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
        let name = text("name").to_ascii_lowercase();
        (!name.is_empty()).then(|| Self { path: text("path").to_owned(), name })
    }

    /// Reads `<path>:<name>`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (path, name) = text.rsplit_once(':')?;
        Some(Self { path: path.to_owned(), name: name.to_owned() })
    }
}

impl std::fmt::Display for TypeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path, self.name)
    }
}

/// A type and everything that it extends.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) object: Value,
    /// The logical cluster that holds the type.
    pub(super) cluster: Option<ClusterName>,
    /// The type itself and all that it extends.
    pub(super) aliases: BTreeSet<TypeName>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) initializers: Vec<String>,
}

/// Finds a type: where its path says, or else in `from` and then in each parent up to the root.
pub(super) fn find(
    ctx: &StrategyContext<'_>,
    from: &ClusterName,
    wanted: &TypeName,
) -> Option<(TypeName, ClusterName, Value)> {
    let tenancy = ctx.registry.tenancy();
    let read = |cluster: &ClusterName| {
        let found = ctx.registry.read_value(
            ctx.snapshot,
            cluster,
            WORKSPACE_TYPE.group,
            WORKSPACE_TYPE.resource,
            "",
            &wanted.name,
        )?;
        let path = tenancy.path(cluster)?.to_string();
        Some((TypeName { path, name: wanted.name.clone() }, cluster.clone(), found))
    };
    if !wanted.path.is_empty() {
        let path = ClusterPath::new(&wanted.path).ok()?;
        return read(&tenancy.resolve(&kcp_logicalcluster::ClusterRef::Path(path))?.name);
    }
    let mut at = from.clone();
    loop {
        if let Some(found) = read(&at) {
            return Some(found);
        }
        at = tenancy.parent(&at)?.0;
    }
}

/// A type with all that it extends. Extended types that do not exist add nothing.
pub(super) fn resolve(
    ctx: &StrategyContext<'_>,
    from: &ClusterName,
    wanted: &TypeName,
) -> Option<(TypeName, Resolved)> {
    let (name, cluster, object) = find(ctx, from, wanted)?;
    let mut all = Resolved { cluster: Some(cluster.clone()), ..Resolved::default() };
    let mut queue = vec![(name.clone(), cluster, object.clone())];
    while let Some((name, cluster, object)) = queue.pop() {
        if all.aliases.len() >= MOST || !all.aliases.insert(name.clone()) {
            continue;
        }
        let labels = object.pointer("/spec/additionalWorkspaceLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            if let Some(value) = value.as_str() {
                all.labels.entry(key.clone()).or_insert_with(|| value.to_owned());
            }
        }
        if object.pointer("/spec/initializer") == Some(&Value::Bool(true)) {
            all.initializers.push(name.to_string());
        }
        for extended in list(&object, "/spec/extend/with") {
            queue.extend(find(ctx, &cluster, &extended));
        }
    }
    all.initializers.sort();
    all.object = object;
    Some((name, all))
}

/// The type references at a path.
pub(super) fn list(object: &Value, pointer: &str) -> Vec<TypeName> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(TypeName::read).collect()
}

/// Whether `limit` (`none`, `types`) lets any of `candidates` in. References without a path mean the workspace that holds
/// the type which limits.
pub(super) fn allows(limit: &Value, home: &str, candidates: &BTreeSet<TypeName>) -> Result<(), Vec<String>> {
    if limit.get("none") == Some(&Value::Bool(true)) {
        return Err(Vec::new());
    }
    let mut types = list(limit, "/types");
    if types.is_empty() {
        return Ok(());
    }
    for t in &mut types {
        if t.path.is_empty() {
            home.clone_into(&mut t.path);
        }
    }
    if types.iter().any(|t| candidates.contains(t)) {
        Ok(())
    } else {
        Err(types.iter().map(TypeName::to_string).collect())
    }
}
