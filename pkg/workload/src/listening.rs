//! Since when this server has been there to hear heartbeats.

use std::time::Duration;

use kcp_apimachinery::time::Timestamp;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Since when this server listens without a break. While it was down, stopped or its machine asleep, no syncer could be
/// heard, which says nothing about any of them.
pub(crate) struct Listening {
    state: Mutex<State>,
    /// A longer one between two looks at the clock is a break.
    gap: Duration,
}

struct State {
    since: Timestamp,
    last: Timestamp,
}

impl Listening {
    /// From `now` on, to judge silence of `threshold`.
    pub(crate) fn new(now: Timestamp, threshold: Duration) -> Self {
        Self { state: Mutex::new(State { since: now, last: now }), gap: threshold / 2 }
    }

    /// Since when, asked at `now`.
    pub(crate) fn since(&self, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        let passed = now.unix_millis().saturating_sub(state.last.unix_millis());
        let break_of = i64::try_from(self.gap.as_millis()).unwrap_or(i64::MAX);
        state.since = if passed > break_of { now } else { state.since.min(now) };
        state.last = now;
        state.since
    }

    /// Looks at the clock often enough for a break to be told from a time in which nothing happened.
    pub(crate) async fn watch_the_clock(&self, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval((self.gap / 4).max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.since(Timestamp::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_is_where_the_clock_jumped() {
        let at = |seconds: i64| Timestamp::from_unix_seconds(1_700_000_000 + seconds);
        let listening = Listening::new(at(0), Duration::from_secs(60));
        for (why, now, since) in [
            ("looked at often enough", 30, 0),
            ("again", 60, 0),
            ("an hour asleep", 3600, 3600),
            ("awake", 3620, 3600),
            ("the clock was set back", 1000, 1000),
            ("and goes on", 1010, 1000),
        ] {
            assert_eq!(listening.since(at(now)), at(since), "{why}");
        }
    }
}
