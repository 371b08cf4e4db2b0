//! The controllers without which the API does not mean what it says: namespaces empty themselves, dependents follow
//! their owners, service accounts exist and have tokens, custom resources go with their definition, roles aggregate,
//! events age.
//!
//! One instance of each serves all logical clusters. They share **one** cursor over the ordered log ([`run`]); each
//! derives keys from what it sees and works its own queue off. They read the index of the store and write through the
//! client, so every write passes the same checks as anyone's. A restart writes nothing when nothing has changed.

mod account_token;
mod aggregation;
mod context;
mod crd;
mod event_ttl;
mod garbage;
mod meta;
mod namespace;
mod service_account;

use std::sync::Arc;

use kcp_controller::{follow_store, side_by_side};
use kcp_storage::Prefix;
use tokio_util::sync::CancellationToken;

pub use context::{Context, TokenIssuer};

/// How many keys of one controller are worked on at a time.
const CONCURRENCY: usize = 16;

/// Runs all controllers until `stop`, then lets them finish what they work on.
pub async fn run(context: Context, stop: CancellationToken) {
    let context = Arc::new(context);
    let namespaces = namespace::Controller::new(context.clone());
    let garbage = garbage::Controller::new(context.clone());
    let accounts = service_account::Controller::new(context.clone());
    let tokens = account_token::Controller::new(context.clone());
    let definitions = crd::Controller::new(context.clone());
    let roles = aggregation::Controller::new(context.clone());
    let events = event_ttl::Controller::new(context.clone());
    let everything = Prefix::all();
    let cursor = follow_store(&context.store, &everything, &stop, |found| {
        let seen = meta::Seen::new(&found);
        garbage.observe(&seen);
        namespaces.observe(&seen);
        accounts.observe(&seen);
        tokens.observe(&seen);
        definitions.observe(&seen);
        roles.observe(&seen);
        events.observe(&seen);
    });
    side_by_side([
        Box::pin(cursor),
        Box::pin(namespaces.run(&stop)),
        Box::pin(garbage.run(&stop)),
        Box::pin(accounts.run(&stop)),
        Box::pin(tokens.run(&stop)),
        Box::pin(definitions.run(&stop)),
        Box::pin(roles.run(&stop)),
        Box::pin(events.run(&stop)),
    ])
    .await;
}
