//! The table of all types of one logical cluster.
//!
//! A [`TypeTable`] is a base that all logical clusters share plus what is special to one; it never changes.

use std::{collections::HashMap, sync::Arc};

use kcp_apimachinery::{GroupResource, GroupVersion, GroupVersionKind, gvk::compare_versions};
use sha2::{Digest as _, Sha256};

use crate::types::ResourceInfo;

/// A group as discovery shows it.
#[derive(Debug, Clone)]
pub struct GroupInfo {
    /// Its name, empty for core.
    pub name: String,
    /// Its versions, the preferred one first (D-08), each with its resources in the order of discovery.
    pub versions: Vec<VersionInfo>,
}

/// A version of a group as discovery shows it.
#[derive(Debug, Clone)]
pub struct VersionInfo {
    /// Its name.
    pub version: String,
    /// Its resources, by name.
    pub resources: Vec<Arc<ResourceInfo>>,
}

/// What a table knows about the definition behind a custom type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionState {
    /// The uid of the CustomResourceDefinition.
    pub uid: String,
    /// The definition is being deleted: nothing may be created (CRD-10).
    pub terminating: bool,
    /// The revision of the definition itself. A create checks that it has not changed.
    pub revision: kcp_storage::Revision,
    /// Objects written before this revision may have been written under another schema: they are pruned and
    /// defaulted when read (SC-04, SC-06). 0 when the schema has never changed.
    pub fixup_before: kcp_storage::Revision,
}

/// All types of one logical cluster.
#[derive(Debug, Default)]
pub struct TypeTable {
    base: Option<Arc<Self>>,
    /// group → version → resource.
    own: HashMap<String, HashMap<String, HashMap<String, Arc<ResourceInfo>>>>,
    /// By the storage's group and resource.
    definitions: HashMap<GroupResource, DefinitionState>,
    /// The order of groups that comes before the alphabetical one.
    group_order: Vec<String>,
    generation: [u8; 32],
}

impl TypeTable {
    /// A resource in a version.
    pub fn lookup(&self, group: &str, version: &str, resource: &str) -> Option<Arc<ResourceInfo>> {
        self.get(group, version, resource).cloned()
    }

    fn get(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<ResourceInfo>> {
        self.own
            .get(group)
            .and_then(|g| g.get(version)?.get(resource))
            .or_else(|| self.base.as_ref().and_then(|b| b.get(group, version, resource)))
    }

    /// A resource in the version that its group prefers.
    pub fn lookup_any_version(&self, group: &str, resource: &str) -> Option<Arc<ResourceInfo>> {
        let mut found: Option<&Arc<ResourceInfo>> = None;
        for info in self.iter().filter(|i| i.gvk.group == group && i.resource == resource) {
            if found.is_none_or(|f| compare_versions(&info.gvk.version, &f.gvk.version).is_lt()) {
                found = Some(info);
            }
        }
        found.cloned()
    }

    /// The resource of a kind.
    pub fn by_kind(&self, gvk: &GroupVersionKind) -> Option<Arc<ResourceInfo>> {
        self.iter().find(|i| i.gvk == *gvk && i.is_stored()).cloned()
    }

    /// Whether any resource of `group` is served in `version`.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.own.get(group).is_some_and(|g| g.get(version).is_some_and(|v| !v.is_empty()))
            || self.base.as_ref().is_some_and(|b| b.has_version(group, version))
    }

    /// Every resource in every version, in no order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Arc<ResourceInfo>> + '_> {
        let own = self.own.values().flat_map(HashMap::values).flat_map(HashMap::values);
        match &self.base {
            None => Box::new(own),
            Some(base) => Box::new(own.chain(base.iter())),
        }
    }

    /// Every group in the order of discovery (D-08): the built-in ones as their table says, the others by name.
    pub fn groups(&self) -> Vec<GroupInfo> {
        let mut groups: HashMap<&str, HashMap<&str, Vec<Arc<ResourceInfo>>>> = HashMap::new();
        for info in self.iter() {
            groups.entry(&info.gvk.group).or_default().entry(&info.gvk.version).or_default().push(Arc::clone(info));
        }
        let mut groups: Vec<GroupInfo> = groups
            .into_iter()
            .map(|(name, versions)| {
                let mut versions: Vec<VersionInfo> = versions
                    .into_iter()
                    .map(|(version, mut resources)| {
                        resources.sort_by(|a, b| a.resource.cmp(&b.resource));
                        VersionInfo { version: version.to_owned(), resources }
                    })
                    .collect();
                versions.sort_by(|a, b| compare_versions(&a.version, &b.version));
                GroupInfo { name: name.to_owned(), versions }
            })
            .collect();
        let order = self.group_order();
        let rank = |name: &str| order.iter().position(|g| g == name).unwrap_or(order.len());
        groups.sort_by(|a, b| (rank(&a.name), &a.name).cmp(&(rank(&b.name), &b.name)));
        groups
    }

    fn group_order(&self) -> &[String] {
        match &self.base {
            Some(base) if self.group_order.is_empty() => base.group_order(),
            _ => &self.group_order,
        }
    }

    /// The versions that a group is served in, the preferred one first.
    pub fn versions(&self, group: &str) -> Vec<GroupVersion> {
        let mut found: Vec<&str> = Vec::new();
        let mut table = Some(self);
        while let Some(at) = table {
            found.extend(at.own.get(group).into_iter().flat_map(HashMap::keys).map(String::as_str));
            table = at.base.as_deref();
        }
        found.sort_by(|a, b| compare_versions(a, b));
        found.dedup();
        found.into_iter().map(|v| GroupVersion::new(group, v)).collect()
    }

    /// The state of the definition behind a custom type; `None` for built-in ones.
    pub fn definition(&self, storage: &GroupResource) -> Option<&DefinitionState> {
        self.definitions.get(storage)
    }

    /// A hash of all that is served: it changes when and only when discovery or a schema does (D-13, O-04).
    pub fn generation(&self) -> &[u8; 32] {
        &self.generation
    }

    /// Whether the table has no types but those that every logical cluster has.
    pub fn is_base_only(&self) -> bool {
        self.base.is_none() || self.own.is_empty()
    }
}

/// Puts a [`TypeTable`] together.
#[derive(Debug, Default)]
pub struct TypeTableBuilder(TypeTable);

impl TypeTableBuilder {
    /// An empty table whose groups stand in the given order, all others after them by name.
    pub fn new(group_order: impl IntoIterator<Item = String>) -> Self {
        Self(TypeTable { group_order: group_order.into_iter().collect(), ..TypeTable::default() })
    }
    /// A table on top of `base`.
    pub fn over(base: Arc<TypeTable>) -> Self {
        Self(TypeTable { base: Some(base), ..TypeTable::default() })
    }
    /// Adds a resource; one of the same group, version and name is replaced.
    pub fn add(&mut self, info: Arc<ResourceInfo>) -> &mut Self {
        let (group, version) = (info.gvk.group.clone(), info.gvk.version.clone());
        self.0.own.entry(group).or_default().entry(version).or_default().insert(info.resource.clone(), info);
        self
    }
    /// Says what is behind the custom types that are stored as `storage`.
    pub fn define(&mut self, storage: GroupResource, state: DefinitionState) -> &mut Self {
        self.0.definitions.insert(storage, state);
        self
    }
    /// The table.
    pub fn build(self) -> TypeTable {
        let mut table = self.0;
        let mut lines: Vec<String> = table
            .own
            .values()
            .flat_map(HashMap::values)
            .flat_map(HashMap::values)
            .map(|i| {
                format!(
                    "{} {} {:?} {:?}",
                    i.gvr(),
                    i.gvk.kind,
                    i.content_hash,
                    table.definitions.get(&i.storage.group_resource).map(|d| d.terminating)
                )
            })
            .collect();
        lines.sort();
        let mut hash = Sha256::new();
        if let Some(base) = &table.base {
            hash.update(base.generation);
        }
        for line in lines {
            hash.update(line);
            hash.update([0]);
        }
        table.generation = hash.finalize().into();
        table
    }
}
