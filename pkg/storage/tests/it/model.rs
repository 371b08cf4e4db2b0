//! Random histories against a naive model: a map, and a list of everything that happened.

use std::collections::BTreeMap;

use kcp_storage::{Batch, CommitError, Expect, Key, Store, Watcher, Window};
use proptest::prelude::*;

use crate::support::*;

#[derive(Debug, Clone)]
enum Change {
    Put(usize, usize, Wish),
    Delete(usize, Wish),
    Check(usize, Wish),
    Purge(usize),
}

/// What a change expects of its key, right or wrong.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Any,
    Absent,
    Current,
    Stale,
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    Watch(usize, u64),
    Drain,
    Reopen,
    Past(usize, u64),
}

const KEYS: [&str; 9] = [
    "configmaps/a/n/a",
    "configmaps/a/n/a1",
    "configmaps/a/n/ab",
    "configmaps/a/n1/a",
    "configmaps/a1/n/a",
    "configmaps/a//a",
    "configmaps.x/a/n/a",
    "secrets/a/n/a",
    "secrets/a1/n/a",
];
const PREFIXES: [&str; 8] = [
    "",
    "configmaps",
    "configmaps/a",
    "configmaps/a/n",
    "configmaps/a/n/a",
    "configmaps/a1",
    "secrets/a",
    "configmaps/a/",
];
const CLUSTERS: [&str; 3] = ["a", "a1", "b"];

fn change() -> impl Strategy<Value = Change> {
    let wish =
        prop_oneof![4 => Just(Wish::Any), 1 => Just(Wish::Absent), 3 => Just(Wish::Current), 1 => Just(Wish::Stale)];
    let len = prop_oneof![8 => 0..40_usize, 1 => 24_000..26_000_usize, 1 => 70_000..80_000_usize];
    prop_oneof![
        8 => (0..KEYS.len(), len, wish.clone()).prop_map(|(key, len, wish)| Change::Put(key, len, wish)),
        4 => (0..KEYS.len(), wish.clone()).prop_map(|(key, wish)| Change::Delete(key, wish)),
        1 => (0..KEYS.len(), wish).prop_map(|(key, wish)| Change::Check(key, wish)),
        1 => (0..CLUSTERS.len()).prop_map(Change::Purge),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(change(), 1..4).prop_map(Step::Commit),
        2 => (0..PREFIXES.len(), 0..12_u64).prop_map(|(prefix, back)| Step::Watch(prefix, back)),
        3 => Just(Step::Drain),
        1 => Just(Step::Reopen),
        2 => (0..PREFIXES.len(), 0..20_u64).prop_map(|(prefix, back)| Step::Past(prefix, back)),
    ]
}

type State = BTreeMap<Key, (u64, String)>;

/// What should be there, now and at every revision, and what watchers should be told.
struct Model {
    states: Vec<State>,
    /// Sorted within a revision: the order of events in a purge is the store's choice.
    events: Vec<(u64, Key, String)>,
}

impl Model {
    fn revision(&self) -> u64 {
        self.states.len() as u64
    }

    fn state(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    fn expect(&self, key: &Key, wish: Wish) -> Expect {
        let current = self.state().get(key).map(|value| value.0);
        match (wish, current) {
            (Wish::Any, _) | (Wish::Current, None) => Expect::Any,
            (Wish::Absent, _) => Expect::Absent,
            (Wish::Current, Some(revision)) => Expect::Revision(revision),
            (Wish::Stale, current) => Expect::Revision(current.unwrap_or(3) - 1),
        }
    }

    /// The outcome that the store should have too: a revision, or the index of the failing operation.
    fn commit(&mut self, changes: &[Change]) -> (Batch, Result<u64, usize>) {
        let mut batch = Batch::new();
        let (mut written, mut outcome) = (Vec::new(), Ok(()));
        let mut next = self.state().clone();
        let revision = self.revision() + 1;
        for (index, change) in changes.iter().enumerate() {
            let (key, wish) = match change {
                Change::Purge(name) => {
                    batch = batch.purge(cluster(CLUSTERS[*name]));
                    continue;
                }
                Change::Put(key, _, wish) | Change::Delete(key, wish) | Change::Check(key, wish) => {
                    (self::key(KEYS[*key]), *wish)
                }
            };
            let expect = self.expect(&key, wish);
            let current = self.state().get(&key).map(|value| value.0);
            let holds = match expect {
                Expect::Any => true,
                Expect::Absent => current.is_none(),
                Expect::Revision(wanted) => current == Some(wanted),
            };
            let repeated = !matches!(change, Change::Check(..)) && written.contains(&key);
            if outcome.is_ok() && (!holds || repeated) {
                outcome = Err(index);
            }
            match change {
                Change::Put(_, len, _) => {
                    let text = "x".repeat(*len);
                    batch = batch.put(key.clone(), value(&text), expect);
                    next.insert(key.clone(), (revision, format!("{text}@{revision}")));
                    written.push(key);
                }
                Change::Delete(..) => {
                    batch = batch.delete(key.clone(), expect);
                    next.remove(&key);
                    written.push(key);
                }
                Change::Check(..) | Change::Purge(_) => batch = batch.check(key, expect),
            }
        }
        for change in changes {
            if let Change::Purge(name) = change {
                next.retain(|key, _| key.parts().cluster != CLUSTERS[*name] || written.contains(key));
            }
        }
        if let Err(index) = outcome {
            return (batch, Err(index));
        }
        let before = self.state();
        let keys: std::collections::BTreeSet<&Key> = before.keys().chain(next.keys()).collect();
        let mut events = Vec::new();
        for key in keys {
            let event = match (before.get(key), next.get(key)) {
                (None, Some(new)) => format!("{revision} +{key}={}", new.1),
                (Some(old), Some(new)) if new.0 == revision => format!("{revision} ~{key}={}<{}", new.1, old.1),
                (Some(old), None) => {
                    let restamped = old.1.rsplit_once('@').map(|(text, _)| format!("{text}@{revision}"));
                    format!("{revision} -{key}={}<{}", restamped.unwrap(), old.1)
                }
                _ => continue,
            };
            events.push((revision, key.clone(), event));
        }
        if !events.is_empty() {
            self.events.extend(events);
            self.states.push(next);
        }
        (batch, Ok(self.revision()))
    }

    fn told(&self, text: &str, from: u64) -> Vec<String> {
        let mut told: Vec<_> = self
            .events
            .iter()
            .filter(|event| event.0 > from && event.1.starts_with(&prefix(text)))
            .map(|event| event.2.clone())
            .collect();
        told.sort();
        told
    }
}

fn sorted_drain(watcher: &mut Watcher) -> Vec<String> {
    let mut told = drain(watcher);
    told.sort();
    told
}

fn visible(store: &kcp_storage::Snapshot, text: &str) -> State {
    let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    store
        .range(&prefix(text), None)
        .map(|(key, entry)| (key.clone(), (entry.revision, text_of(&entry.value))))
        .collect()
}

fn within(state: &State, text: &str) -> State {
    state
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix(text)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn run(place: &Place, steps: &[Step], limited: bool) {
    let mut store = Some(place.open());
    let mut model = Model { states: vec![State::new()], events: Vec::new() };
    let mut watchers: Vec<(usize, u64, Watcher)> = Vec::new();
    for step in steps {
        let open = |store: &Option<Store>| store.clone().unwrap();
        match step {
            Step::Commit(changes) => {
                let (batch, wanted) = model.commit(changes);
                match (commit(&open(&store), batch), wanted) {
                    (Ok(revision), Ok(wanted)) => assert_eq!(revision, wanted),
                    (Err(CommitError::Conflict { index, .. } | CommitError::Invalid { index, .. }), Err(wanted)) => {
                        assert_eq!(index, wanted);
                    }
                    (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
                }
            }
            Step::Watch(text, back) => {
                let from = model.revision().saturating_sub(*back).max(1);
                match open(&store).watch(&prefix(PREFIXES[*text]), from) {
                    Ok(watcher) => watchers.push((*text, from, watcher)),
                    Err(error) => assert!(limited && from < open(&store).stats().oldest, "{error}"),
                }
            }
            Step::Drain => watchers.retain_mut(|(text, from, watcher)| {
                if limited && *from < open(&store).stats().oldest {
                    // It may have lost something; then it says so rather than leave it out.
                    return false;
                }
                assert_eq!(sorted_drain(watcher), model.told(PREFIXES[*text], *from));
                *from = model.revision();
                assert_eq!(watcher.position(), *from);
                true
            }),
            Step::Reopen => {
                watchers.clear();
                store.take().unwrap().close();
                store = Some(place.open());
            }
            Step::Past(text, back) => {
                let revision = model.revision().saturating_sub(*back).max(1);
                match open(&store).snapshot_at(revision, &prefix(PREFIXES[*text])) {
                    Ok(view) => {
                        let wanted = within(&model.states[revision as usize - 1], PREFIXES[*text]);
                        assert_eq!(visible(&view, PREFIXES[*text]), wanted);
                    }
                    Err(error) => assert!(limited, "{error}"),
                }
            }
        }
        assert_eq!(open(&store).revision(), model.revision());
        assert_eq!(&visible(&open(&store).snapshot(), ""), model.state());
        for name in CLUSTERS {
            let objects = model.state().keys().filter(|key| key.parts().cluster == name).count();
            assert_eq!(open(&store).usage(&cluster(name)).objects, objects as u64);
        }
    }
    if let Some(store) = store {
        store.close();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_follows_the_model(steps in prop::collection::vec(step(), 1..60)) {
        run(&Place::memory(), &steps, false);
    }

    #[test]
    fn a_small_window_follows_the_model(steps in prop::collection::vec(step(), 1..60)) {
        run(&Place::memory().window(Window { max_events: 8, ..Window::default() }), &steps, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_follows_the_model(steps in prop::collection::vec(step(), 1..60)) {
        run(&Place::sled(), &steps, false);
    }
}
