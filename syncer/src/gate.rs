//! How many requests are made of a server at a time: found out, not configured.
//!
//! Additive increase, multiplicative decrease: each full round of answers without trouble allows one more request at a
//! time; a 429, a 5xx or a broken connection halves what is allowed. A server whose answers become slow gets no more than it has.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use kcp_client::{Error, TransportError};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const LEAST: usize = 1;
const FIRST: usize = 16;
const MOST: usize = 256;
/// Answers this many times slower than the fastest lately are a sign of strain.
const STRAIN: u32 = 8;

struct State {
    allowed: usize,
    busy: usize,
    /// Good answers since the last change.
    good: usize,
    fastest: Duration,
}

/// Limits the requests to one server.
pub(crate) struct Gate {
    state: Mutex<State>,
    freed: Notify,
    /// Requests made, and those that met trouble, since the start.
    pub(crate) requests: AtomicU64,
    pub(crate) troubled: AtomicU64,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let state = State { allowed: FIRST, busy: 0, good: 0, fastest: Duration::MAX };
        Self {
            state: Mutex::new(state),
            freed: Notify::new(),
            requests: AtomicU64::new(0),
            troubled: AtomicU64::new(0),
        }
    }

    /// How many requests are allowed at a time now.
    pub(crate) fn allowed(&self) -> usize {
        self.state.lock().allowed
    }

    /// Makes a request when it may be made, and learns from how it went.
    pub(crate) async fn pass<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                if state.busy < state.allowed {
                    state.busy += 1;
                    break;
                }
            }
            freed.await;
        }
        // The place is given back also when the caller is dropped meanwhile.
        let place = Place(self);
        let start = Instant::now();
        // A server that took the request and never answers must not hold the key for ever.
        let result = tokio::time::timeout(PATIENCE, request)
            .await
            .unwrap_or_else(|_| Err(TransportError::broken(format!("no answer within {PATIENCE:?}")).into()));
        place.0.learn(start.elapsed(), result.as_ref().err().is_some_and(Error::is_transient));
        result
    }

    fn learn(&self, took: Duration, trouble: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        if trouble {
            self.troubled.fetch_add(1, Ordering::Relaxed);
            state.allowed = (state.allowed / 2).max(LEAST);
            state.good = 0;
            return;
        }
        // The memory of the fastest answer fades, so that a server that was faster once is not measured by that for ever.
        state.fastest = took.min(state.fastest.saturating_mul(101) / 100);
        if took < (state.fastest * STRAIN).max(Duration::from_millis(20)) {
            state.good += 1;
        }
        if state.good >= state.allowed && state.allowed < MOST {
            state.allowed += 1;
            state.good = 0;
            self.freed.notify_one();
        }
    }
}

struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::Status;

    use super::*;

    #[tokio::test]
    async fn trouble_halves_and_success_adds() {
        let gate = Gate::new();
        let _ = gate.pass(async { Err::<(), _>(Status::failure(429, "TooManyRequests", "").into()) }).await;
        assert_eq!(gate.allowed(), FIRST / 2);
        for _ in 0..FIRST / 2 {
            gate.pass(async { Ok(()) }).await.unwrap();
        }
        assert_eq!(gate.allowed(), FIRST / 2 + 1);
        let _ = gate.pass(async { Err::<(), _>(Status::failure(404, "NotFound", "").into()) }).await;
        assert_eq!(gate.allowed(), FIRST / 2 + 1, "a refusal is an answer");
        for _ in 0..20 {
            let _ = gate.pass(async { Err::<(), _>(Status::failure(503, "", "").into()) }).await;
        }
        assert_eq!(gate.allowed(), LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up() {
        let gate = Gate::new();
        let outcome = gate.pass(std::future::pending::<Result<(), Error>>()).await;
        assert!(outcome.is_err_and(|e| e.is_transient()));
        assert_eq!(gate.allowed(), FIRST / 2);
    }
}
