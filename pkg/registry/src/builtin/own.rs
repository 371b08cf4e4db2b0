//! Our own kinds: described by definitions that are part of the program, served like any other custom resource.

use std::sync::Arc;

use kcp_apimachinery::time::Timestamp;
use kcp_apis::{Kind, tenancy};
use serde_json::Value;

use super::bootstrap::WorkspaceTypes;
use crate::{
    strategy::Strategy,
    types::{Columns, Printer, ResourceInfo},
};

/// Shows the type of a workspace as people write it: `Organization`.
struct WorkspacePrinter(Columns);

impl Printer for WorkspacePrinter {
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut cells = self.0.printer.cells(object, now);
        for (column, cell) in self.0.definitions.iter().zip(&mut cells) {
            if column.name == "Type"
                && let Value::String(name) = cell
            {
                *name = tenancy::display_type(name);
            }
        }
        cells
    }
}

/// The served types of one of our kinds; `strategy` says what is special to it.
pub(super) fn resources(kind: &'static Kind, strategy: Option<Arc<dyn Strategy>>) -> Vec<ResourceInfo> {
    let crd = kind.crd();
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .map(|version| {
            let mut info = crate::crd::resource(crd, version);
            if let Some(strategy) = &strategy {
                info.strategy = Arc::clone(strategy);
            }
            if *kind == tenancy::WORKSPACE {
                let definitions = Arc::clone(&info.columns.definitions);
                info.columns = Columns { definitions, printer: Arc::new(WorkspacePrinter(info.columns.clone())) };
            }
            if *kind == tenancy::WORKSPACE_TYPE {
                info.virtuals = Some(Arc::new(WorkspaceTypes));
            }
            info
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `kubectl get workspaces` shows.
    #[test]
    fn workspaces_are_printed() {
        let info = resources(&tenancy::WORKSPACE, None).remove(0);
        let narrow: Vec<&str> =
            info.columns.definitions.iter().filter(|c| c.priority == 0).map(|c| c.name.as_str()).collect();
        assert_eq!(narrow, ["Name", "Type", "Phase", "URL"]);
        let object = json!({"metadata": {"name": "telcops"}, "spec": {"type": {"name": "organization", "path": "root"}, "URL": "https://h/clusters/root:telcops"},
            "status": {"phase": "Ready"}});
        let cells = info.columns.printer.cells(&object, Timestamp::now());
        assert_eq!(
            cells[..4],
            [json!("telcops"), json!("Organization"), json!("Ready"), json!("https://h/clusters/root:telcops")]
        );
    }

    /// Every embedded definition compiles, and every virtual type is valid by its own schema.
    #[test]
    fn definitions_compile() {
        for kind in &Kind::ALL {
            for info in resources(kind, None) {
                let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": "x"}, "spec": {}, "bogus": 1});
                assert_eq!(info.schema.get().prune(&mut object), ["bogus"], "{kind:?}");
            }
        }
        let info = resources(&tenancy::WORKSPACE_TYPE, None).remove(0);
        for mut object in tenancy::default_types() {
            let before = object.clone();
            assert!(info.schema.get().prune(&mut object).is_empty());
            info.schema.get().default(&mut object);
            assert_eq!(object, before, "virtual objects are stored in full");
            assert!(info.schema.get().validate(&object, None).is_empty());
        }
        assert!(info.virtuals.is_some());
    }
}
