//! `metadata.managedFields`: the entries, who they belong to, their order and their number.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::fields_v1;
use super::set::FieldSet;

/// More Update entries than these are merged into one (F-16).
const MAX_UPDATE_ENTRIES: usize = 10;

/// The manager that old Update entries are merged into.
const ANCIENT: &str = "ancient-changes";

/// What a manager owns.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) manager: Cow<'a, str>,
    pub(crate) applied: bool,
    pub(crate) api_version: Cow<'a, str>,
    pub(crate) subresource: Cow<'a, str>,
    pub(crate) time: Option<Cow<'a, str>>,
    pub(crate) fields: FieldSet<'a>,
}

/// Who an entry belongs to (F-04): appliers are the same in every version, updaters are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity<'e> {
    pub(crate) manager: &'e str,
    pub(crate) applied: bool,
    pub(crate) api_version: &'e str,
    pub(crate) subresource: &'e str,
}

impl<'a> Entry<'a> {
    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity {
            manager: &self.manager,
            applied: self.applied,
            api_version: if self.applied { "" } else { &self.api_version },
            subresource: &self.subresource,
        }
    }

    fn decode(entry: &'a Value, index: usize) -> Result<Self, String> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let applied = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
        }
        let fields = entry.get("fieldsV1").map_or_else(|| Ok(FieldSet::new()), fields_v1::decode)?;
        Ok(Self {
            manager: text("manager").into(),
            applied,
            api_version: text("apiVersion").into(),
            subresource: text("subresource").into(),
            time: entry.get("time").and_then(Value::as_str).map(Cow::Borrowed),
            fields,
        })
    }

    fn encode(&self) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("apiVersion", self.api_version.as_ref().into());
        put("fieldsType", "FieldsV1".into());
        put("fieldsV1", fields_v1::encode(&self.fields));
        put("manager", self.manager.as_ref().into());
        put("operation", self.operation().into());
        if !self.subresource.is_empty() {
            put("subresource", self.subresource.as_ref().into());
        }
        if let Some(time) = &self.time {
            put("time", time.as_ref().into());
        }
        Value::Object(map)
    }

    fn operation(&self) -> &'static str {
        if self.applied { "Apply" } else { "Update" }
    }

    /// Whether `value` is this entry, whatever its time.
    fn is(&self, value: &Value) -> bool {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        self.manager == text("manager")
            && self.operation() == text("operation")
            && self.api_version == text("apiVersion")
            && self.subresource == text("subresource")
            && value.get("fieldsV1").is_some_and(|fields| fields_v1::same(&self.fields, fields))
    }
}

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries<'a> {
    all: Vec<Entry<'a>>,
}

impl<'a> Entries<'a> {
    /// Reads `metadata.managedFields`; an absent list has no entries. Entries of one identity are united.
    pub(crate) fn decode(list: Option<&'a Value>) -> Result<Self, String> {
        let mut entries = Self::default();
        for (i, entry) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let entry = Entry::decode(entry, i)?;
            match entries.find_mut(entry.identity()) {
                Some(known) => known.fields.unite(entry.fields),
                None => entries.all.push(entry),
            }
        }
        Ok(entries)
    }

    /// The list for `metadata.managedFields` in its order (F-18); `None` when there are no entries.
    pub(crate) fn encode(mut self) -> Option<Value> {
        if self.all.is_empty() {
            return None;
        }
        self.sort();
        Some(Value::Array(self.all.iter().map(Entry::encode).collect()))
    }

    fn sort(&mut self) {
        self.all.sort_by(|a, b| {
            // `Apply` comes before `Update`. Times are UTC with whole seconds, so their texts sort.
            (b.applied.cmp(&a.applied))
                .then_with(|| a.time.cmp(&b.time))
                .then_with(|| a.manager.cmp(&b.manager))
                .then_with(|| a.api_version.cmp(&b.api_version))
                .then_with(|| a.subresource.cmp(&b.subresource))
        });
    }

    /// Whether these are the entries of `list`, in any order and whatever their times.
    pub(crate) fn are(&self, list: Option<&Value>) -> bool {
        let list = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.len() == self.all.len() && self.all.iter().all(|entry| list.iter().any(|value| entry.is(value)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<'a>> {
        self.all.iter_mut()
    }

    pub(crate) fn find(&self, identity: Identity<'_>) -> Option<&Entry<'a>> {
        self.all.iter().find(|e| e.identity() == identity)
    }

    pub(crate) fn find_mut(&mut self, identity: Identity<'_>) -> Option<&mut Entry<'a>> {
        self.all.iter_mut().find(|e| e.identity() == identity)
    }

    pub(crate) fn push(&mut self, entry: Entry<'a>) {
        self.all.push(entry);
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Entry<'a>) -> bool) {
        self.all.retain(keep);
    }

    /// Merges the oldest Update entries until there are few enough (F-16), version by version.
    pub(crate) fn cap(&mut self) {
        let updates = self.all.iter().filter(|e| !e.applied).count();
        if updates <= MAX_UPDATE_ENTRIES {
            return;
        }
        let (mut updaters, appliers): (Vec<_>, Vec<_>) = self.all.drain(..).partition(|e| !e.applied);
        // What was merged before comes first, so that there is never a second bucket of a version.
        let age = |e: &Entry<'a>| e.manager != ANCIENT;
        updaters.sort_by(|a, b| {
            (age(a).cmp(&age(b))).then_with(|| a.time.cmp(&b.time)).then_with(|| a.identity().cmp(&b.identity()))
        });
        let mut excess = updates - MAX_UPDATE_ENTRIES;
        let mut kept: Vec<Entry<'a>> = Vec::with_capacity(MAX_UPDATE_ENTRIES);
        let mut merging = true;
        for entry in updaters {
            merging &= excess > 0;
            // The first old entry of a version waits; the second one makes a bucket of it.
            let bucket = if merging { kept.iter_mut().find(|k| k.api_version == entry.api_version) } else { None };
            match bucket {
                Some(bucket) => {
                    bucket.manager = ANCIENT.into();
                    bucket.subresource = "".into();
                    bucket.fields.unite(entry.fields);
                    bucket.time = entry.time;
                    excess -= 1;
                }
                None => kept.push(entry),
            }
        }
        self.all = appliers;
        self.all.append(&mut kept);
    }
}
