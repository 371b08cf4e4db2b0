//! Validation of pods, templates and label selectors: the refusals that people meet.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, quantity::Quantity, selectors::LabelSelector, validation};
use serde_json::{Map, Value};

use super::{entries, list, not_negative, text};

/// A `metav1.LabelSelector`.
pub(super) fn label_selector(selector: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(labels) = selector.get("matchLabels") {
        errors.extend(validation::validate_labels(labels, &path.child("matchLabels")));
    }
    for (i, e) in list(selector, "/matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let values = list(e, "/values").len();
        match text(e, "/operator") {
            "In" | "NotIn" if values == 0 => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if values > 0 => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&path.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator"));
            }
        }
        for message in validation::qualified_name(text(e, "/key")) {
            errors.push(FieldError::invalid(&path.child("key"), text(e, "/key"), &message));
        }
    }
}

/// A template whose pods a controller owns: the labels must be what its selector selects, the restart policy one of
/// `policies` (any when empty).
pub(super) fn template(template: &Value, path: &FieldPath, policies: &[&str], errors: &mut FieldErrors) {
    let meta = path.child("metadata");
    if let Some(labels) = template.pointer("/metadata/labels") {
        errors.extend(validation::validate_labels(labels, &meta.child("labels")));
    }
    if let Some(annotations) = template.pointer("/metadata/annotations") {
        errors.extend(validation::validate_annotations(annotations, &meta.child("annotations")));
    }
    let empty = Value::Object(Map::new());
    let spec = template.get("spec").unwrap_or(&empty);
    pod_spec(spec, &path.child("spec"), errors);
    let policy = text(spec, "/restartPolicy");
    if !policies.is_empty() && !policies.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("spec").child("restartPolicy"), policy, policies));
    }
}

/// The selector of a controller, and that it selects the pods of its template. `kind` is the word for the controller.
pub(super) fn selector_and_template(o: &Value, kind: &str, policies: &[&str], errors: &mut FieldErrors) {
    let spec = FieldPath::new("spec");
    let path = spec.child("selector");
    let empty = Value::Object(Map::new());
    let pod_template = o.pointer("/spec/template").unwrap_or(&empty);
    match o.pointer("/spec/selector").filter(|s| s.is_object()) {
        None => errors.push(FieldError::required(&path, "")),
        Some(selector) => {
            label_selector(selector, &path, errors);
            let is_empty =
                entries(selector, "/matchLabels").next().is_none() && list(selector, "/matchExpressions").is_empty();
            if is_empty {
                let detail = format!("empty selector is invalid for {kind}");
                errors.push(FieldError::invalid(&path, selector.clone(), &detail));
            }
            let labels = pod_template.pointer("/metadata/labels").cloned().unwrap_or(Value::Null);
            if let Ok(parsed) = LabelSelector::from_object(selector)
                && !parsed.is_empty()
                && !parsed.matches(&labels)
            {
                let at = spec.child("template").child("metadata").child("labels");
                errors.push(FieldError::invalid(&at, labels, "`selector` does not match template `labels`"));
            }
        }
    }
    template(pod_template, &spec.child("template"), policies, errors);
}

/// A pod's spec.
pub(super) fn pod_spec(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let volumes: Vec<&str> = list(spec, "/volumes").iter().map(|v| text(v, "/name")).collect();
    for (i, name) in volumes.iter().enumerate() {
        name_of(name, &path.child("volumes").index(i), volumes[..i].contains(name), errors);
    }
    if list(spec, "/containers").is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for field in ["containers", "initContainers"] {
        for (i, c) in list(spec, &format!("/{field}")).iter().enumerate() {
            let path = path.child(field).index(i);
            let name = text(c, "/name");
            name_of(name, &path, seen.contains(&name), errors);
            seen.push(name);
            container(c, &path, &volumes, errors);
        }
    }
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, errors);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, errors);
    let grace = path.child("terminationGracePeriodSeconds");
    not_negative(spec, "/terminationGracePeriodSeconds", &grace, errors);
    let account = text(spec, "/serviceAccountName");
    if !account.is_empty() {
        for message in validation::name_is_subdomain(account, false) {
            errors.push(FieldError::invalid(&path.child("serviceAccountName"), account, &message));
        }
    }
    if let Some(labels) = spec.get("nodeSelector") {
        errors.extend(validation::validate_labels(labels, &path.child("nodeSelector")));
    }
    let deadline = spec.get("activeDeadlineSeconds").and_then(Value::as_i64);
    if let Some(seconds) = deadline.filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), seconds, detail));
    }
}

fn one_of(o: &Value, field: &str, allowed: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    let value = text(o, &format!("/{field}"));
    if value.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    } else if !allowed.contains(&value) {
        errors.push(FieldError::not_supported(&path.child(field), value, allowed));
    }
}

fn name_of(name: &str, path: &FieldPath, twice: bool, errors: &mut FieldErrors) {
    let path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    for message in validation::name_is_label(name, false) {
        errors.push(FieldError::invalid(&path, name, &message));
    }
    if twice {
        errors.push(FieldError::duplicate(&path, name));
    }
}

fn container(c: &Value, path: &FieldPath, volumes: &[&str], errors: &mut FieldErrors) {
    let image = text(c, "/image");
    let at = path.child("image");
    if image.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid(&at, image, "must not have leading or trailing whitespace"));
    }
    one_of(c, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    one_of(c, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"], path, errors);
    for (i, p) in list(c, "/ports").iter().enumerate() {
        let path = path.child("ports").index(i);
        match p.get("containerPort").and_then(Value::as_i64).unwrap_or(0) {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            number => port(number, &path.child("containerPort"), errors),
        }
        if let Some(number) = p.get("hostPort").and_then(Value::as_i64).filter(|n| *n != 0) {
            port(number, &path.child("hostPort"), errors);
        }
        one_of(p, "protocol", &["SCTP", "TCP", "UDP"], &path, errors);
    }
    for (i, e) in list(c, "/env").iter().enumerate() {
        let path = path.child("env").index(i);
        if text(e, "/name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        if !text(e, "/value").is_empty() && e.get("valueFrom").is_some() {
            let detail = "may not be specified when `value` is not empty";
            errors.push(FieldError::invalid(&path.child("valueFrom"), "", detail));
        }
    }
    let mut mounted: Vec<&str> = Vec::new();
    for (i, m) in list(c, "/volumeMounts").iter().enumerate() {
        let path = path.child("volumeMounts").index(i);
        let (name, at) = (text(m, "/name"), text(m, "/mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if !volumes.contains(&name) {
            errors.push(FieldError::not_found(&path.child("name"), name));
        }
        if at.is_empty() {
            errors.push(FieldError::required(&path.child("mountPath"), ""));
        } else if mounted.contains(&at) {
            errors.push(FieldError::invalid(&path.child("mountPath"), at, "must be unique"));
        }
        mounted.push(at);
    }
    resources(c, path, errors);
}

/// A port number.
pub(super) fn port(number: i64, path: &FieldPath, errors: &mut FieldErrors) {
    if !(1..=65_535).contains(&number) {
        errors.push(FieldError::invalid(path, number, "must be between 1 and 65535, inclusive"));
    }
}

fn resources(c: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let path = path.child("resources");
    let parse = |v: &Value| v.as_str().and_then(Quantity::parse);
    for field in ["limits", "requests"] {
        for (name, amount) in entries(c, &format!("/resources/{field}")) {
            if parse(amount).is_some_and(|q| q.is_negative()) {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&path.child(field).key(name), amount.clone(), detail));
            }
        }
    }
    for (name, amount) in entries(c, "/resources/requests") {
        let limit = c.pointer("/resources/limits").and_then(|l| l.get(name));
        if let (Some(request), Some(limit)) = (parse(amount), limit.and_then(parse))
            && request > limit
        {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&path.child("requests"), amount.clone(), &detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn decoded(mut spec: Value) -> Value {
        super::super::pods::spec_defaults(kcp_apimachinery::object::as_map(&mut spec));
        spec
    }

    #[test]
    fn pods() {
        for (spec, want) in [
            (json!({"containers": [{"name": "c", "image": "i"}]}), vec![]),
            (json!({}), vec!["spec.containers: Required value"]),
            (
                json!({"containers": [{"name": "", "image": ""}]}),
                vec!["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
            ),
            (
                json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
                vec!["spec.containers[1].name: Duplicate value: \"c\""],
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]}),
                vec!["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]}),
                vec![
                    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}),
                vec![
                    "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
                ],
            ),
            (
                json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Sometimes"}),
                vec![
                    "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                ],
            ),
        ] {
            let mut errors = FieldErrors::new();
            pod_spec(&decoded(spec), &FieldPath::new("spec"), &mut errors);
            assert_eq!(texts(&errors), want);
        }
    }

    #[test]
    fn selectors_select_their_template() {
        let pods = decoded(json!({"containers": [{"name": "c", "image": "i"}]}));
        let o = |selector: Value, labels: Value| json!({"spec": {"selector": selector, "template": {"metadata": {"labels": labels}, "spec": pods}}});
        for (object, want) in [
            (o(json!({"matchLabels": {"a": "b"}}), json!({"a": "b", "c": "d"})), vec![]),
            (
                o(json!({"matchLabels": {"a": "b"}}), json!({"a": "x"})),
                vec![
                    "spec.template.metadata.labels: Invalid value: {\"a\":\"x\"}: `selector` does not match template `labels`",
                ],
            ),
            (
                o(json!({}), json!({"a": "x"})),
                vec!["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
            ),
            (o(Value::Null, json!({})), vec!["spec.selector: Required value"]),
        ] {
            let mut errors = FieldErrors::new();
            selector_and_template(&object, "deployment", &["Always"], &mut errors);
            assert_eq!(texts(&errors), want);
        }
    }
}
