//! A streamed answer that ends when its request's time is up, even when nobody reads it.
//!
//! A client that stops reading is never polled for again, so what its answer holds, a snapshot of the whole store, must
//! be let go from outside.

use std::{sync::Arc, time::Duration};

use kcp_apimachinery::{Status, status::reason};
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::sleep};

/// An iterator that is dropped when its time is up; then it gives one error.
pub(crate) struct Expiring<I> {
    inner: Arc<Mutex<State<I>>>,
    timer: JoinHandle<()>,
}

enum State<I> {
    Running(I),
    Expired,
    Ended,
}

impl<I: Send + 'static> Expiring<I> {
    /// Gives `inner` this long.
    pub(crate) fn new(inner: I, limit: Duration) -> Self {
        let inner = Arc::new(Mutex::new(State::Running(inner)));
        let held = Arc::clone(&inner);
        let timer = tokio::spawn(async move {
            sleep(limit).await;
            let expired = std::mem::replace(&mut *held.lock(), State::Expired);
            drop(expired);
        });
        Self { inner, timer }
    }
}

impl<T, I: Iterator<Item = Result<T, Status>>> Iterator for Expiring<I> {
    type Item = Result<T, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut state = self.inner.lock();
        match &mut *state {
            State::Running(inner) => inner.next(),
            State::Ended => None,
            State::Expired => {
                *state = State::Ended;
                Some(Err(Status::failure(504, reason::TIMEOUT, "the answer was not read in time")))
            }
        }
    }
}

impl<I> Drop for Expiring<I> {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_let_go() {
        let snapshot = Arc::new(());
        let held = Arc::clone(&snapshot);
        let items = std::iter::repeat_with(move || Ok::<_, Status>(Arc::strong_count(&held)));
        let mut expiring = Expiring::new(items, Duration::from_secs(60));
        sleep(Duration::from_secs(59)).await;
        assert_eq!(expiring.next().unwrap().unwrap(), 2);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(Arc::strong_count(&snapshot), 1, "let go though nobody asked for more");
        assert_eq!(expiring.next().unwrap().unwrap_err().code, 504);
        assert!(expiring.next().is_none());
    }
}
