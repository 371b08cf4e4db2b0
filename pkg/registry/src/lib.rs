//! The verbs over any type in any logical cluster: get, list, watch, create, update, patch, apply, delete.
//!
//! A type is a value ([`types::ResourceInfo`]); what is peculiar to a kind is a [`strategy::Strategy`]. All state is in
//! the store; everything else here is derived from it and can be dropped at any time.

pub mod authority;
pub mod builtin;
mod cache;
pub mod crd;
mod decode;
pub mod encode;
pub mod list;
mod options;
mod parse;
mod quota;
pub mod rbac;
mod read;
pub mod registry;
mod render;
pub mod request;
mod scan;
mod selection;
pub mod strategy;
pub mod tenancy;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;
mod type_table;
pub mod types;
pub mod virtuals;
pub mod watch;
mod write;

pub use authority::{Access, Authority, IssuedToken, TokenAnswer, TokenOrder, Verdict};
pub use list::List;
pub use parse::read_tree;
pub use rbac::RbacSource;
pub use registry::{Config, Registry};
pub use request::{
    Body, DeleteOptions, Deleted, ListMeta, ListOptions, PatchKind, Request, Scope, Warnings, WriteOptions, Written,
};
pub use strategy::{Plain, Strategy, StrategyContext};
pub use tenancy::{Resolved, Tenancy};
pub use types::{
    Columns, FieldGetter, GroupInfo, LazySchema, Printer, ResourceInfo, ScalePaths, SelectableField, StorageInfo,
    SubresourceInfo, TypeTable, TypeTableBuilder, VersionInfo,
};
pub use watch::{WatchEvent, WatchEventType, WatchStream};

/// The strategies of kinds that are special to the registry itself, for [`builtin::base_table`].
pub fn strategies() -> builtin::Strategies {
    [
        (crd::group_resource(), crd::Definitions::strategy()),
        (kcp_apis::tenancy::WORKSPACE.group_resource(), tenancy::Workspaces::strategy()),
        (kcp_apis::core::LOGICAL_CLUSTER.group_resource(), tenancy::LogicalClusters::strategy()),
    ]
    .into()
}
