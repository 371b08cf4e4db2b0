//! Events of both groups (Y-04, Y-05): one storage in the form of core/v1, two sets of field names and of rules.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, object, validation};
use serde_json::{Map, Value, json};

use super::{built_in, immutable, text};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct Events {
    /// In `events.k8s.io`, whose rules are strict.
    pub(super) new_group: bool,
}

/// Fields that have another name in `events.k8s.io`: (core, events.k8s.io).
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

impl Strategy for Events {
    built_in!(no_defaults, create_on_update);

    fn converts(&self) -> bool {
        self.new_group
    }

    fn store_form(&self, event: &mut Value) {
        if self.new_group {
            to_core(object::as_map(event));
        }
    }

    fn serve_form(&self, event: &mut Value) {
        if self.new_group {
            from_core(object::as_map(event));
        }
    }

    fn validate_create(&self, new: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = legacy(new, ctx.namespace, self.new_group);
        if self.new_group {
            strict(new, &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if !self.new_group {
            return legacy(new, ctx.namespace, false);
        }
        let mut errors = FieldErrors::new();
        series(new, &mut errors);
        // An event of the old kind may be updated through the new group; only then are its times not fixed.
        for field in
            ["regarding", "reason", "reportingController", "reportingInstance", "action", "related", "note", "type"]
        {
            immutable(new.get(field), old.get(field), &FieldPath::new(field), &mut errors);
        }
        errors
    }
}

fn to_core(event: &mut Map<String, Value>) {
    for (core, new) in RENAMED {
        if let Some(value) = event.remove(new) {
            event.insert(core.into(), value);
        }
    }
    for field in ["reportingComponent", "reportingInstance"] {
        event.entry(field).or_insert_with(|| "".into());
    }
    event.entry("source").or_insert_with(|| json!({}));
}

fn from_core(event: &mut Map<String, Value>) {
    for (core, new) in RENAMED {
        if let Some(value) = event.remove(core) {
            event.insert(new.into(), value);
        }
    }
    // What core always writes is left out here when it is empty.
    event.retain(|field, value| {
        !matches!(field.as_str(), "reportingController" | "reportingInstance" | "note") || value != ""
    });
}

/// A field under either of its names.
fn either<'a>(event: &'a Value, core: &str, new_group: bool) -> &'a Value {
    let name = RENAMED.iter().find(|(c, _)| *c == core).map_or(core, |(c, n)| if new_group { n } else { c });
    event.get(name).unwrap_or(&Value::Null)
}

fn has_time(event: &Value, field: &str) -> bool {
    event.get(field).is_some_and(Value::is_string)
}

/// The rules of both groups. The paths are those of core, whichever group is asked: the check knows one form only.
fn legacy(event: &Value, namespace: &str, new_group: bool) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let regards = text(either(event, "involvedObject", new_group), "/namespace");
    let mut mismatch = || {
        let path = FieldPath::new("involvedObject.namespace");
        errors.push(FieldError::invalid(&path, regards, "does not match event.namespace"));
    };
    if !has_time(event, "eventTime") {
        // Old clients leave the namespace out for things that have none, and write to `default`.
        let fits = if regards.is_empty() { matches!(namespace, "" | "default") } else { namespace == regards };
        if !fits {
            mismatch();
        }
        return errors;
    }
    if regards.is_empty() && !matches!(namespace, "default" | "kube-system") {
        mismatch();
    }
    let field = |core: &str| either(event, core, new_group).as_str().unwrap_or_default();
    let controller_path = FieldPath::new(if new_group { "reportingController" } else { "reportingComponent" });
    let controller = field("reportingComponent");
    if controller.is_empty() {
        errors.push(FieldError::required(&controller_path, ""));
    }
    for message in validation::qualified_name(controller) {
        errors.push(FieldError::invalid(&controller_path, controller, &message));
    }
    for (name, limit) in [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)] {
        let value = field(name);
        let path = FieldPath::new(name);
        if value.is_empty() && name != "message" {
            errors.push(FieldError::required(&path, ""));
        }
        if value.len() > limit {
            errors.push(FieldError::invalid(&path, "", &format!("can have at most {limit} characters")));
        }
    }
    errors
}

fn series(event: &Value, errors: &mut FieldErrors) {
    let Some(series) = event.get("series").filter(|s| s.is_object()) else { return };
    let path = FieldPath::new("series");
    if series.get("count").and_then(Value::as_i64).unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(&path.child("count"), "", "should be at least 2"));
    }
    if !has_time(series, "lastObservedTime") {
        errors.push(FieldError::required(&path.child("lastObservedTime"), ""));
    }
}

/// The rules of `events.k8s.io` alone.
fn strict(event: &Value, errors: &mut FieldErrors) {
    series(event, errors);
    if !has_time(event, "eventTime") {
        errors.push(FieldError::required(&FieldPath::new("eventTime"), ""));
    }
    let kind = text(event, "/type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&FieldPath::new("type"), "", &format!("has invalid value: {kind}")));
    }
    let source = event.get("deprecatedSource").and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    for (path, set) in [
        ("firstTimestamp", has_time(event, "deprecatedFirstTimestamp")),
        ("lastTimestamp", has_time(event, "deprecatedLastTimestamp")),
        ("count", event.get("deprecatedCount").and_then(Value::as_i64).unwrap_or(0) != 0),
        ("source", source),
    ] {
        if set {
            errors.push(FieldError::invalid(&FieldPath::new(path), "", "needs to be unset"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    /// Y-05: what is written in one group is read in the other.
    #[test]
    fn conversion() {
        let core = json!({"metadata": {"name": "e1"}, "count": 2, "eventTime": null, "firstTimestamp": "2024-05-06T07:08:09Z",
            "lastTimestamp": null, "involvedObject": {"kind": "ConfigMap"}, "message": "hello", "reason": "Tested",
            "reportingComponent": "", "reportingInstance": "", "source": {"component": "tool"}, "type": "Normal"});
        let new = json!({"metadata": {"name": "e1"}, "deprecatedCount": 2, "eventTime": null,
            "deprecatedFirstTimestamp": "2024-05-06T07:08:09Z", "deprecatedLastTimestamp": null,
            "regarding": {"kind": "ConfigMap"}, "note": "hello", "reason": "Tested",
            "deprecatedSource": {"component": "tool"}, "type": "Normal"});
        let events = Events { new_group: true };
        let mut o = core.clone();
        events.serve_form(&mut o);
        assert_eq!(o, new);
        events.store_form(&mut o);
        assert_eq!(o, core);
    }

    /// Y-04: the namespace is that of what the event is about.
    #[test]
    fn namespaces_of_events() {
        let about = |ns: &str| json!({"involvedObject": {"namespace": ns}});
        for (event, namespace, good) in [
            (about("a"), "a", true),
            (about("default"), "a", false),
            (about(""), "default", true),
            (about(""), "a", false),
        ] {
            let errors = legacy(&event, namespace, false);
            assert_eq!(errors.is_empty(), good, "{errors:?}");
        }
        assert_eq!(
            texts(&legacy(&about("default"), "a", false)),
            ["involvedObject.namespace: Invalid value: \"default\": does not match event.namespace"]
        );
    }

    /// Y-05: the new group wants everything.
    #[test]
    fn strict_rules() {
        let mut errors = FieldErrors::new();
        strict(&json!({"type": "Loud"}), &mut errors);
        assert_eq!(texts(&errors), ["eventTime: Required value", "type: Invalid value: \"\": has invalid value: Loud"]);
        let event = json!({"eventTime": "2024-05-06T07:08:09.123456Z", "regarding": {"namespace": "a"}});
        let found = texts(&legacy(&event, "a", true));
        for want in [
            "reportingController: Required value",
            "reportingInstance: Required value",
            "action: Required value",
            "reason: Required value",
        ] {
            assert!(found.iter().any(|f| f == want), "{found:?}");
        }
        let good = json!({"eventTime": "2024-05-06T07:08:09.123456Z", "regarding": {"namespace": "a"}, "type": "Warning", "reason": "Done",
            "action": "Act", "reportingController": "example.dev/ctl", "reportingInstance": "ctl-1"});
        let mut errors = legacy(&good, "a", true);
        strict(&good, &mut errors);
        assert_eq!(texts(&errors), Vec::<String>::new());
    }
}
