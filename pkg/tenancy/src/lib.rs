//! The controllers of workspaces: they become Ready when nothing initialises them any more, and are emptied when they
//! are deleted.
//!
//! A workspace without initializers is born Ready in the very commit that creates it; nothing here runs for it. One
//! instance of each controller serves all workspaces.

mod deletion;
mod initialization;

use std::sync::Arc;

use kcp_client::Client;
use kcp_controller::{Kinds, follow_store, side_by_side};
use kcp_storage::{Prefix, Store};
use tokio_util::sync::CancellationToken;

/// What the controllers need.
#[derive(Clone)]
pub struct Context {
    /// The index they read and the log they follow.
    pub store: Store,
    /// Writes, with the rights of the server itself; its prefix is replaced.
    pub client: Client,
    /// The types of each logical cluster.
    pub kinds: Arc<dyn Kinds>,
}

/// Runs the controllers until `stop`, then lets them finish what they work on.
pub async fn run(context: Context, stop: CancellationToken) {
    let context = Arc::new(context);
    let deletion = deletion::Controller::new(context.clone());
    let initialization = initialization::Controller::new(context.clone());
    let everything = Prefix::all();
    let cursor = follow_store(&context.store, &everything, &stop, |found| {
        deletion.observe(&found);
        initialization.observe(&found);
    });
    side_by_side([Box::pin(cursor), Box::pin(deletion.run(&stop)), Box::pin(initialization.run(&stop))]).await;
}
