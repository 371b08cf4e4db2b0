//! The runtime of controllers: where keys come from, the queue that holds them, and the loop that works them off.
//!
//! A controller is a queue of keys, fed by sources, and a `reconcile` that is given a key and nothing else: it reads
//! the state itself, so that it does the right thing whatever events were merged or missed. One instance serves all
//! logical clusters. Nothing here polls; the only clock is the one timer of the queue, for keys that wait.
//!
//! - [`Queue`]: keys, each at most once, never worked on twice at a time, with back-off for those that fail.
//! - [`follow_store`]: keys from the ordered log of the server's own store.
//! - [`Reflector`]: a cache of one resource of any server, and keys from its changes.
//! - [`run`]: works a queue off with bounded concurrency; [`side_by_side`]: several of these on one task.
//! - [`Kinds`]: what a controller asks about the types that a logical cluster serves.

mod kinds;
mod queue;
mod reflector;
mod run;
mod store_source;

pub use kinds::{Kinds, Resource};
pub use queue::{Backoff, Queue};
pub use reflector::{Cache, Change, Reflector, ReflectorOptions};
pub use run::{Action, run, side_by_side};
pub use store_source::{Found, ObjectKey, follow_store};
