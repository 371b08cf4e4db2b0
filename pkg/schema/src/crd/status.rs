//! What the controllers of CRDs write into their status (CRD-03, CRD-04, CRD-05), as pure functions.

use std::collections::BTreeSet;

use kcp_apimachinery::FieldPath;
use kcp_apimachinery::field::go_quote;
use kcp_apimachinery::object::as_map;
use serde_json::{Map, Value, json};

use super::approval::{self, Approval};
use super::view::{Names, View, text};
use super::{keywords, structural};

const CONFORMANT: &str = "KubernetesAPIApprovalPolicyConformant";

/// The condition of the given type.
pub fn condition<'a>(crd: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = crd.get("status")?.get("conditions")?.as_array()?;
    conditions.iter().find(|condition| text(condition, "type") == kind)
}

/// Whether the condition of the given type is True.
pub fn is_true(crd: &Value, kind: &str) -> bool {
    condition(crd, kind).is_some_and(|condition| text(condition, "status") == "True")
}

/// Sets a condition; its transition time changes only with its status.
pub fn set_condition(crd: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let since = condition(crd, kind)
        .filter(|old| text(old, "status") == status)
        .map(|old| text(old, "lastTransitionTime"))
        .filter(|time| !time.is_empty());
    let new = json!({"type": kind, "status": status, "lastTransitionTime": since.unwrap_or(now), "reason": reason,
                     "message": message});
    let list = conditions_mut(crd);
    match list.iter_mut().find(|condition| text(condition, "type") == kind) {
        Some(slot) => *slot = new,
        None => list.push(new),
    }
}

/// Removes the condition of the given type.
pub fn remove_condition(crd: &mut Value, kind: &str) {
    if condition(crd, kind).is_some() {
        conditions_mut(crd).retain(|condition| text(condition, "type") != kind);
    }
}

fn conditions_mut(crd: &mut Value) -> &mut Vec<Value> {
    let status = as_map(as_map(crd).entry("status").or_insert(Value::Null));
    let conditions = status.entry("conditions").or_insert(Value::Null);
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    match conditions {
        Value::Array(list) => list,
        _ => unreachable!("made a list above"),
    }
}

/// The names that the CRDs of one group hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamesInUse {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl NamesInUse {
    /// Collects what other CRDs of `group` hold: give all CRDs, `except` is the name of the one that asks.
    pub fn collect<'a>(crds: impl IntoIterator<Item = &'a Value>, group: &str, except: &str) -> Self {
        let mut used = Self::default();
        for crd in crds {
            let same = crd.get("spec").is_some_and(|spec| text(spec, "group") == group);
            if !same || kcp_apimachinery::object::name(crd) == except {
                continue;
            }
            if let Some(names) = crd.get("status").and_then(|status| status.get("acceptedNames")) {
                used.hold(&Names::of(names));
            }
        }
        used
    }

    /// Adds names held by something else, such as a built-in type of the group.
    pub fn add(&mut self, plural: &str, singular: &str, short_names: &[&str], kind: &str, list_kind: &str) {
        self.hold(&Names {
            plural,
            singular,
            kind,
            list_kind,
            short_names: short_names.to_vec(),
            categories: Vec::new(),
        });
    }

    fn hold(&mut self, names: &Names<'_>) {
        let add = |set: &mut BTreeSet<String>, name: &str| {
            if !name.is_empty() {
                set.insert(name.to_owned());
            }
        };
        add(&mut self.resources, names.plural);
        add(&mut self.resources, names.singular);
        names.short_names.iter().for_each(|name| add(&mut self.resources, name));
        add(&mut self.kinds, names.kind);
        add(&mut self.kinds, names.list_kind);
    }
}

/// Brings the status up to date: accepted names, NamesAccepted, Established, NonStructuralSchema and
/// KubernetesAPIApprovalPolicyConformant. Says whether anything changed.
///
/// A CRD is established as soon as its names are; it stays so when it loses some later (CRD-04).
pub fn reconcile(crd: &mut Value, used: &NamesInUse, now: &str) -> bool {
    let before = crd.get("status").cloned();
    let (accepted, conflict) = accept(crd, used);
    as_map(as_map(crd).entry("status").or_insert(Value::Null)).insert("acceptedNames".to_owned(), accepted);
    match &conflict {
        None => set_condition(crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
        Some((reason, message)) => set_condition(crd, "NamesAccepted", "False", reason, message, now),
    }
    if !is_true(crd, "Established") {
        if conflict.is_none() {
            let message = "the initial names have been accepted";
            set_condition(crd, "Established", "True", "InitialNamesAccepted", message, now);
        } else if condition(crd, "Established").is_none() {
            set_condition(crd, "Established", "False", "NotAccepted", "not all names are accepted", now);
        }
    }
    match structural_violations(crd) {
        Some(message) => set_condition(crd, "NonStructuralSchema", "True", "Violations", &message, now),
        None => remove_condition(crd, "NonStructuralSchema"),
    }
    match conformance(crd) {
        Some((status, reason, message)) => set_condition(crd, CONFORMANT, status, reason, &message, now),
        None => remove_condition(crd, CONFORMANT),
    }
    before.as_ref() != crd.get("status")
}

/// Whether [`reconcile`] would change nothing whatever other CRDs do: the CRD is established under all the names that it
/// asks for, and its status says nothing that may have ceased to be so. Of the spec only group and names are looked at.
pub fn is_settled(crd: &Value) -> bool {
    let held = crd.get("status").and_then(|status| status.get("acceptedNames"));
    let said = condition(crd, CONFORMANT).map(|c| [text(c, "status"), text(c, "reason"), text(c, "message")]);
    let approval = conformance(crd);
    is_true(crd, "NamesAccepted")
        && is_true(crd, "Established")
        && held.is_some_and(|held| Names::of(held) == View::of(crd).names)
        && condition(crd, "NonStructuralSchema").is_none()
        && said == approval.as_ref().map(|(status, reason, message)| [*status, *reason, message.as_str()])
}

/// Status, reason and message of [`CONFORMANT`], for CRDs that need approval.
fn conformance(crd: &Value) -> Option<(&'static str, &'static str, String)> {
    crd.get("spec").filter(|spec| approval::is_protected(text(spec, "group")))?;
    let (state, message) = approval::state(crd);
    let (status, reason) = match state {
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
        Approval::Invalid => ("False", "InvalidAnnotation"),
    };
    Some((status, reason, message))
}

/// The names that a CRD may have, and the last conflict among those it asked for.
fn accept(crd: &Value, used: &NamesInUse) -> (Value, Option<(&'static str, String)>) {
    static NULL: Value = Value::Null;
    let wanted = View::of(crd).names;
    let held = crd.get("status").and_then(|status| status.get("acceptedNames")).unwrap_or(&NULL);
    let held = Names::of(held);
    let mut conflict = None;
    let in_use = |name: &str| format!("{} is already in use", go_quote(name));
    let mut decide = |wanted: &str, held: &str, taken: &BTreeSet<String>, reason: &'static str| {
        if wanted != held && taken.contains(wanted) {
            conflict = Some((reason, in_use(wanted)));
            return held.to_owned();
        }
        wanted.to_owned()
    };
    let plural = decide(wanted.plural, held.plural, &used.resources, "PluralConflict");
    let singular = decide(wanted.singular, held.singular, &used.resources, "SingularConflict");
    let taken: Vec<String> = wanted
        .short_names
        .iter()
        .filter(|name| !held.short_names.contains(name) && used.resources.contains(**name))
        .map(|name| in_use(name))
        .collect();
    let short_names = if taken.is_empty() { &wanted.short_names } else { &held.short_names };
    let short_conflict = match taken.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    };
    if let Some(message) = short_conflict {
        conflict = Some(("ShortNamesConflict", message));
    }
    let mut decide = |wanted: &str, held: &str, reason: &'static str| {
        if wanted != held && used.kinds.contains(wanted) {
            conflict = Some((reason, in_use(wanted)));
            return held.to_owned();
        }
        wanted.to_owned()
    };
    let kind = decide(wanted.kind, held.kind, "KindConflict");
    let list_kind = decide(wanted.list_kind, held.list_kind, "ListKindConflict");

    let mut names = Map::new();
    names.insert("plural".to_owned(), plural.into());
    names.insert("kind".to_owned(), kind.into());
    for (field, value) in [("singular", singular), ("listKind", list_kind)] {
        if !value.is_empty() {
            names.insert(field.to_owned(), value.into());
        }
    }
    for (field, list) in [("shortNames", short_names), ("categories", &wanted.categories)] {
        if !list.is_empty() {
            names.insert(field.to_owned(), list.as_slice().into());
        }
    }
    (Value::Object(names), conflict)
}

/// What is not structural in the schemas of a CRD that was stored nevertheless (CRD-14).
fn structural_violations(crd: &Value) -> Option<String> {
    let view = View::of(crd);
    let path = FieldPath::new("spec");
    let top = view.top.open_api().map(|schema| (path.child("validation"), schema));
    let own = view.versions.iter().enumerate().filter_map(|(index, version)| {
        Some((path.child("versions").index(index).child("schema"), version.own.open_api()?))
    });
    let mut messages = Vec::new();
    for (path, schema) in top.into_iter().chain(own) {
        let path = path.child("openAPIV3Schema");
        if keywords::unsupported(schema, 0) {
            messages.push(format!("{path}: the schema uses keywords that are not supported"));
        } else {
            messages.extend(structural::validate(schema, &path).iter().map(ToString::to_string));
        }
    }
    match messages.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}
