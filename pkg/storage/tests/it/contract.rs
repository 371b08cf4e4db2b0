//! What every engine must give: reads, writes, atomicity, preconditions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kcp_storage::{Batch, CommitError, Event, Expect, Observer, Op, Options, Stamped, Store, Usage};

use crate::support::*;

#[test]
fn a_first_round() {
    everywhere(|place| {
        let store = place.open();
        assert_eq!(store.revision(), 1, "an empty list has a revision too (L-16)");
        let mut watcher = store.watch(&prefix("configmaps/root"), 1).unwrap();
        assert_eq!(create(&store, "configmaps/root/a/x"), 2);
        assert_eq!(put(&store, "configmaps/root/a/x", "w", Expect::Revision(2)).unwrap(), 3);
        assert_eq!(get(&store, "configmaps/root/a/x").as_deref(), Some("w@3"));
        assert_eq!(commit(&store, Batch::new().delete(key("configmaps/root/a/x"), Expect::Revision(3))).unwrap(), 4);
        let wanted =
            ["2 +configmaps./root/a/x=v@2", "3 ~configmaps./root/a/x=w@3<v@2", "4 -configmaps./root/a/x=w@4<w@3"];
        assert_eq!(drain(&mut watcher), wanted);
        assert_eq!(watcher.position(), 4);
        store.close();
        let store = place.open();
        assert_eq!(store.revision(), 4);
        assert_eq!(drain(&mut store.watch(&prefix("configmaps"), 1).unwrap()), wanted);
    });
}

#[test]
fn preconditions_are_about_the_state_before_the_batch() {
    everywhere(|place| {
        let store = place.open();
        let (a, b) = ("configmaps/root/n/a", "configmaps/root/n/b");
        create(&store, a);
        let cases: [(Expect, bool, bool); 5] = [
            (Expect::Any, true, true),
            (Expect::Absent, false, true),
            (Expect::Revision(2), true, false),
            (Expect::Revision(1), false, false),
            (Expect::Revision(0), false, false),
        ];
        for (expect, on_present, on_absent) in cases {
            for (text, wanted) in [(a, on_present), (b, on_absent)] {
                let outcome = commit(&store, Batch::new().check(key(text), expect));
                assert_eq!(outcome.is_ok(), wanted, "{expect:?} of {text}");
                if let Err(CommitError::Conflict { index, current }) = outcome {
                    assert_eq!((index, current), (0, store.get(&key(text))));
                }
            }
        }
        assert_eq!(store.revision(), 2, "checks cost no revision");
        let batch = Batch::new().put(key(b), value("x"), Expect::Absent).delete(key(a), Expect::Revision(7));
        let error = commit(&store, batch).unwrap_err();
        assert!(matches!(error, CommitError::Conflict { index: 1, current: Some(entry) } if entry.revision == 2));
        assert_eq!((store.revision(), get(&store, b)), (2, None), "all or nothing, and no revision is used");
        let batch = Batch::new().delete(key(a), Expect::Revision(2)).put(key(b), value("x"), Expect::Absent);
        assert_eq!(commit(&store, batch.check(key(a), Expect::Revision(2))).unwrap(), 3);
        assert_eq!((get(&store, a), get(&store, b)), (None, Some("x@3".to_owned())));
    });
}

#[test]
fn batches_that_wait_together_see_each_other() {
    everywhere(|place| {
        let store = place.open();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let won = runtime.block_on(async {
            let tries: Vec<_> = (0..50)
                .map(|i| {
                    let store = store.clone();
                    let batch = Batch::new().put(key("configmaps/root/n/a"), value(&format!("{i}")), Expect::Absent);
                    tokio::spawn(async move { store.commit(batch).await })
                })
                .collect();
            let mut won = 0;
            for outcome in tries {
                won += usize::from(outcome.await.unwrap().is_ok());
            }
            won
        });
        assert_eq!((won, store.revision()), (1, 2), "one of the creates wins");
    });
}

#[test]
fn what_changes_nothing_costs_nothing() {
    everywhere(|place| {
        let store = place.open();
        create(&store, "configmaps/root/n/a");
        let mut watcher = store.watch(&prefix(""), 2).unwrap();
        assert_eq!(commit(&store, Batch::new()).unwrap(), 2);
        assert_eq!(delete(&store, "configmaps/root/n/absent"), 2);
        assert_eq!(commit(&store, Batch::new().purge(cluster("empty"))).unwrap(), 2);
        assert_eq!((store.revision(), drain(&mut watcher)), (2, Vec::<String>::new()), "no event either (W-20)");
    });
}

#[test]
fn contradictory_batches_are_refused() {
    everywhere(|place| {
        let store = place.open();
        let a = key("configmaps/root/n/a");
        let twice = Batch::new().put(a.clone(), value("x"), Expect::Any).delete(a.clone(), Expect::Any);
        assert!(matches!(commit(&store, twice), Err(CommitError::Invalid { index: 1, .. })));
        let beyond = Batch::from(vec![Op::Put { key: a.clone(), value: Stamped::new("ab", 3), expect: Expect::Any }]);
        assert!(matches!(commit(&store, beyond), Err(CommitError::Invalid { index: 0, .. })));
        let large = Batch::new().put(a, Stamped::plain(vec![0; 17 << 20]), Expect::Any);
        assert!(matches!(commit(&store, large), Err(CommitError::TooLarge { .. })));
        assert_eq!(store.revision(), 1);
    });
}

#[test]
fn a_prefix_is_exact() {
    everywhere(|place| {
        let store = place.open();
        let all = [
            "configmaps/a/a/a",
            "configmaps/a/a/a-b",
            "configmaps/a/a/a.b",
            "configmaps/a/a/a1",
            "configmaps/a/a/ab",
            "configmaps/a/a/a_b",
            "configmaps/a/a-b/a",
            "configmaps/a/a1/a",
            "configmaps/a/ab/a",
            "configmaps/a1/a/a",
            "configmaps/ab/a/a",
            "configmaps.a/a/a/a",
            "configmapsx/a/a/a",
            "configmaps/a//a",
            "widgets.example.io/a/a/a",
        ];
        for text in all {
            create(&store, text);
        }
        store.close();
        let store = place.open();
        let snapshot = store.snapshot();
        for (text, wanted) in [
            ("", 15),
            ("configmaps", 12),
            ("configmaps.a", 1),
            ("configmaps/a", 10),
            ("configmaps/a1", 1),
            ("configmaps/a/a", 6),
            ("configmaps/a/", 1),
            ("configmaps/a/a1", 1),
            ("configmaps/a/a/a", 1),
            ("configmaps/b", 0),
            ("secrets", 0),
        ] {
            let prefix = prefix(text);
            let found: Vec<_> = snapshot.range(&prefix, None).map(|(key, _)| key.clone()).collect();
            assert_eq!(found.len(), wanted, "{text:?}: {found:?}");
            assert!(found.is_sorted() && found.iter().all(|key| key.starts_with(&prefix)), "{text:?}");
            assert_eq!(snapshot.count(&prefix, None), wanted, "{text:?}");
            let mut watcher = store.watch(&prefix, 1).unwrap();
            assert_eq!(drain(&mut watcher).len(), wanted, "watch of {text:?}");
        }
    });
}

#[test]
fn pages_continue_where_the_last_one_ended() {
    everywhere(|place| {
        let store = place.open();
        for name in 0..25 {
            create(&store, &format!("configmaps/root/n/{name:02}"));
        }
        create(&store, "configmaps/root/o/x");
        let namespace = prefix("configmaps/root/n");
        let first = store.snapshot();
        let (mut after, mut pages, mut names) = (None, Vec::new(), Vec::new());
        loop {
            // Later pages come from the revision of the first one, whatever has happened since (L-10).
            let view = store.snapshot_at(first.revision(), &namespace).unwrap();
            let page: Vec<_> = view.range(&namespace, after.as_ref()).take(10).map(|(key, _)| key.clone()).collect();
            if page.is_empty() {
                break;
            }
            let last = page.last().cloned().unwrap();
            pages.push((page.len(), view.count(&namespace, Some(&last))));
            names.extend(page.into_iter().map(|key| key.parts().name.to_owned()));
            after = Some(last);
            delete(&store, "configmaps/root/n/12");
            create(&store, &format!("configmaps/root/n/05-{}", pages.len()));
        }
        assert_eq!(pages, [(10, 15), (10, 5), (5, 0)]);
        assert_eq!(names, (0..25).map(|name| format!("{name:02}")).collect::<Vec<_>>());
        let beyond = key("configmaps/root/z/z");
        assert_eq!(first.count(&namespace, Some(&beyond)), 0, "a start beyond the end");
        assert_eq!(first.count(&namespace, Some(&key("configmaps/root/a/z"))), 25, "a start before the beginning");
    });
}

#[test]
fn a_cluster_is_purged_in_one_revision() {
    everywhere(|place| {
        let store = place.open();
        for text in ["configmaps/a/n/x", "configmaps/a/n/y", "secrets/a/n/x", "crs.example.io/a//x"] {
            create(&store, text);
        }
        create(&store, "configmaps/a1/n/x");
        create(&store, "workspaces/root//a");
        let before = store.usage(&cluster("a"));
        assert_eq!(before.objects, 4);
        let mut watcher = store.watch(&prefix(""), store.revision()).unwrap();
        let batch = Batch::new()
            .purge(cluster("a"))
            .delete(key("workspaces/root//a"), Expect::Revision(7))
            .put(key("configmaps/a/n/x"), value("kept"), Expect::Any)
            .put(key("tombstones/a//x"), value("new"), Expect::Absent);
        assert_eq!(commit(&store, batch).unwrap(), 8);
        let events = watcher.try_next().unwrap().unwrap();
        assert_eq!(events.len(), 6);
        assert!(events.iter().all(|event| event.revision == 8), "a revision is never seen in parts");
        assert_eq!(get(&store, "configmaps/a/n/x").as_deref(), Some("kept@8"), "what the batch writes is spared");
        assert_eq!(store.snapshot().count(&prefix(""), None), 3);
        assert_eq!(store.usage(&cluster("a")).objects, 2);
        assert_eq!(commit(&store, Batch::new().purge(cluster("a"))).unwrap(), 9);
        assert_eq!(store.usage(&cluster("a")), Usage::default());
        assert_eq!(store.clusters(), [cluster("a1")]);
        store.close();
        let store = place.open();
        assert_eq!(store.clusters(), [cluster("a1")]);
        assert_eq!(store.stats().usage.objects, 1);
    });
}

#[test]
fn usage_follows_every_change() {
    everywhere(|place| {
        let store = place.open();
        let bytes = |len: usize| (key("configmaps/a/n/x").as_str().len() + len) as u64;
        create(&store, "configmaps/a/n/x");
        assert_eq!(store.usage(&cluster("a")), Usage { objects: 1, bytes: bytes("v@2".len()) });
        put(&store, "configmaps/a/n/x", "longer", Expect::Any).unwrap();
        create(&store, "configmaps/a/n/y");
        let wanted = Usage { objects: 2, bytes: bytes("longer@3".len()) + bytes("v@4".len()) };
        assert_eq!((store.usage(&cluster("a")), store.stats().usage), (wanted, wanted));
        store.close();
        let store = place.open();
        assert_eq!((store.usage(&cluster("a")), store.stats().usage), (wanted, wanted));
        delete(&store, "configmaps/a/n/x");
        delete(&store, "configmaps/a/n/y");
        assert_eq!(store.stats().usage, Usage::default());
    });
}

#[test]
fn large_values_grow_shrink_and_come_back() {
    everywhere(|place| {
        let mut store = place.open();
        let text = "configmaps/root/n/large";
        let mut previous = None;
        for len in [10, 3 << 20, 24 << 10, (24 << 10) + 1, 3 << 19, 0, 100_000, 1] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 253) as u8).collect();
            commit(&store, Batch::new().put(key(text), Stamped::plain(bytes.clone()), Expect::Any)).unwrap();
            create(&store, &format!("configmaps/root/n/large-{len}"));
            store.close();
            store = place.open();
            assert_eq!(store.get(&key(text)).unwrap().value, bytes, "{len}");
            let mut watcher = store.watch(&prefix(text), store.revision() - 2).unwrap();
            let events = watcher.try_next().unwrap().unwrap();
            assert_eq!(
                (&events[0].value, events[0].prev.as_ref()),
                (&bytes.clone().into(), previous.as_ref()),
                "{len}"
            );
            previous = Some(bytes.into());
        }
        delete(&store, text);
        store.close();
        assert_eq!(get(&place.open(), text), None);
    });
}

#[derive(Default)]
struct Recorder(Mutex<Vec<u64>>);

impl Observer for Recorder {
    fn applied(&self, events: &[Arc<Event>]) {
        self.0.lock().unwrap().extend(events.iter().map(|event| event.revision));
    }
}

/// Answers come after observers, so a derived index is never behind what a client was told.
#[test]
fn observers_know_before_committers_and_watchers() {
    struct Inside(Mutex<Option<(Store, kcp_storage::Watcher)>>, Mutex<Vec<(Option<String>, usize)>>);
    impl Observer for Inside {
        fn applied(&self, _: &[Arc<Event>]) {
            let mut inside = self.0.lock().unwrap();
            let (store, watcher) = inside.as_mut().unwrap();
            let seen = (get(store, "configmaps/root/n/a"), drain(watcher).len());
            self.1.lock().unwrap().push(seen);
        }
    }
    everywhere(|place| {
        let store = place.open();
        let watcher = store.watch(&prefix(""), 1).unwrap();
        let inside = Arc::new(Inside(Mutex::new(Some((store.clone(), watcher))), Mutex::default()));
        store.observe(inside.clone());
        create(&store, "configmaps/root/n/a");
        assert_eq!(*inside.1.lock().unwrap(), [(Some("v@2".to_owned()), 0)], "in the index, not yet with the watchers");
        store.close();
    });
}

#[test]
fn an_observer_misses_nothing_and_sees_nothing_twice() {
    everywhere(|place| {
        let store = place.open();
        let writer = {
            let store = store.clone();
            std::thread::spawn(move || {
                for i in 0..200 {
                    create(&store, &format!("configmaps/root/n/{i}"));
                }
            })
        };
        let mut starts = Vec::new();
        while !writer.is_finished() {
            let recorder = Arc::new(Recorder::default());
            starts.push((store.observe(recorder.clone()).revision(), recorder));
            std::thread::yield_now();
        }
        writer.join().unwrap();
        for (start, recorder) in starts {
            assert_eq!(*recorder.0.lock().unwrap(), (start + 1..=201).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_closed_store_can_be_read_but_not_written() {
    everywhere(|place| {
        let store = place.open();
        create(&store, "configmaps/root/n/a");
        let (other, mut watcher) = (store.clone(), store.watch(&prefix(""), 1).unwrap());
        store.close();
        assert!(matches!(put(&other, "configmaps/root/n/b", "x", Expect::Any), Err(CommitError::Closed)));
        assert_eq!(get(&other, "configmaps/root/n/a").as_deref(), Some("v@2"));
        assert_eq!(
            watcher.try_next().unwrap().map(|events| events.len()),
            Some(1),
            "what was there is still delivered"
        );
        assert!(watcher.try_next().is_err());
        assert!(other.watch(&prefix(""), 2).is_err());
        drop(other);
        assert_eq!(place.open().revision(), 2);
    });
}

#[test]
fn dropping_the_last_handle_closes_the_store() {
    everywhere(|place| {
        let store = place.open();
        let clone = store.clone();
        drop(store);
        create(&clone, "configmaps/root/n/a");
        drop(clone);
        assert_eq!(place.open().revision(), 2);
    });
}

#[test]
fn the_discarding_engine_follows_the_same_rules() {
    let store = Store::open(Options::memory()).unwrap();
    let mut watcher = store.watch(&prefix("configmaps"), 1).unwrap();
    create(&store, "configmaps/root/n/a");
    create(&store, "secrets/root/n/a");
    assert_eq!(delete(&store, "configmaps/root/n/a"), 4);
    assert_eq!(drain(&mut watcher).len(), 2);
    assert_eq!(store.snapshot_at(2, &prefix("")).unwrap().count(&prefix(""), None), 1);
    assert!(store.stats().engine_nanos < Duration::from_secs(1).as_nanos() as u64);
}
