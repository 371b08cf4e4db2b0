//! The spec of a CRD: group, names, scope, versions, and everything that hangs on them.

use std::collections::HashSet;

use kcp_apimachinery::{FieldError, FieldErrorKind, FieldErrors, FieldPath, validation};
use serde_json::Value;

use super::view::{Names, Settings, Version, View};
use super::{conversion, surface, values};

/// Checks the spec.
pub(crate) fn validate(view: &View<'_>) -> FieldErrors {
    let path = FieldPath::new("spec");
    let mut errors = Vec::new();
    group(view.group, &path.child("group"), &mut errors);
    match view.scope {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"])),
    }
    for (index, version) in view.versions.iter().enumerate() {
        if version.whole.open_api().is_none() {
            let at = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&at, ""));
        }
    }
    versions(view, &path, &mut errors);
    let at = path.child("names");
    for (field, value) in [
        ("plural", view.names.plural),
        ("singular", view.names.singular),
        ("kind", view.names.kind),
        ("listKind", view.names.list_kind),
    ] {
        if value.is_empty() {
            errors.push(FieldError::required(&at.child(field), ""));
        }
    }
    errors.extend(names(&view.names, &at));

    let status = |s: &Settings<'_>| s.subresources.and_then(|s| s.get("status")).is_some_and(|v| !v.is_null());
    let any_status = view.versions.iter().any(|version| status(&version.whole));
    settings(&view.top, any_status, &path, "validation", &mut errors);
    for (index, version) in view.versions.iter().enumerate() {
        let at = path.child("versions").index(index);
        surface::deprecation(version, &at, &mut errors);
        settings(&version.own, status(&version.whole), &at, "schema", &mut errors);
        // Selectable fields need the schema, wherever it stands.
        if let (Some(fields), Some(schema)) = (version.own.selectable, version.whole.open_api()) {
            surface::selectable(fields, schema, &at.child("selectableFields"), &mut errors);
        }
    }
    if let (Some(fields), Some(first)) = (view.top.selectable, view.versions.first())
        && let Some(schema) = first.whole.open_api()
    {
        surface::selectable(fields, schema, &path.child("selectableFields"), &mut errors);
    }
    if view.preserve_unknown {
        let strategy = view.conversion.map(|c| super::text(c, "strategy")).unwrap_or_default();
        if !matches!(strategy, "" | "None") {
            let at = path.child("conversion").child("strategy");
            errors.push(FieldError::invalid(&at, strategy, "must be None if spec.preserveUnknownFields is true"));
        }
    }
    if let Some(stanza) = view.conversion {
        conversion::validate(stanza, &path.child("conversion"), &mut errors);
    }
    errors
}

fn settings(settings: &Settings<'_>, status: bool, path: &FieldPath, schema: &str, errors: &mut FieldErrors) {
    if let Some(open_api) = settings.open_api() {
        errors.extend(values::validate_schema(open_api, status, &path.child(schema)));
    }
    if let Some(subresources) = settings.subresources {
        surface::subresources(subresources, &path.child("subresources"), errors);
    }
    for (index, column) in settings.columns.and_then(Value::as_array).into_iter().flatten().enumerate() {
        surface::column(column, &path.child("additionalPrinterColumns").index(index), errors);
    }
}

fn group(group: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let problems = validation::dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !problems.is_empty() {
        errors.push(FieldError::invalid(path, group, &problems.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
}

fn versions(view: &View<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let label = |name: &str, at: &FieldPath, errors: &mut FieldErrors| {
        let problems = validation::dns1035_label(name);
        if !problems.is_empty() {
            errors.push(FieldError::invalid(at, name, &problems.join(",")));
        }
    };
    let at = path.child("versions");
    let mut seen = HashSet::new();
    let mut unique = true;
    for (index, version) in view.versions.iter().enumerate() {
        unique &= seen.insert(version.name);
        label(version.name, &at.index(index).child("name"), errors);
    }
    let whole = |detail: &str| {
        let shown = format!("Invalid value: {}", view.versions_shown());
        FieldError::plain(FieldErrorKind::Invalid, &at, &shown, detail)
    };
    if !unique {
        errors.push(whole("must contain unique version names"));
    }
    if view.versions.iter().filter(|version| version.storage).count() != 1 {
        errors.push(whole("must have exactly one version marked as storage version"));
    }
    // The first version is the internal type's `version` as well.
    if let Some(Version { name, .. }) = view.versions.first().filter(|version| !version.name.is_empty()) {
        label(name, &path.child("version"), errors);
    }
}

/// Checks names, those of the spec or those accepted (CRD-01, CRD-22).
pub(crate) fn names(names: &Names<'_>, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    for (field, value) in [("plural", names.plural), ("singular", names.singular)] {
        let problems = validation::dns1035_label(value);
        if !value.is_empty() && !problems.is_empty() {
            errors.push(FieldError::invalid(&path.child(field), value, &problems.join(",")));
        }
    }
    for (field, value) in [("kind", names.kind), ("listKind", names.list_kind)] {
        let problems = validation::dns1035_label(&value.to_lowercase());
        if !value.is_empty() && !problems.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
            errors.push(FieldError::invalid(&path.child(field), value, &detail));
        }
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let at = path.child("listKind");
        errors.push(FieldError::invalid(&at, names.list_kind, "kind and listKind may not be the same"));
    }
    for (field, list) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        for (index, value) in list.iter().enumerate() {
            let problems = validation::dns1035_label(value);
            if !problems.is_empty() {
                errors.push(FieldError::invalid(&path.child(field).index(index), *value, &problems.join(",")));
            }
        }
    }
    errors
}
