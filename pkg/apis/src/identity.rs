//! Names in physical clusters that are derived from names in a workspace.
//!
//! The forms are those of the original, so that what it left behind is found again. They hash names, not ids: who may
//! use a physical namespace is decided by its [`Locator`] annotation, which carries the ids as well.

use serde_json::Value;
use sha2::{Digest, Sha224};

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The name of everything that one syncer has in its physical cluster: `kcpsync` and a hash of the workspace's path and
/// the WorkloadCluster's name.
pub fn syncer_id(path: &str, workload_cluster: &str) -> String {
    let mut hash = Sha224::new();
    hash.update(path);
    hash.update(workload_cluster);
    format!("kcpsync{}", hex(&hash.finalize()))
}

/// The SHA-224 of a text, in lower-case hex.
pub fn hash(text: &str) -> String {
    hex(&Sha224::digest(text))
}

/// Where the content of a physical namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locator {
    /// The workspace's path.
    pub path: String,
    /// The namespace in the workspace.
    pub namespace: String,
    /// The id of the logical cluster that the path stood for; empty in locators written by the original.
    pub cluster: String,
    /// The uid of the namespace in the workspace; empty in locators written by the original.
    pub uid: String,
    /// The name of the WorkloadCluster; empty in locators written by the original.
    pub workload_cluster: String,
}

impl Locator {
    /// The name of the physical namespace: `kcp` and a hash of path and namespace.
    pub fn physical_namespace(&self) -> String {
        physical_namespace(&self.path, &self.namespace)
    }

    /// The value of the annotation [`crate::workload::NAMESPACE_LOCATOR_ANNOTATION`].
    pub fn to_annotation(&self) -> String {
        let mut out = names_json(&self.path, &self.namespace);
        out.pop();
        for (key, value) in
            [("cluster", &self.cluster), ("uid", &self.uid), ("workload-cluster", &self.workload_cluster)]
        {
            if !value.is_empty() {
                out.push_str(&format!(",\"{key}\":{}", go_json_string(value)));
            }
        }
        out.push('}');
        out
    }

    /// Reads an annotation; `None` when it is not one of ours.
    pub fn parse(annotation: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(annotation).ok()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let locator = Self {
            path: text("logical-cluster"),
            namespace: text("namespace"),
            cluster: text("cluster"),
            uid: text("uid"),
            workload_cluster: text("workload-cluster"),
        };
        (!locator.path.is_empty() && !locator.namespace.is_empty()).then_some(locator)
    }

    /// Whether a physical namespace with the locator `found` is this one: the names agree, and so do the ids as far as
    /// both know them. A namespace of an earlier life of the same path is not.
    pub fn is_same(&self, found: &Self) -> bool {
        let agree = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        self.path == found.path
            && self.namespace == found.namespace
            && agree(&self.cluster, &found.cluster)
            && agree(&self.uid, &found.uid)
            && agree(&self.workload_cluster, &found.workload_cluster)
    }
}

/// The name of the physical namespace for `namespace` of the workspace at `path`.
pub fn physical_namespace(path: &str, namespace: &str) -> String {
    format!("kcp{}", hash(&names_json(path, namespace)))
}

/// The JSON that is hashed. Compact, the keys in this order.
fn names_json(path: &str, namespace: &str) -> String {
    format!("{{\"logical-cluster\":{},\"namespace\":{}}}", go_json_string(path), go_json_string(namespace))
}

fn go_json_string(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values: computed by the original.
    #[test]
    fn syncer_ids() {
        for (path, name, want) in [
            ("root:telcops:team-a", "ocp-sno", "kcpsync62b8b0fe1b9a34d30a44cfca0fe9178e76aaf6458e281621e40ed36d"),
            ("root:telcops:team-b", "ocp-ztp", "kcpsynce00a5bad4119dcb569cb69ddf97b6d45742deffc4b16720092cd27d4"),
            (
                "root:default:foo",
                "workload-cluster-name",
                "kcpsync25e6e3ce5be10b16411448aec95b6b6d695a1daa5120732019531d8d",
            ),
        ] {
            assert_eq!(syncer_id(path, name), want);
        }
    }

    /// Golden values: the names that the story shows.
    #[test]
    fn physical_namespaces() {
        for (path, want) in [
            ("root:telcops:team-a", "kcp3afd937aa61b43734af460119cd405930ccbdeade88b713fc804a0d6"),
            ("root:telcops:team-b", "kcpeed022296263aa537060763c3934139fb84185e2a39a8dcf8695c89e"),
        ] {
            assert_eq!(physical_namespace(path, "reverse-words"), want);
        }
    }

    #[test]
    fn locators_round_trip_and_tell_lives_apart() {
        let old = Locator { path: "root:a".into(), namespace: "n".into(), ..Locator::default() };
        assert_eq!(old.to_annotation(), r#"{"logical-cluster":"root:a","namespace":"n"}"#);
        let first = Locator { cluster: "c1".into(), uid: "u1".into(), workload_cluster: "w".into(), ..old.clone() };
        assert_eq!(
            first.to_annotation(),
            r#"{"logical-cluster":"root:a","namespace":"n","cluster":"c1","uid":"u1","workload-cluster":"w"}"#
        );
        assert_eq!(Locator::parse(&first.to_annotation()).as_ref(), Some(&first));
        let second = Locator { cluster: "c2".into(), ..first.clone() };
        assert!(first.is_same(&first) && first.is_same(&old) && !first.is_same(&second));
        assert_eq!(first.physical_namespace(), second.physical_namespace());
        for bad in ["", "{}", "x", r#"{"logical-cluster":"a"}"#, "[]"] {
            assert_eq!(Locator::parse(bad), None, "{bad}");
        }
    }
}
