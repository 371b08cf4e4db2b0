//! A CRD seen as Kubernetes' internal type sees it.
//!
//! Per-version settings that are the same in all versions stand at the top of the spec there, and error paths say
//! so.

use serde_json::{Map, Value};

/// The text at `field`, empty when absent.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The texts of the list at `field`.
pub(crate) fn texts<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The truth value at `field`, false when absent.
pub(crate) fn flag(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn present<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get(field).filter(|v| !v.is_null())
}

/// The names of a CRD, in its spec or accepted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    pub(crate) plural: &'a str,
    pub(crate) singular: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) list_kind: &'a str,
    pub(crate) short_names: Vec<&'a str>,
    pub(crate) categories: Vec<&'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(names: &'a Value) -> Self {
        Self {
            plural: text(names, "plural"),
            singular: text(names, "singular"),
            kind: text(names, "kind"),
            list_kind: text(names, "listKind"),
            short_names: texts(names, "shortNames"),
            categories: texts(names, "categories"),
        }
    }
}

/// The settings that are hoisted when all versions have the same.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Settings<'a> {
    /// The whole `schema` stanza.
    pub(crate) schema: Option<&'a Value>,
    pub(crate) subresources: Option<&'a Value>,
    pub(crate) columns: Option<&'a Value>,
    pub(crate) selectable: Option<&'a Value>,
}

impl<'a> Settings<'a> {
    fn of(version: &'a Value) -> Self {
        let filled = |field| present(version, field).filter(|v| v.as_array().is_none_or(|list| !list.is_empty()));
        Self {
            schema: present(version, "schema"),
            subresources: present(version, "subresources"),
            columns: filled("additionalPrinterColumns"),
            selectable: filled("selectableFields"),
        }
    }

    /// The schema itself.
    pub(crate) fn open_api(&self) -> Option<&'a Value> {
        self.schema?.get("openAPIV3Schema").filter(|v| v.is_object())
    }
}

/// A version of a CRD.
#[derive(Debug)]
pub(crate) struct Version<'a> {
    pub(crate) name: &'a str,
    pub(crate) served: bool,
    pub(crate) storage: bool,
    pub(crate) deprecated: bool,
    pub(crate) deprecation_warning: Option<&'a str>,
    /// All settings of the version.
    pub(crate) whole: Settings<'a>,
    /// Those that were not hoisted.
    pub(crate) own: Settings<'a>,
}

/// The spec of a CRD.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) group: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) names: Names<'a>,
    pub(crate) versions: Vec<Version<'a>>,
    /// Settings that all versions share.
    pub(crate) top: Settings<'a>,
    pub(crate) conversion: Option<&'a Value>,
    pub(crate) preserve_unknown: bool,
}

impl<'a> View<'a> {
    pub(crate) fn of(crd: &'a Value) -> Self {
        static NULL: Value = Value::Null;
        let spec = crd.get("spec").unwrap_or(&NULL);
        let list: Vec<&Value> = spec.get("versions").and_then(Value::as_array).into_iter().flatten().collect();
        let all: Vec<Settings<'a>> = list.iter().map(|version| Settings::of(version)).collect();
        let first = all.first().copied().unwrap_or_default();
        let same = |pick: fn(&Settings<'a>) -> Option<&'a Value>| all.iter().all(|s| pick(s) == pick(&first));
        let (schema, subresources) = (same(|s| s.schema), same(|s| s.subresources));
        let (columns, selectable) = (same(|s| s.columns), same(|s| s.selectable));
        let versions = list.iter().zip(&all).map(|(version, settings)| Version {
            name: text(version, "name"),
            served: flag(version, "served"),
            storage: flag(version, "storage"),
            deprecated: flag(version, "deprecated"),
            deprecation_warning: version.get("deprecationWarning").and_then(Value::as_str),
            whole: *settings,
            own: Settings {
                schema: settings.schema.filter(|_| !schema),
                subresources: settings.subresources.filter(|_| !subresources),
                columns: settings.columns.filter(|_| !columns),
                selectable: settings.selectable.filter(|_| !selectable),
            },
        });
        Self {
            group: text(spec, "group"),
            scope: text(spec, "scope"),
            names: Names::of(spec.get("names").unwrap_or(&NULL)),
            versions: versions.collect(),
            top: Settings {
                schema: first.schema.filter(|_| schema),
                subresources: first.subresources.filter(|_| subresources),
                columns: first.columns.filter(|_| columns),
                selectable: first.selectable.filter(|_| selectable),
            },
            conversion: present(spec, "conversion"),
            preserve_unknown: flag(spec, "preserveUnknownFields"),
        }
    }

    /// The versions as an error text shows them.
    pub(crate) fn versions_shown(&self) -> String {
        let versions: Vec<String> = self.versions.iter().map(Version::shown).collect();
        format!("[{}]", versions.join(","))
    }
}

impl Version<'_> {
    fn shown(&self) -> String {
        use crate::validate::golang::json;
        let or_null = |value: Option<&Value>| value.map_or_else(|| "null".to_owned(), json);
        let schema = self
            .own
            .open_api()
            .cloned()
            .map(|schema| Value::Object(Map::from_iter([("OpenAPIV3Schema".to_owned(), schema)])));
        format!(
            "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":{},\
             \"Subresources\":{},\"AdditionalPrinterColumns\":{},\"SelectableFields\":{}}}",
            json(&self.name.into()),
            self.served,
            self.storage,
            self.deprecated,
            json(&self.deprecation_warning.into()),
            or_null(schema.as_ref()),
            or_null(self.own.subresources),
            or_null(self.own.columns),
            or_null(self.own.selectable),
        )
    }
}
