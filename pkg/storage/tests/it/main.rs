//! The store's contract, run over every engine, and what only an engine with a disk can show.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod backups;
mod contract;
mod faults;
mod model;
mod support;
mod watches;
