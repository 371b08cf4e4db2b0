//! The way from client-side to server-side apply (F-14).
//!
//! Objects that `kubectl apply` made carry what was last applied in an annotation, and their fields belong to an
//! Update entry. When `kubectl` applies such an object on the server, fields that still are as the annotation
//! says are its own and no conflict, and the annotation is kept up to date for older clients.

use serde_json::{Map, Value};

use super::compare::{self, Diff};
use super::conflict::Conflict;
use super::set::FieldSet;
use super::{Writer, check, fields};
use crate::go;
use crate::node::Node;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager name of `kubectl apply --server-side`; other names opt out.
const KUBECTL: &str = "kubectl";

/// What the annotations of an object may take together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str().filter(|text| !text.is_empty())
}

/// The conflicts that count for this writer: none when the annotation allows them all.
pub(crate) fn disallowed<'a>(
    writer: &Writer<'_>,
    root: Node<'_>,
    live: Option<&Value>,
    mut conflicts: Vec<Conflict<'a>>,
) -> Vec<Conflict<'a>> {
    if writer.manager != KUBECTL || conflicts.is_empty() {
        return conflicts;
    }
    let Some(allowed) = live.and_then(|live| allowed(writer, root, live)) else { return conflicts };
    for conflict in &mut conflicts {
        conflict.fields.subtract(&allowed);
    }
    conflicts.retain(|conflict| !conflict.fields.is_empty());
    conflicts
}

/// The fields that still are as the annotation of `live` says.
fn allowed(writer: &Writer<'_>, root: Node<'_>, live: &Value) -> Option<FieldSet<'static>> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion")?.as_str()? != writer.api_version || check::check(root, &last).is_err() {
        return None;
    }
    let mut set = fields::of_object(root, &last);
    let Diff { changed, removed } = compare::objects(root, Some(&last), live, false);
    set.subtract(&changed);
    set.subtract(&removed);
    Some(set.into_owned())
}

/// Writes what was applied into the annotation of `merged`, if it has one; tells whether it changed.
pub(crate) fn refresh(writer: &Writer<'_>, applied: &Value, merged: &mut Value) -> bool {
    let Some(old) = annotation(merged).filter(|_| writer.manager == KUBECTL) else { return false };
    let text = without_annotation(applied);
    if old == text {
        return false;
    }
    let annotations = merged.get_mut("metadata").and_then(|m| m.get_mut("annotations")).and_then(Value::as_object_mut);
    let Some(annotations) = annotations else { return false };
    annotations.insert(ANNOTATION.to_owned(), text.into());
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
    true
}

/// `applied` as the annotation holds it: JSON with a line end, without the annotation itself.
fn without_annotation(applied: &Value) -> String {
    let mut copy;
    let mut plain = applied;
    if annotation(applied).is_some() {
        copy = applied.clone();
        let annotations = copy.get_mut("metadata").and_then(|m| m.get_mut("annotations"));
        annotations.and_then(Value::as_object_mut).map(|map: &mut Map<_, _>| map.remove(ANNOTATION));
        plain = &copy;
    }
    let mut text = String::new();
    go::write_json(plain, &mut text);
    text.push('\n');
    text
}
