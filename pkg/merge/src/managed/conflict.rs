//! Conflicts of an apply with other managers, and how they are told (F-05).

use kcp_apimachinery::field::go_quote;
use kcp_apimachinery::status::reason;
use kcp_apimachinery::{Cause, Status, StatusDetails};

use super::entries::Entry;
use super::set::FieldSet;

/// The fields that a manager owns and an apply would change.
#[derive(Debug)]
pub(crate) struct Conflict<'a> {
    manager: String,
    order: (String, bool, String, String),
    pub(crate) fields: FieldSet<'a>,
}

impl<'a> Conflict<'a> {
    pub(crate) fn new(entry: &Entry<'_>, fields: FieldSet<'a>) -> Self {
        let mut manager = go_quote(&entry.manager);
        if !entry.subresource.is_empty() {
            manager.push_str(" with subresource ");
            manager.push_str(&go_quote(&entry.subresource));
        }
        if !entry.applied {
            manager.push_str(" using ");
            manager.push_str(&entry.api_version);
        }
        let order = entry.identity();
        let order = (order.manager.into(), !order.applied, order.api_version.into(), order.subresource.into());
        Self { manager, order, fields }
    }
}

/// The 409 that lists all conflicts, by manager and then by path.
pub(crate) fn status(mut conflicts: Vec<Conflict<'_>>) -> Status {
    conflicts.sort_by(|a, b| a.order.cmp(&b.order));
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for conflict in &conflicts {
        lines.push(format!("conflicts with {}:", conflict.manager));
        for path in conflict.fields.paths() {
            lines.push(format!("- {path}"));
            causes.push(Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {}", conflict.manager),
                field: path,
            });
        }
    }
    let message = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n")),
    };
    Status::failure(409, reason::CONFLICT, message).with_details(StatusDetails { causes, ..StatusDetails::default() })
}
