//! How an object changes: JSON patches, merge patches, strategic merge patches, server-side apply, and the
//! bookkeeping of who owns which field (`metadata.managedFields`).
//!
//! Layer 1: pure functions of JSON trees and schemas. No I/O and no clock: the time of a write is handed in.
//! Nothing here panics on any input; failures are [`kcp_apimachinery::Status`] values with the texts that
//! Kubernetes' clients know.
//!
//! | what | where | checklist |
//! |---|---|---|
//! | JSON patch | [`json_patch`], [`JsonPatch`] | A-01, A-03, E-15, T-07 |
//! | merge patch | [`merge_patch`] | A-04 |
//! | strategic merge patch | [`strategic_merge`] | A-08 |
//! | field ownership of create, update and patch | [`managed::track_update`] | C-11, F-04, F-13..F-16, F-18 |
//! | server-side apply | [`managed::apply`] | F-01..F-20 |
//! | writes that change nothing | [`managed::settle`] | U-08, F-17 |

mod go;
mod json_patch;
pub mod managed;
mod merge_patch;
mod node;
mod strategic;

pub use json_patch::{JsonPatch, MAX_COPIED_BYTES, MAX_DEPTH, MAX_OPERATIONS, json_patch};
pub use merge_patch::merge_patch;
pub use strategic::strategic_merge;

use kcp_apimachinery::Status;

/// A failure that Kubernetes reports as a plain error: 500 without a reason.
pub(crate) fn plain_error(message: impl Into<String>) -> Status {
    Status::failure(500, kcp_apimachinery::status::reason::UNKNOWN, message)
}

/// A patch that cannot be applied: 422 with the generic text that names no detail (E-15).
pub(crate) fn unprocessable() -> Status {
    Status::failure(
        422,
        kcp_apimachinery::status::reason::INVALID,
        "the server rejected our request due to an error in our request",
    )
    .with_details(kcp_apimachinery::StatusDetails::default())
}
