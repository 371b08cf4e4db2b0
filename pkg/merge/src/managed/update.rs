//! Ownership after a create, an update or a patch.

use std::borrow::Cow;

use kcp_schema::{NodeRef, Zero};
use serde_json::Value;

use super::compare::{self, Diff};
use super::entries::{Entries, Entry, Identity};
use super::set::FieldSet;
use super::{ResetFields, Writer, fields, managed_fields, put_managed_fields, strip, take_managed_fields};
use crate::node::Node;

/// Recomputes `metadata.managedFields` of `new`, the object as it is to be stored, after `live`; `live` is `None`
/// for an object that is created.
///
/// `new` is what the request asks for, decoded, defaulted and patched, but before the server fills in what nobody
/// sent (a Namespace's finalizers, an incremented generation): that belongs to nobody.
///
/// The writer owns what it changed, in an `Update` entry of its own (C-11, F-04); others no longer own what was
/// changed or removed. Managed fields sent along with the object replace the stored ones, an empty list or one
/// empty entry resets them (F-15), and an object that is not tracked stays so until it is applied (F-13). Fields
/// that the endpoint resets (F-10) are as if unchanged.
pub fn track_update(
    live: Option<&Value>,
    new: &mut Value,
    writer: &Writer<'_>,
    schema: NodeRef<'_>,
    reset: &ResetFields,
) {
    let sent = take_managed_fields(new);
    let stored = live.and_then(managed_fields);
    let entries = known_entries(sent.as_ref(), stored, writer);
    if entries.is_empty() && live.is_some() {
        return;
    }
    let list = updated(entries, live, new, writer, schema, reset).encode();
    put_managed_fields(new, list);
}

/// The entries that a write starts from.
fn known_entries<'a>(sent: Option<&'a Value>, stored: Option<&'a Value>, writer: &Writer<'_>) -> Entries<'a> {
    let stored = || Entries::decode(stored).unwrap_or_default();
    // Nobody manages managed fields through a subresource.
    if !writer.subresource.is_empty() {
        return stored();
    }
    match sent {
        Some(list) if is_reset(list) => Entries::default(),
        sent => match Entries::decode(sent) {
            Ok(entries) if !entries.is_empty() => entries,
            // Clients that do not know the field leave it out, and some break it.
            _ => stored(),
        },
    }
}

fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    }
}

/// Whether a schema is that of a built-in type, whose objects go through a typed decoder.
pub(super) fn is_typed(schema: NodeRef<'_>) -> bool {
    schema.zero("metadata") == Some(Zero::Map)
}

/// The entries after a write by an updater.
pub(super) fn updated<'a>(
    mut entries: Entries<'a>,
    live: Option<&'a Value>,
    new: &'a Value,
    writer: &Writer<'a>,
    schema: NodeRef<'a>,
    reset: &'a ResetFields,
) -> Entries<'a> {
    let root = Node::root(schema);
    reconcile(root, &mut entries, reset);
    let Diff { mut changed, mut removed } = compare::objects(root, live, new, is_typed(schema));
    let excluded = reset.set();
    changed.subtract_trees(&excluded);
    removed.subtract_trees(&excluded);
    disown(&mut entries, &changed, &removed);
    strip(&mut changed);
    if !changed.is_empty() {
        own(&mut entries, changed, writer);
    }
    entries.cap();
    entries
}

/// Drops entries of versions that are gone, and makes the others fit the schema.
pub(super) fn reconcile(root: Node<'_>, entries: &mut Entries<'_>, reset: &ResetFields) {
    entries.retain(|entry| reset.serves(&entry.api_version));
    for entry in entries.iter_mut() {
        fields::reconcile(root, &mut entry.fields);
    }
}

/// Takes changed and removed fields from all managers.
fn disown(entries: &mut Entries<'_>, changed: &FieldSet<'_>, removed: &FieldSet<'_>) {
    for entry in entries.iter_mut() {
        entry.fields.subtract(changed);
        entry.fields.subtract(removed);
    }
    entries.retain(|entry| !entry.fields.is_empty());
}

fn own<'a>(entries: &mut Entries<'a>, changed: FieldSet<'a>, writer: &Writer<'a>) {
    let identity = Identity {
        manager: writer.name(),
        applied: false,
        api_version: writer.api_version,
        subresource: writer.subresource,
    };
    let time = Some(Cow::Borrowed(writer.now));
    match entries.find_mut(identity) {
        Some(entry) => {
            entry.fields.unite(changed);
            entry.time = time;
        }
        None => entries.push(Entry {
            manager: identity.manager.into(),
            applied: false,
            api_version: identity.api_version.into(),
            subresource: identity.subresource.into(),
            time,
            fields: changed,
        }),
    }
}
