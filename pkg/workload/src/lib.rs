//! Physical clusters seen from a workspace: their health, the types learned from them, and which namespaces run where.
//!
//! One instance of each controller serves all workspaces; they share one cursor over the ordered log ([`run`]). What a
//! controller decides is a pure function with tests of its own; the controller around it only reads the index and
//! writes through the client. A restart writes nothing when nothing has changed, and a workspace that never had a
//! physical cluster costs nothing.
//!
//! [`manifests`] and [`registration`] are what `kubectl kcp workload sync` prints and writes.

mod heartbeat;
mod labels;
mod listening;
pub mod manifests;
mod negotiation;
mod read;
pub mod registration;
mod scheduling;

use std::{sync::Arc, time::Duration};

use kcp_client::Client;
use kcp_controller::{follow_store, side_by_side};
use kcp_storage::{Prefix, Store};
use tokio_util::sync::CancellationToken;

/// How many keys of one controller are worked on at a time.
const CONCURRENCY: usize = 16;

pub use kcp_apis::apiresource::NEGOTIATION_USER;

/// What the controllers need.
#[derive(Clone)]
pub struct Context {
    /// The index they read and the log they follow.
    pub store: Store,
    /// Writes, with the rights of the server itself; its prefix is replaced.
    pub client: Client,
    /// Writes the definitions of learned types, as [`NEGOTIATION_USER`]; its prefix is replaced.
    pub negotiator: Client,
    /// After how long without a heartbeat a physical cluster counts as away.
    pub heartbeat_threshold: Duration,
    /// Whether learned types are served without anybody asking for it.
    pub auto_publish: bool,
}

/// Runs the controllers until `stop`, then lets them finish what they work on.
pub async fn run(context: Context, stop: CancellationToken) {
    let context = Arc::new(context);
    let heartbeat = heartbeat::Controller::new(context.clone());
    let scheduling = scheduling::Controller::new(context.clone());
    let labels = labels::Controller::new(context.clone());
    let negotiation = negotiation::Controller::new(context.clone());
    let everything = Prefix::all();
    let cursor = follow_store(&context.store, &everything, &stop, |found| {
        let seen = read::Seen::new(&found);
        heartbeat.observe(&seen);
        scheduling.observe(&seen);
        labels.observe(&seen);
        negotiation.observe(&seen);
    });
    side_by_side([
        Box::pin(cursor),
        Box::pin(heartbeat.run(&stop)),
        Box::pin(scheduling.run(&stop)),
        Box::pin(labels.run(&stop)),
        Box::pin(negotiation.run(&stop)),
    ])
    .await;
}
