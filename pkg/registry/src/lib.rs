//! The verbs over any type in any logical cluster: get, list, watch, create, update, patch, apply, delete.
//!
//! A type is a value ([`types::ResourceInfo`]); what is peculiar to a kind is a [`strategy::Strategy`]. All state is in
//! the store; everything else here is derived from it and can be dropped at any time.

pub mod authority;
pub mod builtin;
pub mod encode;
pub mod list;
pub mod registry;
pub mod request;
pub mod strategy;
pub mod types;
pub mod virtuals;
pub mod watch;

pub use authority::{Access, Authority, IssuedToken, TokenAnswer, TokenOrder, Verdict};
pub use list::List;
pub use registry::{Config, Registry};
pub use request::{
    Body, DeleteOptions, Deleted, ListMeta, ListOptions, PatchKind, Request, Scope, Warnings, WriteOptions, Written,
};
pub use strategy::{Plain, Strategy, StrategyContext};
pub use types::{
    Columns, FieldGetter, GroupInfo, LazySchema, Printer, ResourceInfo, ScalePaths, SelectableField, StorageInfo,
    SubresourceInfo, TypeTable, TypeTableBuilder, VersionInfo,
};
pub use watch::{WatchEvent, WatchEventType, WatchStream};
