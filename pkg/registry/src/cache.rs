//! Things derived from the store, one per logical cluster: made when asked for, dropped when what they were made of
//! changes or when many others were asked for since.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use kcp_logicalcluster::ClusterName;
use parking_lot::RwLock;

/// How many counters of invalidations there are.
const EPOCHS: usize = 64;

struct Slot<T> {
    value: Arc<T>,
    /// When it was last asked for, in requests.
    used: AtomicU64,
}

/// A cache of values derived from the state of logical clusters.
///
/// [`PerCluster::invalidate`] is called from a store's observer, so before whoever made the change is answered. A value
/// that is being made meanwhile is returned to who asked but not kept: it may be of before the change.
pub(crate) struct PerCluster<T> {
    slots: RwLock<HashMap<ClusterName, Slot<T>>>,
    /// Counts invalidations, of many logical clusters together.
    epochs: [AtomicU64; EPOCHS],
    clock: AtomicU64,
    limit: usize,
}

impl<T> PerCluster<T> {
    /// A cache of at most about `limit` values.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: RwLock::default(),
            epochs: [const { AtomicU64::new(0) }; EPOCHS],
            clock: AtomicU64::new(0),
            limit: limit.max(2),
        }
    }

    /// The value of `cluster`; `build` makes it from the state as it is when it is called.
    pub(crate) fn get(&self, cluster: &ClusterName, build: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.slots.read().get(cluster) {
            slot.used.store(now, Ordering::Relaxed);
            return Arc::clone(&slot.value);
        }
        let epoch = self.epoch(cluster).load(Ordering::Acquire);
        let value = build();
        let mut slots = self.slots.write();
        if self.epoch(cluster).load(Ordering::Acquire) == epoch {
            if slots.len() >= self.limit {
                forget_older_half(&mut slots);
            }
            slots.insert(cluster.clone(), Slot { value: Arc::clone(&value), used: now.into() });
        }
        value
    }

    fn epoch(&self, cluster: &ClusterName) -> &AtomicU64 {
        let mixed = cluster.as_str().bytes().fold(0_usize, |h, b| h.wrapping_mul(31).wrapping_add(usize::from(b)));
        &self.epochs[mixed % EPOCHS]
    }

    /// What was derived from the state of `cluster` is no longer true.
    pub(crate) fn invalidate(&self, cluster: &ClusterName) {
        let mut slots = self.slots.write();
        self.epoch(cluster).fetch_add(1, Ordering::AcqRel);
        slots.remove(cluster);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.read().len()
    }
}

fn forget_older_half<T>(slots: &mut HashMap<ClusterName, Slot<T>>) {
    let mut times: Vec<u64> = slots.values().map(|s| s.used.load(Ordering::Relaxed)).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    slots.retain(|_, slot| slot.used.load(Ordering::Relaxed) >= median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_once_and_after_a_change_again() {
        let cache = PerCluster::new(8);
        let (a, b) = (ClusterName::new("a").unwrap(), ClusterName::new("b").unwrap());
        assert_eq!(*cache.get(&a, || Arc::new(1)), 1);
        assert_eq!(*cache.get(&a, || Arc::new(2)), 1);
        assert_eq!(*cache.get(&b, || Arc::new(7)), 7);
        cache.invalidate(&a);
        assert_eq!(*cache.get(&a, || Arc::new(3)), 3);
        assert_eq!(*cache.get(&b, || Arc::new(8)), 7);
    }

    #[test]
    fn a_value_made_during_a_change_is_not_kept() {
        let cache = PerCluster::new(8);
        let a = ClusterName::new("a").unwrap();
        let stale = cache.get(&a, || {
            cache.invalidate(&a);
            Arc::new(1)
        });
        assert_eq!(*stale, 1);
        assert_eq!(*cache.get(&a, || Arc::new(2)), 2);
    }

    #[test]
    fn the_idle_are_forgotten() {
        let cache = PerCluster::new(4);
        let name = |i: usize| ClusterName::new(&format!("c{i}")).unwrap();
        for i in 0..100 {
            cache.get(&name(i), || Arc::new(i));
        }
        assert!(cache.len() <= 4, "{}", cache.len());
        assert_eq!(*cache.get(&name(99), || Arc::new(0)), 99);
    }
}
