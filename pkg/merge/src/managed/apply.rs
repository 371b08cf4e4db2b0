//! Server-side apply.

use std::borrow::Cow;

use kcp_apimachinery::object::{name, namespace};
use kcp_apimachinery::{GroupVersionKind, Status};
use kcp_schema::NodeRef;
use serde_json::{Map, Value};

use super::compare::{self, Diff};
use super::conflict::{self, Conflict};
use super::entries::{Entries, Entry, Identity};
use super::set::FieldSet;
use super::update::{reconcile, updated};
use super::{ResetFields, Writer, last_applied, managed_fields, put_managed_fields, strip};
use super::{check, fields, noop, overlay, remove, take_managed_fields};
use crate::node::Node;
use crate::{go, plain_error};

/// The manager of what was there before anybody applied (F-13).
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies the configuration `applied` to `live` (`None` creates) and returns the whole new object, with its
/// `metadata.managedFields`.
///
/// `applied` is the request's body as it was sent: nothing may have been defaulted or filled in. The result is not
/// defaulted, pruned or validated either (F-20). When it does not differ from `live`, it is `live` with all its
/// times (F-17).
///
/// Fails with 400 when the body is of another type or carries managed fields (F-01), with 500 when it does not
/// fit the schema, and without `force` with the 409 that lists the conflicts (F-05).
#[expect(clippy::needless_pass_by_value, reason = "what is applied is used up")]
pub fn apply(
    live: Option<&Value>,
    applied: Value,
    force: bool,
    writer: &Writer<'_>,
    schema: NodeRef<'_>,
    reset: &ResetFields,
) -> Result<Value, Status> {
    let kind = live.and_then(|l| l.get("kind")).or_else(|| applied.get("kind"));
    expect_type(&applied, writer.api_version, kind.and_then(Value::as_str).unwrap_or_default())?;
    if managed_fields(&applied).is_some_and(|list| !list.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let root = Node::root(schema);
    check::check(root, &applied)
        .map_err(|text| plain_error(format!("failed to create typed patch object ({}): {text}", describe(&applied))))?;

    let mut merged = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let stored = take_managed_fields(&mut merged);
    let (entries, unchanged) = {
        let mut entries = Entries::decode(stored.as_ref())
            .map_err(|text| plain_error(format!("failed to decode managed fields: {text}")))?;
        if let (true, Some(live)) = (entries.is_empty(), live) {
            let before = Writer { manager: BEFORE_FIRST_APPLY, ..*writer };
            entries = updated(entries, None, live, &before, schema, reset);
        }
        reconcile(root, &mut entries, reset);
        let me = Identity { manager: writer.name(), applied: true, api_version: "", subresource: writer.subresource };
        let mut sent = fields::of_object(root, &applied);
        sent.subtract_trees(&reset.set());
        let last = replace_fields(&mut entries, me, writer, sent);

        overlay::overlay(root, &mut merged, &applied);
        drop_disowned(root, &mut merged, &last, &entries, me);
        take_over(Take { root, live, merged: &merged, force, writer, reset }, &mut entries, me)?;
        let unchanged = live.is_some_and(|live| noop::same_but_managed(live, &merged, go::equal));
        stamp(&mut entries, me, writer, unchanged);
        (entries, unchanged)
    };
    let refreshed = last_applied::refresh(writer, &applied, &mut merged);
    if unchanged && !refreshed && entries.are(stored.as_ref()) {
        // Numbers may have been applied in another form.
        let identical = live.is_some_and(|live| noop::same_but_managed(live, &merged, Value::eq));
        if identical {
            put_managed_fields(&mut merged, stored);
            return Ok(merged);
        }
        return Ok(live.cloned().unwrap_or(merged));
    }
    let list = entries.encode();
    put_managed_fields(&mut merged, list);
    Ok(merged)
}

/// Checks that what is applied is of the endpoint's type (F-01): 400 otherwise. [`apply`] knows the kind of
/// existing objects only, so callers that create ask this first.
pub fn check_type(applied: &Value, expected: &GroupVersionKind) -> Result<(), Status> {
    expect_type(applied, &expected.api_version(), &expected.kind)
}

fn expect_type(applied: &Value, api_version: &str, kind: &str) -> Result<(), Status> {
    let text = |field: &str| applied.get(field).and_then(Value::as_str).unwrap_or_default();
    if text("apiVersion") == api_version && text("kind") == kind && !kind.is_empty() {
        return Ok(());
    }
    Err(Status::bad_request(format!("invalid object type: {}", go_type(applied))))
}

/// The type of an object as Go prints it, with the slash even in the core group.
fn go_type(object: &Value) -> String {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={}", text("kind"))
}

fn describe(object: &Value) -> String {
    format!("{}/{}; {}", namespace(object), name(object), go_type(object))
}

/// Makes `sent` the fields of the applier; returns those of its last apply.
fn replace_fields<'a>(
    entries: &mut Entries<'a>,
    me: Identity<'a>,
    writer: &Writer<'a>,
    sent: FieldSet<'a>,
) -> FieldSet<'a> {
    match entries.find_mut(me) {
        Some(entry) => {
            entry.api_version = writer.api_version.into();
            std::mem::replace(&mut entry.fields, sent)
        }
        None => {
            entries.push(Entry {
                manager: me.manager.into(),
                applied: true,
                api_version: writer.api_version.into(),
                subresource: me.subresource.into(),
                time: None,
                fields: sent,
            });
            FieldSet::new()
        }
    }
}

/// Removes what the applier no longer sends (F-08).
fn drop_disowned(root: Node<'_>, merged: &mut Value, last: &FieldSet<'_>, entries: &Entries<'_>, me: Identity<'_>) {
    let mut dropped = last.clone();
    if let Some(entry) = entries.find(me) {
        dropped.subtract(&entry.fields);
    }
    if dropped.is_empty() {
        return;
    }
    let mut owned = FieldSet::new();
    for entry in entries.iter() {
        owned.unite(entry.fields.clone());
    }
    remove::prune(root, merged, last, &owned);
}

struct Take<'a> {
    root: Node<'a>,
    live: Option<&'a Value>,
    merged: &'a Value,
    force: bool,
    writer: &'a Writer<'a>,
    reset: &'a ResetFields,
}

/// Finds the conflicts with other managers; without force they are an error, with it their fields are taken.
fn take_over(take: Take<'_>, entries: &mut Entries<'_>, me: Identity<'_>) -> Result<(), Status> {
    let empty = Value::Object(Map::new());
    let Diff { mut changed, mut removed } =
        compare::objects(take.root, Some(take.live.unwrap_or(&empty)), take.merged, false);
    let excluded = take.reset.set();
    changed.subtract_trees(&excluded);
    removed.subtract_trees(&excluded);
    if !take.force {
        let conflicts: Vec<Conflict<'_>> = entries
            .iter()
            .filter(|e| e.identity() != me && e.fields.intersects(&changed))
            .map(|e| Conflict::new(e, e.fields.intersection(&changed)))
            .collect();
        let conflicts = last_applied::disallowed(take.writer, take.root, take.live, conflicts);
        if !conflicts.is_empty() {
            return Err(conflict::status(conflicts));
        }
    }
    for entry in entries.iter_mut() {
        if entry.identity() == me {
            strip(&mut entry.fields);
        } else {
            entry.fields.subtract(&changed);
            entry.fields.subtract(&removed);
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    Ok(())
}

/// Gives the applier's entry its time: a new one when the object changes or the entry is new.
fn stamp<'a>(entries: &mut Entries<'a>, me: Identity<'_>, writer: &Writer<'a>, unchanged: bool) {
    if let Some(entry) = entries.find_mut(me)
        && (!unchanged || entry.time.is_none())
    {
        entry.time = Some(Cow::Borrowed(writer.now));
    }
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn types_are_printed_as_go_does() {
        for (object, want) in [
            (serde_json::json!({"apiVersion": "v2", "kind": "ConfigMap"}), "/v2, Kind=ConfigMap"),
            (serde_json::json!({}), "/, Kind="),
            (serde_json::json!({"apiVersion": "a/v1", "kind": "B"}), "a/v1, Kind=B"),
        ] {
            let status = check_type(&object, &GroupVersionKind::new("", "v1", "ConfigMap")).unwrap_err();
            assert_eq!((status.code, status.message), (400, format!("invalid object type: {want}")));
        }
    }
}
