//! Tables that the server makes (P-02), printed as kubectl prints them.

use anyhow::{Context as _, Result};
use http::Method;
use kcp_apimachinery::GroupVersionResource;
use kcp_client::Client;
use serde_json::Value;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Asks for all objects of a cluster-scoped resource as a table; the lines to print, the heading first, or nothing when
/// there are no objects.
pub(crate) async fn list(client: &Client, gvr: &GroupVersionResource) -> Result<Vec<String>> {
    let path = Client::path(gvr, "", "", "");
    let bytes = client.raw(Method::GET, &path, TABLE, None).await?;
    let table: Value = serde_json::from_slice(&bytes).with_context(|| format!("unexpected answer from {path}"))?;
    Ok(lines(&table))
}

fn lines(table: &Value) -> Vec<String> {
    let list = |field: &str| table.get(field).and_then(Value::as_array).into_iter().flatten();
    let shown: Vec<(usize, String)> = list("columnDefinitions")
        .enumerate()
        .filter(|(_, c)| c.get("priority").and_then(Value::as_i64).unwrap_or(0) == 0)
        .map(|(i, c)| (i, c.get("name").and_then(Value::as_str).unwrap_or_default().to_uppercase()))
        .collect();
    let mut rows: Vec<Vec<String>> = list("rows")
        .map(|row| shown.iter().map(|(i, _)| cell(row.get("cells").and_then(|c| c.get(*i)))).collect())
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    rows.insert(0, shown.into_iter().map(|(_, name)| name).collect());
    align(&rows)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Pads the columns of rows to the same width, three spaces between them.
fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_print_as_kubectl_prints_them() {
        let table = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Type", "priority": 0}, {"name": "Age", "priority": 1}, {"name": "URL"}],
            "rows": [{"cells": ["default", "Organization", "1d", "https://h"]}, {"cells": ["x", null, "2d", 7]}]
        });
        assert_eq!(
            lines(&table),
            ["NAME      TYPE           URL", "default   Organization   https://h", "x         <none>         7"]
        );
        assert!(lines(&json!({"columnDefinitions": [{"name": "A"}], "rows": []})).is_empty());
    }
}
