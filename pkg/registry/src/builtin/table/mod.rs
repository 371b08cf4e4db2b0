//! The built-in resources as a table: names, verbs, printer columns, storage hashes.
//!
//! Static data, so that nothing is parsed at start. The facts were recorded from a Kubernetes 1.36 server
//! (`data/README.md`); the tests hold each row against the recording, so a slip of the pen is found at once.

mod control;
mod core;
mod platform;
mod workloads;

/// Which verbs a resource offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// Everything.
    All,
    /// Everything but `deletecollection` (G-10).
    NoCollection,
    /// `create` only: reviews (C-16) and `/token`.
    Create,
    /// `get`, `patch`, `update`: what a `/status` offers.
    ReadWrite,
    /// `update` only: `/finalize` (B-07).
    Update,
}

impl Verbs {
    /// The verbs in the order of discovery.
    pub fn list(self) -> &'static [&'static str] {
        match self {
            Self::All => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            Self::NoCollection => &["create", "delete", "get", "list", "patch", "update", "watch"],
            Self::Create => &["create"],
            Self::ReadWrite => &["get", "patch", "update"],
            Self::Update => &["update"],
        }
    }
}

/// One printer column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Col {
    /// The heading.
    pub name: &'static str,
    /// `string`, `integer`, `boolean` or `date`.
    pub ty: &'static str,
    /// `name` for the column with the object's name.
    pub format: &'static str,
    /// 1 for columns that only `-o wide` shows.
    pub priority: i32,
}

impl Col {
    const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

const fn name(heading: &'static str) -> Col {
    Col { name: heading, ty: "string", format: "name", priority: 0 }
}
const fn text(heading: &'static str) -> Col {
    Col { name: heading, ty: "string", format: "", priority: 0 }
}
const fn integer(heading: &'static str) -> Col {
    Col { name: heading, ty: "integer", format: "", priority: 0 }
}
const fn boolean(heading: &'static str) -> Col {
    Col { name: heading, ty: "boolean", format: "", priority: 0 }
}
const fn date(heading: &'static str) -> Col {
    Col { name: heading, ty: "date", format: "", priority: 0 }
}
const NAME: Col = name("Name");
const AGE: Col = text("Age");

/// A subresource of a [`Row`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sub {
    /// `status`, `scale`, …
    pub name: &'static str,
    /// The group of what it reads and writes.
    pub group: &'static str,
    /// The version of what it reads and writes.
    pub version: &'static str,
    /// The kind of what it reads and writes.
    pub kind: &'static str,
    /// Its verbs.
    pub verbs: Verbs,
}

/// Served in workspaces.
pub const WORKSPACE: u8 = 1;
/// Served in physical clusters: the workload pack.
pub const PHYSICAL: u8 = 2;
const BOTH: u8 = WORKSPACE | PHYSICAL;

/// One built-in resource in one version.
#[derive(Debug)]
pub struct Row {
    /// The group, empty for core.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The resource.
    pub plural: &'static str,
    /// The name for one of them (D-05).
    pub singular: &'static str,
    /// Short names.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether it lives in namespaces.
    pub namespaced: bool,
    /// Its verbs.
    pub verbs: Verbs,
    /// The storage version hash, empty for what is not stored (D-07).
    pub hash: &'static str,
    /// The name of its schema in `data/schemas`.
    pub schema: &'static str,
    /// Its subresources, without those that need a kubelet.
    pub subresources: &'static [Sub],
    /// Its printer columns (P-07); empty when it has none of its own.
    pub columns: &'static [Col],
    /// [`WORKSPACE`], [`PHYSICAL`] or both.
    pub packs: u8,
}

/// All rows, in the order of discovery: core first, then by the priorities of Kubernetes (D-08).
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let mut all: Vec<&'static Row> =
        [core::ROWS, control::ROWS, workloads::ROWS, platform::ROWS].into_iter().flatten().collect();
    all.sort_by_key(|r| (group_order(r.group), std::cmp::Reverse(r.version)));
    all.into_iter()
}

/// The row of a resource in a version.
pub fn row(group: &str, version: &str, plural: &str) -> Option<&'static Row> {
    [core::ROWS, control::ROWS, workloads::ROWS, platform::ROWS]
        .into_iter()
        .flatten()
        .find(|r| r.plural == plural && r.group == group && r.version == version)
}

/// The order of the built-in groups in `/apis` (D-08).
pub const GROUP_ORDER: [&str; 17] = [
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
];

/// Where a built-in group stands in `/apis`; what is not built in comes after all of these (D-08).
pub fn group_order(group: &str) -> usize {
    GROUP_ORDER.iter().position(|g| *g == group).unwrap_or(GROUP_ORDER.len())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn recorded(file: &str) -> Value {
        serde_json::from_str(file).unwrap()
    }

    /// D-04, D-05, D-07: every row is what the recorded server says about that resource.
    #[test]
    fn rows_are_as_recorded() {
        let discovery = recorded(include_str!("../../../data/discovery.json"));
        for row in rows() {
            let gv =
                if row.group.is_empty() { "api/v1".to_owned() } else { format!("apis/{}/{}", row.group, row.version) };
            let list = discovery[&gv]["resources"].as_array().unwrap();
            let find = |name: &str| list.iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{gv} {name}"));
            let strings = |v: &Value| -> Vec<String> {
                v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let r = find(row.plural);
            assert_eq!(r["kind"], row.kind);
            assert_eq!(r["singularName"], row.singular);
            assert_eq!(r["namespaced"], row.namespaced);
            assert_eq!(strings(&r["verbs"]), row.verbs.list());
            assert_eq!(strings(&r["shortNames"]), row.short_names);
            assert_eq!(strings(&r["categories"]), row.categories);
            assert_eq!(r["storageVersionHash"].as_str().unwrap_or_default(), row.hash);
            for sub in row.subresources {
                let s = find(&format!("{}/{}", row.plural, sub.name));
                assert_eq!(s["kind"], sub.kind);
                assert_eq!(s["group"].as_str().unwrap_or(row.group), sub.group);
                assert_eq!(s["version"].as_str().unwrap_or(row.version), sub.version);
                assert_eq!(strings(&s["verbs"]), sub.verbs.list());
            }
        }
    }

    /// P-07: every column is what the recorded server prints.
    #[test]
    fn columns_are_as_recorded() {
        let columns = recorded(include_str!("../../../data/table-columns.json"));
        for row in rows() {
            let gv =
                if row.group.is_empty() { "api/v1".to_owned() } else { format!("apis/{}/{}", row.group, row.version) };
            let recorded = columns[&format!("{gv}/{}", row.plural)].as_array().cloned().unwrap_or_default();
            assert_eq!(recorded.len(), row.columns.len(), "{gv} {}", row.plural);
            for (r, c) in recorded.iter().zip(row.columns) {
                assert_eq!((r["name"].as_str(), r["type"].as_str()), (Some(c.name), Some(c.ty)));
                assert_eq!(
                    (r["format"].as_str(), r["priority"].as_i64()),
                    (Some(c.format), Some(i64::from(c.priority)))
                );
            }
        }
    }

    #[test]
    fn order_and_packs() {
        let workspace: Vec<String> = rows()
            .filter(|r| r.packs & WORKSPACE != 0)
            .map(|r| if r.group.is_empty() { r.plural.to_owned() } else { format!("{}.{}", r.plural, r.group) })
            .collect();
        assert_eq!(
            &workspace[..7],
            ["configmaps", "events", "limitranges", "namespaces", "resourcequotas", "secrets", "serviceaccounts"]
        );
        assert!(!workspace.iter().any(|r| r.starts_with("pods") || r.ends_with("apps")), "{workspace:?}");
        let hpa: Vec<&str> = rows().filter(|r| r.group == "autoscaling").map(|r| r.version).collect();
        assert_eq!(hpa, ["v2", "v1"]);
        assert!(row("apps", "v1", "deployments").is_some_and(|r| r.packs == PHYSICAL));
    }
}
