//! The cells of custom resources (P-04, P-05), from the `additionalPrinterColumns` of their definition.

use kcp_apimachinery::{jsonpath::Path, time::Timestamp};
use serde_json::Value;

use super::helpers;

/// One printer column of a custom resource, compiled.
#[derive(Debug)]
pub struct CustomColumn {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: String,
    /// The format, as given.
    pub format: String,
    /// For people.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i32,
    /// Where the value is.
    path: Path,
}

impl CustomColumn {
    /// Compiles the columns of one version of a definition; the age when it gives none (P-04).
    ///
    /// A path that does not compile was refused when the definition was written, so here it only loses its column.
    pub fn of_version(version: &Value) -> Vec<Self> {
        let given = version.get("additionalPrinterColumns").and_then(Value::as_array).filter(|c| !c.is_empty());
        let Some(given) = given else {
            return Self::compile(
                "Age",
                "date",
                "",
                crate::builtin::descriptions::AGE,
                0,
                ".metadata.creationTimestamp",
            )
            .into_iter()
            .collect();
        };
        given
            .iter()
            .filter_map(|c| {
                let text = |field: &str| c.get(field).and_then(Value::as_str).unwrap_or_default();
                let priority = c.get("priority").and_then(Value::as_i64).and_then(|p| i32::try_from(p).ok());
                let description = match text("description") {
                    "" => format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath")),
                    given => given.to_owned(),
                };
                let (format, priority) = (text("format"), priority.unwrap_or(0));
                Self::compile(text("name"), text("type"), format, &description, priority, text("jsonPath"))
            })
            .collect()
    }

    fn compile(name: &str, ty: &str, format: &str, description: &str, priority: i32, path: &str) -> Option<Self> {
        Some(Self {
            name: name.into(),
            ty: ty.into(),
            format: format.into(),
            description: description.into(),
            priority,
            path: Path::parse(path).ok()?,
        })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.find(object);
        let Some(first) = found.first() else { return Value::Null };
        let first: &Value = first;
        match self.ty.as_str() {
            "integer" if first.is_i64() || first.is_u64() => first.clone(),
            // A float that is a whole number counts as one.
            "integer" => first.as_f64().filter(|f| f.fract() == 0.0).map_or(Value::Null, |f| (f as i64).into()),
            "number" if first.is_number() => first.clone(),
            "boolean" if first.is_boolean() => first.clone(),
            "string" if found.len() == 1 => Value::String(as_text(first)),
            "string" => {
                let all: Vec<String> = found.iter().map(|v| as_text(v)).collect();
                Value::String(all.join(" "))
            }
            "date" => match first.as_str() {
                Some(time) if kcp_apimachinery::time::parse_rfc3339(time).is_some() => helpers::since(time, now).into(),
                Some(_) => "<invalid>".into(),
                None => Value::Null,
            },
            _ => Value::Null,
        }
    }
}

/// A value as a JSONPath prints it.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    }
}

/// The cells of a custom resource: its name, then its columns.
pub fn custom_cells(columns: &[CustomColumn], object: &Value, now: Timestamp) -> Vec<Value> {
    std::iter::once(helpers::name(object)).chain(columns.iter().map(|c| c.cell(object, now))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// P-05: a cell has the type of its column or is null.
    #[test]
    fn cells_are_typed() {
        let now = kcp_apimachinery::time::parse_rfc3339("2024-05-06T08:00:00Z").unwrap();
        let columns = CustomColumn::of_version(&json!({"additionalPrinterColumns": [
            {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
            {"name": "Number as text", "type": "string", "jsonPath": ".spec.n"},
            {"name": "Map as text", "type": "string", "jsonPath": ".spec.map"},
            {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
            {"name": "Not N", "type": "integer", "jsonPath": ".spec.text"},
            {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
            {"name": "Missing", "type": "string", "jsonPath": ".spec.none", "priority": 1},
            {"name": "Since", "type": "date", "jsonPath": ".spec.when"},
            {"name": "Bad since", "type": "date", "jsonPath": ".spec.text"}
        ]}));
        let object = json!({"metadata": {"name": "w"}, "spec": {"text": "t", "n": 3, "map": {"a": 1}, "on": true, "when": "2024-05-06T07:59:00Z"}});
        assert_eq!(
            Value::Array(custom_cells(&columns, &object, now)),
            json!(["w", "t", "3", "{\"a\":1}", 3, null, true, null, "60s", "<invalid>"])
        );
        assert_eq!(columns[6].priority, 1);
    }

    /// P-04: without columns there is the age.
    #[test]
    fn age_when_there_are_none() {
        let columns = CustomColumn::of_version(&json!({}));
        assert_eq!(columns.iter().map(|c| (c.name.as_str(), c.ty.as_str())).collect::<Vec<_>>(), [("Age", "date")]);
    }
}
