//! A queue of keys.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::{sync::Notify, time::Instant};

/// How long a key that failed waits: doubling from `first` to `most`, each shortened by up to a tenth at random.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(10), most: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row.
    pub fn after(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.most).mul_f64(rand::rng().random_range(0.9..=1.0))
    }
}

type Due = (Instant, u64);

struct State<K> {
    ready: VecDeque<K>,
    /// In `ready`, or to be put there when the work on it ends.
    dirty: HashSet<K>,
    working: HashSet<K>,
    /// Keys that wait, by when; the number tells apart those of one moment.
    waiting: BTreeMap<Due, K>,
    /// Where in `waiting` a key is: one that is queued earlier leaves nothing behind.
    due: HashMap<K, Due>,
    failures: HashMap<K, u32>,
    next_ticket: u64,
    closed: bool,
}

struct Shared<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    backoff: Backoff,
}

/// Keys to work on: each is queued at most once, and never handed out while it is being worked on.
pub struct Queue<K>(Arc<Shared<K>>);

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash + Send> Default for Queue<K> {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

impl<K: Clone + Eq + Hash + Send> Queue<K> {
    /// An empty queue.
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            waiting: BTreeMap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            next_ticket: 0,
            closed: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), backoff }))
    }

    /// Queues a key; nothing happens when it is queued already.
    pub fn add(&self, key: K) {
        if self.0.state.lock().add(key) {
            self.0.changed.notify_one();
        }
    }

    /// Queues many keys under one lock.
    pub fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        let mut state = self.0.state.lock();
        for key in keys {
            state.add(key);
        }
        drop(state);
        self.0.changed.notify_one();
    }

    /// Queues a key after `wait`. Of several waits for one key the shortest counts.
    pub fn add_after(&self, key: K, wait: Duration) {
        if wait.is_zero() {
            return self.add(key);
        }
        let when = Instant::now() + wait;
        let mut state = self.0.state.lock();
        if state.closed || state.due.get(&key).is_some_and(|(earlier, _)| *earlier <= when) {
            return;
        }
        let due = (when, state.next_ticket);
        state.next_ticket += 1;
        if let Some(old) = state.due.insert(key.clone(), due) {
            state.waiting.remove(&old);
        }
        state.waiting.insert(due, key);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Queues a key that failed, after a wait that grows with each failure; gives the wait.
    pub fn retry(&self, key: K) -> Duration {
        let failures = {
            let mut state = self.0.state.lock();
            let n = state.failures.entry(key.clone()).or_insert(0);
            *n = n.saturating_add(1);
            *n
        };
        let wait = self.0.backoff.after(failures);
        self.add_after(key, wait);
        wait
    }

    /// Forgets that a key has failed.
    pub fn forget(&self, key: &K) {
        self.0.state.lock().failures.remove(key);
    }

    /// The next key to work on; [`Queue::done`] must follow. `None` when the queue is closed.
    pub async fn next(&self) -> Option<K> {
        loop {
            let notified = self.0.changed.notified();
            let wake_at = {
                let mut state = self.0.state.lock();
                if state.closed {
                    return None;
                }
                state.release_due(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.0.changed.notify_one();
                    }
                    return Some(key);
                }
                state.waiting.first_key_value().map(|((when, _), _)| *when)
            };
            match wake_at {
                None => notified.await,
                Some(when) => {
                    tokio::select! {
                        () = notified => {}
                        () = tokio::time::sleep_until(when) => {}
                    }
                }
            }
        }
    }

    /// The work on a key has ended; it is queued again if it was added meanwhile.
    pub fn done(&self, key: &K) {
        let mut state = self.0.state.lock();
        state.working.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.0.changed.notify_one();
        }
    }

    /// How many keys are queued, wait, or are worked on.
    pub fn len(&self) -> usize {
        let state = self.0.state.lock();
        state.dirty.len() + state.due.len() + state.working.len()
    }

    /// Whether nothing is queued, waits, or is worked on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all [`Queue::next`].
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_waiters();
        self.0.changed.notify_one();
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// Whether the key can be handed out now.
    fn add(&mut self, key: K) -> bool {
        if let Some(due) = self.due.remove(&key) {
            self.waiting.remove(&due);
        }
        if self.closed || !self.dirty.insert(key.clone()) || self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.first_entry().filter(|e| e.key().0 <= now) {
            let key = entry.remove();
            self.due.remove(&key);
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_queued_once_and_never_worked_on_twice_at_a_time() {
        let q = Queue::default();
        q.add("a");
        q.add("a");
        assert_eq!(q.next().await, Some("a"));
        q.add("a");
        q.add("b");
        assert_eq!(q.next().await, Some("b"), "a is being worked on");
        q.done(&"a");
        assert_eq!(q.next().await, Some("a"), "it was added meanwhile");
        q.done(&"a");
        q.done(&"b");
        assert!(q.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_the_shortest_counts() {
        let q = Queue::new(Backoff { first: Duration::from_secs(1), most: Duration::from_secs(8) });
        let (first, second) = (q.retry("a"), q.retry("a"));
        assert!(first <= Duration::from_secs(1) && second > Duration::from_millis(1500));
        let start = Instant::now();
        assert_eq!(q.next().await, Some("a"));
        assert!(start.elapsed() <= Duration::from_millis(1010), "the first wait was shorter");
        q.done(&"a");
        q.forget(&"a");
        q.add_after("b", Duration::from_secs(3600));
        q.add("b");
        assert_eq!(q.next().await, Some("b"));
        q.done(&"b");
        assert!(q.is_empty(), "adding a key takes it off the waiting ones");
    }

    /// A key that is always touched before its time, such as that of a heartbeat, holds no more than one that is not.
    #[tokio::test(start_paused = true)]
    async fn keys_that_are_queued_early_leave_nothing_behind() {
        let q = Queue::default();
        q.add_after("first", Duration::from_secs(1));
        for _ in 0..1000 {
            q.add_after("a", Duration::from_secs(60));
            q.add("a");
            assert_eq!(q.next().await, Some("a"));
            q.done(&"a");
        }
        for wait in (1..1000).rev() {
            q.add_after("b", Duration::from_secs(wait));
        }
        let waiting = q.0.state.lock().waiting.len();
        assert_eq!((waiting, q.len()), (2, 2));
    }

    #[tokio::test]
    async fn closing_ends_the_wait() {
        let q: Queue<u8> = Queue::default();
        let other = q.clone();
        let waiter = tokio::spawn(async move { other.next().await });
        tokio::task::yield_now().await;
        q.close();
        assert_eq!(waiter.await.unwrap(), None);
    }
}
