//! Since when this server has been there to hear heartbeats.

use std::{collections::HashMap, time::Duration};

use kcp_apimachinery::time::Timestamp;
use kcp_controller::{Action, ObjectKey};
use parking_lot::Mutex;

/// Since when this server listens without a break. While it was down, stopped or its machine asleep, no syncer could be
/// heard, which says nothing about any of them.
///
/// Nobody watches the clock for that. Whoever is waited for has looks that are due, two in the time that it may be
/// silent; a look that comes much later than it was due, or after the clock was set forward, comes after a break. What
/// is shorter than that leaves every syncer the time for a heartbeat.
pub(crate) struct Listening {
    state: Mutex<State>,
    threshold: Duration,
}

struct State {
    since: Timestamp,
    /// When the next looks are due, in milliseconds of Unix time: of the clocks, this one goes on while the machine is
    /// asleep.
    due: HashMap<ObjectKey, i64>,
}

impl Listening {
    /// From `now` on, to judge silence of `threshold`.
    pub(crate) fn new(now: Timestamp, threshold: Duration) -> Self {
        Self { state: Mutex::new(State { since: now, due: HashMap::new() }), threshold }
    }

    /// Since when, asked by a look that is taken `now`.
    pub(crate) fn since(&self, key: &ObjectKey, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        let due = state.due.remove(key);
        let late = due.is_some_and(|due| now.unix_millis() > due.saturating_add(millis(self.threshold / 10)));
        state.since = if late { now } else { state.since.min(now) };
        state.since
    }

    /// Has who may be silent for so long from `now` on looked at in time.
    pub(crate) fn look_again(&self, key: ObjectKey, now: Timestamp, patience: Option<Duration>) -> Action {
        let Some(wait) = patience.map(|left| left.min(self.threshold / 2)) else { return Action::Done };
        self.state.lock().due.insert(key, now.unix_millis().saturating_add(millis(wait)));
        Action::After(wait)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use kcp_logicalcluster::ClusterName;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { cluster: ClusterName::root(), namespace: String::new(), name: name.into() }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_break_is_where_a_look_comes_late() {
        let listening = Listening::new(at(0), MINUTE);
        for (why, now, since) in [
            ("the first look", 0, 0),
            ("when it was due", 30, 0),
            ("a heartbeat came before it was", 35, 0),
            ("a little late, as on a busy machine", 68, 0),
            ("an hour asleep", 3668, 3668),
            ("awake", 3698, 3668),
            ("stopped for 40 seconds, of which it was due after 30", 3738, 3738),
            ("the clock was set back", 1000, 1000),
            ("and goes on", 1010, 1000),
        ] {
            assert_eq!(listening.since(&key("a"), at(now)), at(since), "{why}");
            assert_eq!(listening.look_again(key("a"), at(now), Some(MINUTE)), Action::After(MINUTE / 2), "{why}");
        }
    }

    /// Who is not waited for tells nothing about time, and what one look finds out holds for all.
    #[test]
    fn looks_that_were_not_due_prove_nothing() {
        let listening = Listening::new(at(0), MINUTE);
        assert_eq!(listening.look_again(key("away"), at(0), None), Action::Done);
        assert_eq!(listening.since(&key("away"), at(3600)), at(0));
        assert_eq!(listening.look_again(key("a"), at(3600), Some(MINUTE / 6)), Action::After(MINUTE / 6));
        assert_eq!(listening.since(&key("new"), at(7200)), at(0));
        assert_eq!(listening.since(&key("a"), at(7200)), at(7200));
        assert_eq!(listening.since(&key("new"), at(7201)), at(7200));
        assert_eq!(listening.since(&key("a"), at(10_800)), at(7200), "it was looked at");
    }
}
