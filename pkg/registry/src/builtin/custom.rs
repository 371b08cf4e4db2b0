//! The table of custom resources, from the columns of their definition (P-04).

use std::sync::Arc;

use kcp_apimachinery::{table::ColumnDefinition, time::Timestamp};
use serde_json::Value;

use super::print::{CustomColumn, custom_cells};
use crate::types::{Columns, Printer};

struct CustomPrinter(Vec<CustomColumn>);

impl Printer for CustomPrinter {
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        custom_cells(&self.0, object, now)
    }
}

/// The columns of one version of a definition.
pub fn columns(version: &Value) -> Columns {
    let columns = CustomColumn::of_version(version);
    let name = ColumnDefinition {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description: super::descriptions::NAME.into(),
        priority: 0,
    };
    let definitions: Vec<ColumnDefinition> = std::iter::once(name)
        .chain(columns.iter().map(|c| ColumnDefinition {
            name: c.name.clone(),
            kind: c.ty.clone(),
            format: c.format.clone(),
            description: c.description.clone(),
            priority: c.priority,
        }))
        .collect();
    Columns::new(definitions, Arc::new(CustomPrinter(columns)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// P-04: the name comes first, then what the definition says; a column without description gets one.
    #[test]
    fn headings() {
        let columns = columns(&json!({"additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Color", "type": "string", "jsonPath": ".spec.color", "description": "how it looks", "priority": 1}
        ]}));
        let seen: Vec<(&str, &str, i32)> =
            columns.definitions.iter().map(|c| (c.name.as_str(), c.format.as_str(), c.priority)).collect();
        assert_eq!(seen, [("Name", "name", 0), ("Size", "", 0), ("Color", "", 1)]);
        assert_eq!(
            columns.definitions[1].description,
            "Custom resource definition column (in JSONPath format): .spec.size"
        );
        assert_eq!(columns.definitions[2].description, "how it looks");
        let cells = columns.printer.cells(&json!({"metadata": {"name": "a"}, "spec": {"size": 2}}), Timestamp::now());
        assert_eq!(cells, [json!("a"), json!(2), Value::Null]);
    }
}
