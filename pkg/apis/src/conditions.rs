//! Reading and writing `status.conditions`.
//!
//! A condition's `lastTransitionTime` changes only when its status does, and nothing changes when nothing is new: what
//! keeps controllers quiet.

use std::cmp::Ordering;

use kcp_apimachinery::object::child_mut;
use serde_json::{Map, Value};

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A condition to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition<'a> {
    /// What it is about.
    pub kind: &'a str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// How bad it is that it does not; empty for none.
    pub severity: &'a str,
    /// The word for machines; empty for none.
    pub reason: &'a str,
    /// The text for people; empty for none.
    pub message: &'a str,
}

impl<'a> Condition<'a> {
    /// A condition that holds; there is nothing more to say.
    pub fn holds(kind: &'a str) -> Self {
        Self { kind, status: ConditionStatus::True, severity: "", reason: "", message: "" }
    }
    /// A condition that does not hold, with the severity `Error`.
    pub fn fails(kind: &'a str, reason: &'a str, message: &'a str) -> Self {
        Self { kind, status: ConditionStatus::False, severity: crate::workload::severity::ERROR, reason, message }
    }
}

/// Sets a condition of `object`; `now` is RFC 3339. Returns whether anything changed.
///
/// Conditions are kept in the order of their types, `Ready` first.
pub fn set_condition(
    object: &mut Value,
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    now: &str,
) -> bool {
    set(object, &Condition { kind, status, severity: "", reason, message }, now)
}

/// Sets a condition of `object`; `now` is RFC 3339. Returns whether anything changed.
pub fn set(object: &mut Value, condition: &Condition<'_>, now: &str) -> bool {
    let slot = child_mut(object, "status").entry("conditions").or_insert(Value::Null);
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    let Value::Array(list) = slot else { return false };
    let at = list.iter().position(|c| type_of(c) == condition.kind);
    let old = at.and_then(|i| list.get(i));
    let since = old
        .filter(|c| c.get("status").and_then(Value::as_str) == Some(condition.status.as_str()))
        .and_then(|c| c.get("lastTransitionTime"))
        .and_then(Value::as_str)
        .unwrap_or(now)
        .to_owned();
    let mut new = Map::new();
    new.insert("type".into(), condition.kind.into());
    new.insert("status".into(), condition.status.as_str().into());
    for (field, value) in
        [("severity", condition.severity), ("reason", condition.reason), ("message", condition.message)]
    {
        if !value.is_empty() {
            new.insert(field.into(), value.into());
        }
    }
    new.insert("lastTransitionTime".into(), since.into());
    let new = Value::Object(new);
    if old == Some(&new) {
        return false;
    }
    match at.and_then(|i| list.get_mut(i)) {
        Some(slot) => *slot = new,
        None => list.push(new),
    }
    list.sort_by(by_type);
    true
}

/// Removes a condition. Returns whether it was there.
pub fn remove(object: &mut Value, kind: &str) -> bool {
    let Some(list) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) else { return false };
    let before = list.len();
    list.retain(|c| type_of(c) != kind);
    let changed = list.len() != before;
    if list.is_empty() {
        child_mut(object, "status").remove("conditions");
    }
    changed
}

/// Sets `Ready` to the worst of the conditions `of` that the object has: True when all that it has are True, else as
/// the first that is not. An object with none of them gets `Unknown`. Returns whether anything changed.
pub fn summarize(object: &mut Value, of: &[&str], now: &str) -> bool {
    let ready = crate::workload::condition::READY;
    let found: Vec<Value> = of.iter().filter_map(|kind| get(object, kind).cloned()).collect();
    let bad = found.iter().find(|c| c.get("status").and_then(Value::as_str) != Some("True"));
    let text = |c: &Value, field: &str| c.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    match bad {
        Some(c) => {
            let status = if text(c, "status") == "False" { ConditionStatus::False } else { ConditionStatus::Unknown };
            let (severity, reason, message) = (text(c, "severity"), text(c, "reason"), text(c, "message"));
            let condition = Condition { kind: ready, status, severity: &severity, reason: &reason, message: &message };
            set(object, &condition, now)
        }
        None if found.is_empty() => set_condition(object, ready, ConditionStatus::Unknown, "", "", now),
        None => set(object, &Condition::holds(ready), now),
    }
}

/// A condition of `object`.
pub fn get<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|c| type_of(c) == kind)
}

/// Whether a condition is there and True.
pub fn is_true(object: &Value, kind: &str) -> bool {
    get(object, kind).and_then(|c| c.get("status")).and_then(Value::as_str) == Some("True")
}

fn type_of(condition: &Value) -> &str {
    condition.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn by_type(a: &Value, b: &Value) -> Ordering {
    let key = |c: &Value| (type_of(c) != crate::workload::condition::READY, type_of(c).to_owned());
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const T1: &str = "2026-01-01T00:00:00Z";
    const T2: &str = "2026-01-02T00:00:00Z";

    #[test]
    fn the_time_moves_only_with_the_status() {
        let mut o = json!({});
        assert!(set_condition(&mut o, "A", ConditionStatus::False, "R", "m", T1));
        assert!(!set_condition(&mut o, "A", ConditionStatus::False, "R", "m", T2));
        assert!(set_condition(&mut o, "A", ConditionStatus::False, "R", "other", T2));
        assert_eq!(get(&o, "A").unwrap()["lastTransitionTime"], T1);
        assert!(set_condition(&mut o, "A", ConditionStatus::True, "", "", T2));
        assert_eq!(get(&o, "A").unwrap(), &json!({"type": "A", "status": "True", "lastTransitionTime": T2}));
        assert!(is_true(&o, "A") && !is_true(&o, "B"));
    }

    #[test]
    fn ready_comes_first_and_sums_up() {
        let mut o = json!({"status": {"conditions": [{"type": "B", "status": "True", "lastTransitionTime": T1}]}});
        assert!(summarize(&mut o, &["A", "B"], T1));
        assert!(is_true(&o, "Ready"));
        set(&mut o, &Condition::fails("A", "Why", "because"), T2);
        assert!(summarize(&mut o, &["A", "B"], T2));
        assert!(!summarize(&mut o, &["A", "B"], T2));
        let types: Vec<_> = o["status"]["conditions"].as_array().unwrap().iter().map(type_of).collect();
        assert_eq!(types, ["Ready", "A", "B"]);
        let ready = get(&o, "Ready").unwrap();
        assert_eq!((ready["status"].as_str(), ready["reason"].as_str()), (Some("False"), Some("Why")));
        assert_eq!((ready["severity"].as_str(), ready["lastTransitionTime"].as_str()), (Some("Error"), Some(T2)));
    }

    #[test]
    fn an_object_without_any_is_unknown() {
        let mut o = json!({});
        assert!(summarize(&mut o, &["A"], T1));
        assert_eq!(get(&o, "Ready").unwrap()["status"], "Unknown");
    }

    #[test]
    fn removing() {
        let mut o = json!({});
        set(&mut o, &Condition::holds("A"), T1);
        assert!(remove(&mut o, "A") && !remove(&mut o, "A"));
        assert_eq!(o, json!({"status": {}}));
    }
}
