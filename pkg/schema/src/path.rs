//! Simple JSON paths: `.spec.replicas`, `.metadata.labels['a.b/c']` — what scale subresources and selectable
//! fields point with (CRD-18).
//!
//! Only fields of maps can be named, no lists and no filters.

use kcp_apimachinery::object::as_map;
use serde_json::Value;

/// A parsed path of field names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SimplePath {
    source: Box<str>,
    fields: Box<[Box<str>]>,
}

impl SimplePath {
    /// Parses `.a.b`, `.a['b.c'].d` or `.a["b"]`. `None` when it is anything else.
    pub fn parse(source: &str) -> Option<Self> {
        let mut fields = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (field, tail) = after.split_at(end);
                let plain = field.chars().all(|c| c == '_' || c == '-' || c.is_ascii_alphanumeric());
                if field.is_empty() || !plain {
                    return None;
                }
                fields.push(Box::from(field));
                rest = tail;
            } else {
                let after = rest.strip_prefix('[')?;
                let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
                let after = after.get(1..)?;
                let end = after.find(quote)?;
                fields.push(Box::from(after.get(..end)?));
                rest = after.get(end + 1..)?.strip_prefix(']')?;
            }
        }
        (!fields.is_empty()).then(|| Self { source: source.into(), fields: fields.into() })
    }

    /// Splits `.a.b` at its dots, whatever stands between them: what scale paths mean.
    pub fn dotted(source: &str) -> Self {
        let fields = source.strip_prefix('.').unwrap_or(source).split('.').map(Box::from).collect();
        Self { source: source.into(), fields }
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The names along the path.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &**field)
    }

    /// The value there, unless a field on the way is missing or no map.
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.fields().try_fold(object, |value, field| value.get(field))
    }

    /// Sets the value there, making the maps on the way.
    pub fn set(&self, object: &mut Value, value: Value) {
        let mut at = object;
        for field in self.fields() {
            at = as_map(at).entry(field).or_insert(Value::Null);
        }
        *at = value;
    }

    /// Removes the value there.
    pub fn remove(&self, object: &mut Value) {
        let Some((last, parents)) = self.fields.split_last() else { return };
        let mut at = object;
        for field in parents {
            match at.get_mut(&**field) {
                Some(below) => at = below,
                None => return,
            }
        }
        if let Value::Object(map) = at {
            map.remove(&**last);
        }
    }
}

/// A field that field selectors may name (CRD-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectableField {
    /// The name in a selector: the path without its leading dot.
    pub name: Box<str>,
    path: SimplePath,
}

impl SelectableField {
    /// From a `jsonPath` of `selectableFields`.
    pub fn new(json_path: &str) -> Option<Self> {
        let path = SimplePath::parse(json_path)?;
        Some(Self { name: json_path.trim_start_matches('.').into(), path })
    }

    /// All selectable fields of a CRD version.
    pub fn of_version(version: &Value) -> Vec<Self> {
        let fields = version.get("selectableFields").and_then(Value::as_array);
        let paths = fields.into_iter().flatten().filter_map(|f| f.get("jsonPath")?.as_str());
        paths.filter_map(Self::new).collect()
    }

    /// The value as text that selectors are compared with; empty when it is absent or no scalar.
    pub fn value(&self, object: &Value) -> String {
        match self.path.get(object) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parses_simple_paths_only() {
        for (source, fields) in [
            (".spec.replicas", Some(vec!["spec", "replicas"])),
            (".metadata.labels['a.b/c']", Some(vec!["metadata", "labels", "a.b/c"])),
            (".a[\"b\"].c", Some(vec!["a", "b", "c"])),
            ("spec.replicas", None),
            (".spec.list[0]", None),
            (".spec..x", None),
            (".", None),
            ("", None),
            (".a['b", None),
        ] {
            let parsed = SimplePath::parse(source);
            assert_eq!(parsed.as_ref().map(|p| p.fields().collect::<Vec<_>>()), fields, "{source}");
        }
    }

    #[test]
    fn selectable_values_are_texts() {
        let version = json!({"selectableFields": [{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.b"}]});
        let fields = SelectableField::of_version(&version);
        let object = json!({"spec": {"a": true}});
        assert_eq!(
            fields.iter().map(|f| (&*f.name, f.value(&object))).collect::<Vec<_>>(),
            [("spec.a", "true".to_owned()), ("spec.b", String::new())]
        );
    }
}
