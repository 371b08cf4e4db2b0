//! Working a queue off.

use std::{fmt::Display, future::Future, hash::Hash, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use crate::queue::Queue;

/// What is to happen with a key that was worked on without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until something changes.
    Done,
    /// Look again after this time.
    After(Duration),
}

/// Runs controllers side by side on the calling task until all have ended. Of those only the ones that were woken are
/// looked at: every write wakes whoever follows the log, and that should not cost a look at all the others.
pub async fn side_by_side<const N: usize>(controllers: [BoxFuture<'_, ()>; N]) {
    let mut running: FuturesUnordered<_> = controllers.into_iter().collect();
    while running.next().await.is_some() {}
}

/// Works the queue off until `stop`: calls `reconcile` for each key, for up to `concurrency` keys at a time, all on
/// the calling task. A key that fails is tried again with back-off, for ever; a panic counts as a failure. What is being worked on when `stop`
/// comes is finished first.
pub async fn run<K, F, R, E>(
    name: &'static str,
    queue: &Queue<K>,
    concurrency: usize,
    stop: &CancellationToken,
    reconcile: F,
) where
    K: Clone + Eq + Hash + Send + std::fmt::Debug,
    F: Fn(K) -> R,
    R: Future<Output = Result<Action, E>>,
    E: Display,
{
    let mut working = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = working.next(), if !working.is_empty() => {}
            key = queue.next(), if working.len() < concurrency => {
                let Some(key) = key else { break };
                let work = std::panic::AssertUnwindSafe(reconcile(key.clone())).catch_unwind();
                working.push(async move {
                    match work.await {
                        Ok(Ok(action)) => {
                            queue.forget(&key);
                            queue.done(&key);
                            if let Action::After(wait) = action {
                                queue.add_after(key, wait);
                            }
                        }
                        Ok(Err(error)) => {
                            queue.done(&key);
                            let wait = queue.retry(key.clone());
                            tracing::warn!(controller = name, ?key, %error, ?wait, "reconcile failed, will be tried again");
                        }
                        Err(_) => {
                            queue.done(&key);
                            let wait = queue.retry(key.clone());
                            tracing::error!(controller = name, ?key, ?wait, "reconcile panicked, will be tried again");
                        }
                    }
                });
            }
        }
    }
    while working.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_are_tried_again() {
        let queue = Queue::default();
        queue.add_all([0usize, 1, 2]);
        let calls = AtomicUsize::new(0);
        let stop = CancellationToken::new();
        run("test", &queue, 2, &stop, |key: usize| {
            let n = calls.fetch_add(1, Ordering::Relaxed);
            let (queue, stop) = (&queue, &stop);
            async move {
                match (key, n) {
                    (0, 0) => return Err("no"),
                    (1, 1) => panic!("a test panics"),
                    _ => {}
                }
                if queue.len() == 1 {
                    stop.cancel();
                }
                Ok(Action::Done)
            }
        })
        .await;
        assert_eq!(calls.load(Ordering::Relaxed), 5);
        assert!(queue.is_empty());
    }
}
