//! Watching, and reading the past.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use kcp_storage::{Batch, Expect, HistoryError, Store, WatchError, Window};

use crate::support::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), woken.into())
}

/// Wakes come after answers: waits until the committer has nothing more to do for what was committed before.
fn settle(store: &Store) {
    commit(store, Batch::new()).unwrap();
    commit(store, Batch::new()).unwrap();
}

#[test]
fn a_watch_begins_after_its_revision() {
    everywhere(|place| {
        let store = place.open();
        for name in ["a", "b", "c"] {
            create(&store, &format!("configmaps/root/n/{name}"));
        }
        // Older and newer starting points, in any order, of one prefix: each gets its own events, once (W-02, W-19).
        let mut watchers: Vec<_> =
            [3, 1, 4, 2, 9].map(|from| (from, store.watch(&prefix("configmaps/root/n"), from).unwrap())).into();
        create(&store, "configmaps/root/n/d");
        create(&store, "secrets/root/n/d");
        for (from, watcher) in &mut watchers {
            let wanted: Vec<u64> = (*from + 1..=5).collect();
            let got: Vec<u64> = watcher.try_next().unwrap().iter().flatten().map(|event| event.revision).collect();
            assert_eq!(got, wanted, "from {from}");
            assert_eq!(watcher.position(), (*from).max(6), "from {from}");
        }
        for name in 7..=10 {
            create(&store, &format!("configmaps/root/n/{name}"));
        }
        let (_, future) = &mut watchers[4];
        assert_eq!(drain(future), ["10 +configmaps./root/n/10=v@10"], "silent until its revision is reached (W-07)");
    });
}

#[test]
fn the_position_moves_while_nothing_happens_here() {
    everywhere(|place| {
        let store = place.open();
        let mut watcher = store.watch(&prefix("configmaps"), 1).unwrap();
        for name in 0..5 {
            create(&store, &format!("secrets/root/n/{name}"));
        }
        assert_eq!(watcher.position(), 6, "bookmarks advance (W-09)");
        create(&store, "configmaps/root/n/a");
        assert_eq!(watcher.position(), 1, "never beyond an event that was not returned");
        assert_eq!((drain(&mut watcher).len(), watcher.position()), (1, 7));
    });
}

#[test]
fn only_those_who_wait_for_it_are_woken() {
    everywhere(|place| {
        let store = place.open();
        let mut watchers: Vec<_> =
            ["configmaps/root/n", "configmaps/root", "configmaps/root/o", "secrets", "", "configmaps/root/n/b"]
                .map(|text| (text, store.watch(&prefix(text), 1).unwrap(), waker()))
                .into();
        for (_, watcher, (_, waker)) in &mut watchers {
            assert!(watcher.poll_next(&mut Context::from_waker(waker)).is_pending());
        }
        assert_eq!(store.stats().interest_groups, 6);
        create(&store, "configmaps/root/n/a");
        create(&store, "configmaps/root/n/a1");
        settle(&store);
        for (text, watcher, (woken, waker)) in &mut watchers {
            let concerned = ["configmaps/root/n", "configmaps/root", ""].contains(text);
            assert_eq!(woken.0.load(Ordering::SeqCst), usize::from(concerned), "{text:?} is woken once or not at all");
            let ready =
                matches!(watcher.poll_next(&mut Context::from_waker(waker)), Poll::Ready(Ok(e)) if e.len() == 2);
            assert_eq!(ready, concerned, "{text:?}");
        }
        drop(watchers);
        assert_eq!((store.stats().watchers, store.stats().interest_groups), (0, 0), "nothing is left of a watch");
    });
}

#[test]
fn waiting_can_be_given_up_at_any_time() {
    let place = Place::memory();
    let store = place.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut watcher = store.watch(&prefix("configmaps"), 1).unwrap();
        for round in 0..20 {
            let impatient = tokio::time::timeout(Duration::ZERO, watcher.next()).await;
            assert!(impatient.is_err(), "nothing is there yet");
            let batch = Batch::new().put(key(&format!("configmaps/root/n/{round}")), value("v"), Expect::Absent);
            let committed = store.commit(batch).await.unwrap();
            let events = watcher.next().await.unwrap();
            assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), [committed.revision]);
        }
    });
}

#[test]
fn a_revision_comes_whole_however_large() {
    everywhere(|place| {
        let store = place.open();
        for i in 0..3 {
            let batch = (0..200).fold(Batch::new(), |batch, n| {
                batch.put(key(&format!("configmaps/c/n{i}/{n}")), value("v"), Expect::Absent)
            });
            commit(&store, batch).unwrap();
        }
        commit(&store, Batch::new().purge(cluster("c"))).unwrap();
        let mut watcher = store.watch(&prefix("configmaps/c"), 1).unwrap();
        let mut batches = Vec::new();
        while let Some(events) = watcher.try_next().unwrap() {
            let (first, last) = (events[0].revision, events[events.len() - 1].revision);
            batches.push((first, last, events.len()));
            assert_eq!(watcher.position(), last.max(if last == 5 { 5 } else { 0 }));
        }
        assert_eq!(batches, [(2, 3, 400), (4, 5, 800)], "bounded, but only between revisions");
    });
}

#[test]
fn restarts_do_not_break_watches() {
    everywhere(|place| {
        let text = "configmaps/root/n/a";
        let mut wanted = Vec::new();
        for round in 0..4_u64 {
            let store = place.open();
            let base = 1 + 3 * round;
            assert_eq!(store.revision(), base);
            let mut old = store.watch(&prefix(text), 1).unwrap();
            assert_eq!(drain(&mut old), wanted, "after restart {round}");
            create(&store, text);
            put(&store, text, "w", Expect::Any).unwrap();
            delete(&store, text);
            wanted.push(format!("{} +configmaps./root/n/a=v@{0}", base + 1));
            wanted.push(format!("{} ~configmaps./root/n/a=w@{0}<v@{}", base + 2, base + 1));
            wanted.push(format!("{} -configmaps./root/n/a=w@{0}<w@{}", base + 3, base + 2));
            assert_eq!(drain(&mut old), wanted[wanted.len() - 3..]);
            store.close();
        }
    });
}

#[test]
fn the_past_can_be_read_exactly() {
    everywhere(|place| {
        let mut store = place.open();
        let mut states = vec![Vec::new()];
        for step in 0..40_u64 {
            let text = format!("configmaps/root/n/{}", step * 7 % 5);
            if step % 3 == 2 {
                delete(&store, &text)
            } else {
                put(&store, &text, "x", Expect::Any).unwrap()
            };
            if store.revision() as usize > states.len() {
                let all = store.snapshot();
                states.push(all.range(&prefix(""), None).map(|(k, e)| (k.clone(), e.clone())).collect::<Vec<_>>());
            }
            if step % 10 == 9 {
                store.close();
                store = place.open();
            }
        }
        for (revision, wanted) in (1..).zip(&states) {
            for text in ["", "configmaps", "configmaps/root", "configmaps/root/n", "secrets"] {
                let view = store.snapshot_at(revision, &prefix(text)).unwrap();
                let got: Vec<_> = view.range(&prefix(text), None).map(|(k, e)| (k.clone(), e.clone())).collect();
                assert_eq!(&got, if text == "secrets" { &states[0] } else { wanted }, "{text:?} at {revision} (L-07)");
            }
            for (key, entry) in wanted {
                assert_eq!(store.snapshot_at(revision, &prefix("")).unwrap().get(key), Some(entry));
            }
        }
        let current = store.revision();
        assert_eq!(store.snapshot_at(current + 1, &prefix("")).unwrap_err(), HistoryError::Future { current });
        assert_eq!(store.snapshot_at(0, &prefix("")).unwrap_err(), HistoryError::Compacted { oldest: 1 });
    });
}

#[test]
fn the_window_moves_by_count_and_slow_watchers_are_told() {
    everywhere(|place| {
        let place = place.window(Window { max_events: 100, ..Window::default() });
        let store = place.open();
        let mut slow = store.watch(&prefix("configmaps/root"), 1).unwrap();
        let mut other = store.watch(&prefix("configmaps/quiet"), 1).unwrap();
        create(&store, "configmaps/quiet/n/a");
        for i in 0..500 {
            put(&store, &format!("configmaps/root/n/{}", i % 10), "x", Expect::Any).unwrap();
        }
        settle(&store);
        let oldest = store.stats().oldest;
        assert!((400..=402).contains(&oldest), "{oldest}");
        assert!(store.stats().window_events <= 100);
        assert_eq!(slow.try_next().unwrap_err(), WatchError::Compacted { oldest });
        assert_eq!(other.try_next().unwrap_err(), WatchError::Compacted { oldest }, "its event is gone too");
        assert_eq!(store.watch(&prefix("configmaps"), oldest - 1).unwrap_err(), WatchError::Compacted { oldest });
        assert_eq!(store.snapshot_at(oldest - 1, &prefix("")).unwrap_err(), HistoryError::Compacted { oldest });
        assert!(store.snapshot_at(oldest, &prefix("")).is_ok());
        assert_eq!(drain(&mut store.watch(&prefix("configmaps"), oldest).unwrap()).len() as u64, 502 - oldest);
        // One whose prefix was quiet has lost nothing, however far the window has moved.
        let mut quiet = store.watch(&prefix("secrets"), store.revision()).unwrap();
        for i in 0..300 {
            put(&store, &format!("configmaps/root/n/{}", i % 10), "y", Expect::Any).unwrap();
        }
        create(&store, "secrets/root/n/a");
        assert_eq!(drain(&mut quiet).len(), 1);
        let stats = store.stats();
        store.close();
        let store = place.open();
        assert_eq!(store.revision(), stats.revision);
        assert!(
            store.stats().oldest <= stats.oldest && store.stats().oldest + 300 > stats.oldest,
            "old rows are removed"
        );
        assert_eq!(store.stats().usage, stats.usage);
    });
}

#[test]
fn the_window_moves_by_bytes() {
    everywhere(|place| {
        let place = place.window(Window { max_bytes: 1 << 20, ..Window::default() });
        let store = place.open();
        let large = "x".repeat(100 << 10);
        for _ in 0..40 {
            put(&store, "configmaps/root/n/a", &large, Expect::Any).unwrap();
        }
        settle(&store);
        assert!(store.stats().window_bytes <= 1 << 20 && store.stats().window_events >= 9, "{:?}", store.stats());
    });
}

#[test]
fn the_window_moves_by_age_even_when_idle() {
    everywhere(|place| {
        let place = place.window(Window { max_age: Duration::from_millis(40), ..Window::default() });
        let store = place.open();
        for i in 0..600 {
            put(&store, &format!("configmaps/root/n/{i}"), "x", Expect::Any).unwrap();
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while store.stats().window_events > 0 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let stats = store.stats();
        assert_eq!((stats.window_events, stats.window_bytes, stats.oldest), (0, 0, stats.revision));
        assert!(store.watch(&prefix(""), stats.revision).is_ok());
        store.close();
        assert_eq!(place.open().revision(), 601, "the revision outlives the history");
    });
}

/// Many writers, many watchers of overlapping prefixes that come and go, a small window: everyone sees every event of
/// its prefix once and in order, or is told that it cannot.
#[test]
fn nobody_misses_anything_under_load() {
    everywhere(|place| {
        let store = place.window(Window { max_events: 2000, ..Window::default() }).open();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let writers: Vec<_> = (0..4)
                .map(|w| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        for i in 0..300 {
                            let batch = Batch::new()
                                .put(key(&format!("configmaps/c{w}/n/{}", i % 7)), value("x"), Expect::Any)
                                .put(key(&format!("configmaps/shared/n{w}/{i}")), value("x"), Expect::Absent);
                            store.commit(batch).await.unwrap();
                        }
                    })
                })
                .collect();
            let watchers: Vec<_> = (0..40_u64)
                .map(|w| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let prefix = match w % 4 {
                            0 => prefix(""),
                            1 => prefix("configmaps/shared"),
                            n => prefix(&format!("configmaps/c{n}")),
                        };
                        let per_revision = if w % 4 == 0 { 2 } else { 1 };
                        let mut from = 1;
                        let mut seen = 0;
                        // Reconnects at every batch, as a client with a bad connection would.
                        while seen < if w % 4 < 2 { 1200 * per_revision } else { 300 } {
                            let mut watcher = store.watch(&prefix, from).unwrap();
                            let events = watcher.next().await.unwrap();
                            assert!(events[0].revision > from);
                            assert!(events.is_sorted_by_key(|event| event.revision));
                            seen += events.len();
                            from = watcher.position();
                        }
                        assert_eq!(seen, if w % 4 < 2 { 1200 * per_revision } else { 300 });
                    })
                })
                .collect();
            for task in writers.into_iter().chain(watchers) {
                task.await.unwrap();
            }
        });
        assert_eq!(store.stats().watchers, 0);
    });
}
