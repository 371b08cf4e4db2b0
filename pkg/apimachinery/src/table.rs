//! Tables: what a server sends to people (P-02).

use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ColumnDefinition {
    /// The heading.
    pub name: String,
    /// The type of its cells: `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A format of that type, such as `name`; may be empty.
    #[serde(default)]
    pub format: String,
    /// What the column shows.
    #[serde(default)]
    pub description: String,
    /// 0 for columns that are always shown, more for those of the wide form.
    #[serde(default)]
    pub priority: i32,
}

impl ColumnDefinition {
    /// A column without format and description, always shown.
    pub fn new(name: &str, kind: &str) -> Self {
        Self { name: name.into(), kind: kind.into(), format: String::new(), description: String::new(), priority: 0 }
    }
}

/// One row.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// A cell for every column; null where there is nothing to show.
    pub cells: Vec<Value>,
    /// The object, whole or in part, as JSON that is final; `None` when the client wants none (P-03).
    pub object: Option<Box<RawValue>>,
}

impl Row {
    /// A row without object.
    pub fn new(cells: Vec<Value>) -> Self {
        Self { cells, object: None }
    }
}

/// The list metadata of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableMeta {
    /// The revision that the rows show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Where the next page starts.
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    /// How many items are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<u64>,
}

/// A table.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Always `Table`.
    pub kind: &'static str,
    /// `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`.
    pub api_version: String,
    /// Revision and paging.
    pub metadata: TableMeta,
    /// The columns; empty in all but the first event of a watch (P-06).
    pub column_definitions: Vec<ColumnDefinition>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table of the given version of `meta.k8s.io` without columns and rows.
    pub fn new(version: &str) -> Self {
        Self {
            kind: "Table",
            api_version: format!("meta.k8s.io/{version}"),
            metadata: TableMeta::default(),
            column_definitions: Vec::new(),
            rows: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_have_the_wire_form_p02() {
        let mut t = Table::new("v1");
        t.metadata.resource_version = "7".into();
        t.column_definitions.push(ColumnDefinition::new("Name", "string"));
        t.rows.push(Row {
            cells: vec!["a".into(), Value::Null],
            object: Some(RawValue::from_string(r#"{"kind":"PartialObjectMetadata"}"#.into()).unwrap()),
        });
        let wire: Value = serde_json::from_str(&serde_json::to_string(&t).unwrap()).unwrap();
        assert_eq!(
            wire,
            json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
                "columnDefinitions": [{"name": "Name", "type": "string", "format": "", "description": "", "priority": 0}],
                "rows": [{"cells": ["a", null], "object": {"kind": "PartialObjectMetadata"}}]})
        );
    }
}
