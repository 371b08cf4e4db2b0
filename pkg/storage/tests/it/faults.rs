//! Full disks, broken disks, damaged data, two processes.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kcp_storage::{
    Batch, CommitError, DirectoryError, EngineError, EngineKind, Expect, MemoryDisk, OpenError, Options, Stamped,
    Store, doctor,
};

use crate::support::*;

fn on(disk: &MemoryDisk) -> Options {
    Options::new(EngineKind::MemoryDisk(disk.clone()))
}

#[test]
fn a_full_disk_takes_deletions_and_heals() {
    let disk = MemoryDisk::new();
    let store = Store::open(Options { reserve_bytes: 1 << 20, ..on(&disk) }).unwrap();
    create(&store, "configmaps/root/n/a");
    create(&store, "configmaps/root/n/b");
    disk.set_available(Some(1 << 20));
    let refused = put(&store, "configmaps/root/n/c", "x", Expect::Absent).unwrap_err();
    assert!(matches!(refused, CommitError::Full { available: 1_048_576, needed } if needed > 1 << 20), "{refused}");
    assert_eq!(store.revision(), 3, "a refusal costs no revision");
    assert_eq!(get(&store, "configmaps/root/n/a").as_deref(), Some("v@2"), "reads go on");
    assert_eq!(delete(&store, "configmaps/root/n/a"), 4, "deletions go on");
    assert!(store.failed().is_none());
    disk.set_available(Some(1 << 16));
    let refused = commit(&store, Batch::new().delete(key("configmaps/root/n/b"), Expect::Any)).unwrap_err();
    assert!(matches!(refused, CommitError::Full { .. }), "what keeps the log going stays free: {refused}");
    assert_eq!(commit(&store, Batch::new().check(key("configmaps/root/n/b"), Expect::Revision(3))).unwrap(), 4);
    disk.set_available(Some(1 << 30));
    assert_eq!(create(&store, "configmaps/root/n/c"), 5, "it heals by itself");
    store.close();
    let store = Store::open(on(&disk)).unwrap();
    assert_eq!((store.revision(), store.stats().usage.objects), (5, 2));
}

#[test]
fn after_an_io_error_nothing_is_taken_any_more() {
    let disk = MemoryDisk::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let on_failure = Arc::new(move |error: &EngineError| {
        assert!(matches!(error, EngineError::Io { .. }));
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let store = Store::open(Options { on_failure: Some(on_failure), ..on(&disk) }).unwrap();
    create(&store, "configmaps/root/n/a");
    let mut watcher = store.watch(&prefix(""), 2).unwrap();
    disk.set_broken(true);
    assert!(matches!(put(&store, "configmaps/root/n/b", "x", Expect::Any), Err(CommitError::Engine(_))));
    // The disk being well again changes nothing: what it dropped is not known.
    disk.set_broken(false);
    for _ in 0..3 {
        assert!(matches!(put(&store, "configmaps/root/n/b", "x", Expect::Any), Err(CommitError::Engine(_))));
    }
    assert!(store.failed().is_some_and(|error| error.to_string().contains("the disk is broken")));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!((store.revision(), get(&store, "configmaps/root/n/b")), (2, None), "nobody reads what is not durable");
    assert_eq!(get(&store, "configmaps/root/n/a").as_deref(), Some("v@2"));
    store.close();
    assert!(watcher.try_next().is_err(), "watches end, and no event was seen");
    assert_eq!(Store::open(on(&disk)).unwrap().revision(), 2);
}

#[test]
fn a_panic_of_an_observer_stops_the_store() {
    struct Panics;
    impl kcp_storage::Observer for Panics {
        fn applied(&self, _: &[Arc<kcp_storage::Event>]) {
            panic!("a fault");
        }
    }
    let store = Place::memory().open();
    store.observe(Arc::new(Panics));
    assert!(matches!(put(&store, "configmaps/root/n/a", "x", Expect::Any), Err(CommitError::Engine(_))));
    assert!(store.failed().is_some_and(|error| error.to_string().contains("a fault")));
    assert!(matches!(put(&store, "configmaps/root/n/b", "x", Expect::Any), Err(CommitError::Engine(_))));
}

/// Whichever byte changes, of whichever row: the store does not open, and says where.
#[test]
fn damaged_rows_are_found() {
    let disk = MemoryDisk::new();
    let fill = |store: &Store| {
        create(store, "configmaps/root/n/a");
        commit(store, Batch::new().put(key("configmaps/root/n/long"), Stamped::plain(vec![1; 60_000]), Expect::Any))
            .unwrap();
        put(store, "configmaps/root/n/a", "w", Expect::Any).unwrap();
        delete(store, "configmaps/root/n/a");
    };
    let store = Store::open(on(&disk)).unwrap();
    fill(&store);
    store.close();
    assert_eq!(disk.rows(), 8, "four of the log, one of the store, three of the long value");
    for row in 0..disk.rows() {
        for byte in 0..40 {
            if disk.damage(row, byte) {
                let error = Store::open(on(&disk)).unwrap_err();
                assert!(matches!(error, OpenError::Damaged(_)), "row {row}, byte {byte}: {error}");
                assert!(error.to_string().contains("row "), "{error}");
                disk.damage(row, byte);
            }
        }
    }
    assert_eq!(Store::open(on(&disk)).unwrap().revision(), 5);
}

/// A row that is gone leaves no wrong checksum behind; the totals and the log tell.
#[test]
fn missing_rows_are_found() {
    let disk = MemoryDisk::new();
    let store = Store::open(on(&disk)).unwrap();
    for i in 0..5 {
        create(&store, &format!("configmaps/root/n/{i}"));
    }
    put(&store, "configmaps/root/n/3", "w", Expect::Any).unwrap();
    delete(&store, "configmaps/root/n/4");
    store.close();
    let rows = disk.rows();
    for row in 0..rows {
        let copy = disk.without(row);
        match Store::open(on(&copy)) {
            Err(error) => assert!(matches!(error, OpenError::Damaged(_)), "row {row}: {error}"),
            // The oldest row of the log is the only one without which what is left is true: the window is shorter.
            Ok(store) => assert_eq!((row, store.revision(), store.stats().oldest), (0, 8, 2)),
        }
    }
}

#[test]
fn two_stores_cannot_have_one_directory() {
    let place = Place::sled();
    let store = place.open();
    let error = Store::open(place.options()).unwrap_err();
    assert!(matches!(error, OpenError::Directory(DirectoryError::InUse(_))), "{error}");
    let error = doctor(&place.path(), None).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    store.close();
    place.open().close();
}

#[test]
fn an_unknown_format_is_refused() {
    let place = Place::sled();
    place.open().close();
    for (text, found) in [
        ("kcp-storage 1\n", "kcp-storage 1"),
        ("kcp-storage 2\n", "kcp-storage 2"),
        ("", "\"\""),
        ("something else", "something else"),
    ] {
        fs::write(place.path().join("FORMAT"), text).unwrap();
        let error = Store::open(place.options()).unwrap_err();
        assert!(matches!(error, OpenError::Directory(DirectoryError::Format { .. })), "{error}");
        assert!(error.to_string().contains(found) && error.to_string().contains("kcp-storage 3"), "{error}");
    }
}

#[test]
fn an_engine_that_lost_its_data_is_not_a_new_store() {
    let place = Place::sled();
    let store = place.open();
    create(&store, "configmaps/root/n/a");
    store.close();
    let older = tempfile::tempdir().unwrap();
    copy(&place.path().join("data"), &older.path().join("data"));
    let store = place.open();
    create(&store, "configmaps/root/n/b");
    store.close();
    // Everything gone.
    fs::remove_dir_all(place.path().join("data")).unwrap();
    let error = Store::open(place.options()).unwrap_err();
    assert!(matches!(error, OpenError::Directory(DirectoryError::Emptied(_))), "{error}");
    // Well-formed, but from before the last commit.
    fs::remove_dir_all(place.path().join("data")).unwrap();
    copy(&older.path().join("data"), &place.path().join("data"));
    let error = Store::open(place.options()).unwrap_err();
    let set_back = matches!(error, OpenError::Directory(DirectoryError::SetBack { noted: 3, found: 2, .. }));
    assert!(set_back, "{error}");
    let report = doctor(&place.path(), None).unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("revision 3")), "{report:?}");
}

/// One file of the journal without the other, or the journal without `sled`.
#[test]
fn parts_of_an_engine_are_not_a_store() {
    let place = Place::sled();
    let store = place.open();
    for i in 0..700 {
        put(&store, "configmaps/root/n/a", &format!("{i:020000}"), Expect::Any).unwrap();
    }
    store.close();
    let original = tempfile::tempdir().unwrap();
    copy(&place.path(), &original.path().join("data"));
    for (part, word) in [("journal/0", "missing"), ("journal/1", "missing"), ("journal", "missing"), ("sled", "begins")]
    {
        let path = place.path().join("data").join(part);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        let error = Store::open(place.options()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged(_)), "{part}: {error}");
        assert!(error.to_string().contains(word) && error.to_string().contains("journal"), "{part}: {error}");
        fs::remove_dir_all(place.path()).unwrap();
        copy(&original.path().join("data"), &place.path());
    }
    assert_eq!(place.open().revision(), 701);
}

/// Bytes of the engine's files are changed or cut off anywhere: the store either does not open, or has everything.
#[test]
fn a_damaged_file_never_gives_wrong_data() {
    let place = Place::sled();
    let store = place.open();
    let wanted: Vec<_> = (0..900_u32)
        .map(|i| {
            let text = format!("configmaps/root/n/{}", i % 120);
            (text.clone(), put(&store, &text, &"x".repeat((i as usize * 139) % 12_000), Expect::Any).unwrap())
        })
        .collect();
    let check = |store: &Store| {
        assert_eq!(store.revision(), 901);
        for (text, revision) in wanted.iter().skip(780) {
            assert_eq!(store.get(&key(text)).map(|entry| entry.revision), Some(*revision), "{text}");
        }
        assert_eq!(drain(&mut store.watch(&prefix(""), 1).unwrap()).len(), 900);
    };
    check(&store);
    store.close();
    let original = tempfile::tempdir().unwrap();
    copy(&place.path(), &original.path().join("data"));
    for file in ["data/sled/db", "data/journal/0"] {
        let file = place.path().join(file);
        let len = fs::read(&file).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
        assert!(len > 1 << 20, "{} has something to lose: {len} bytes", file.display());
        let mut noticed = [0, 0];
        for step in 0..24_u64 {
            fs::remove_dir_all(place.path()).unwrap();
            copy(&original.path().join("data"), &place.path());
            let at = len * (step / 2) / 12 + 1000;
            let cut = step % 2 == 1;
            if cut {
                fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(at).unwrap();
            } else {
                let mut bytes = fs::read(&file).unwrap();
                bytes[at as usize] ^= 0x10;
                fs::write(&file, bytes).unwrap();
            }
            match Store::open(place.options()) {
                Ok(store) => check(&store),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    noticed[usize::from(cut)] += 1;
                }
            }
        }
        assert!(noticed[0] > 0 && noticed[1] > 0, "damage is noticed: {noticed:?}");
    }
    // It was the damage: the copy is as good as the original.
    fs::remove_dir_all(place.path()).unwrap();
    copy(&original.path().join("data"), &place.path());
    check(&place.open());
}

/// What a crash leaves at the end of a file is not a commit, and does not matter.
#[test]
fn a_torn_tail_recovers_to_the_last_commit() {
    let place = Place::sled();
    let store = place.open();
    for i in 0..50 {
        create(&store, &format!("configmaps/root/n/{i}"));
    }
    // As after a kill: the files as they are while the store is open.
    let copied = tempfile::tempdir().unwrap();
    for file in ["data/journal/0", "data/sled/db"] {
        let data = copied.path().join(file);
        copy(&place.path(), &data);
        let file = data.join(file);
        let mut bytes = fs::read(&file).unwrap();
        // Half a message, as a write that was under way would leave it, behind everything that was acknowledged.
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes.resize(bytes.len().max(end + 4096), 0);
        (end + 64..end + 512).for_each(|at| bytes[at] = (at % 251) as u8);
        fs::write(&file, bytes).unwrap();
        let store = Store::open(Options { reserve_bytes: 0, ..Options::sled(&data) }).unwrap();
        assert_eq!((store.revision(), store.stats().usage.objects), (51, 50));
        create(&store, "configmaps/root/n/more");
        store.close();
        assert!(doctor(&data, None).unwrap().is_healthy());
    }
    store.close();
}

/// Far more than the journal holds, so that its files are written several times over; whatever is still only in the
/// journal when the store is closed, and closed again before anything was applied, is there afterwards.
#[test]
fn the_journal_and_what_follows_it_are_one() {
    let place = Place::sled();
    let mut revision = 1;
    for round in 0..8 {
        let store = place.open();
        assert_eq!(store.revision(), revision, "round {round}");
        for i in 0..120 {
            let text = format!("configmaps/root/n/{}", (i + round * 7) % 40);
            revision = match i % 5 {
                4 => delete(&store, &text),
                _ => put(&store, &text, &"x".repeat(i * 400), Expect::Any).unwrap(),
            };
        }
        let objects = store.stats().usage.objects;
        store.close();
        let report = doctor(&place.path(), None).unwrap();
        assert!(report.is_healthy(), "{report:?}");
        assert_eq!((report.revision, report.objects), (revision, objects));
        for _ in 0..2 {
            let store = place.open();
            revision = create(&store, &format!("configmaps/root/n/extra-{revision}"));
            store.close();
        }
    }
    let files = fs::read_dir(place.path().join("data/journal")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 12 << 20, "it is written again, not on: {bytes}");
}
