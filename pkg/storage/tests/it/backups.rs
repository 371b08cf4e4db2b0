//! Snapshots and the doctor.

use std::fs;

use kcp_storage::{
    BackupError, Batch, DirectoryError, Expect, Options, Stamped, Store, WatchError, doctor, restore, restore_file,
    save, save_file, verify,
};

use crate::support::*;

fn filled(place: &Place) -> Store {
    let store = place.open();
    for i in 0..100 {
        create(&store, &format!("configmaps/c{}/n/{i}", i % 3));
    }
    delete(&store, "configmaps/c1/n/1");
    commit(
        &store,
        Batch::new().put(key("blobs.example.io/root//large"), Stamped::plain(vec![b'\n'; 3 << 20]), Expect::Any),
    )
    .unwrap();
    commit(&store, Batch::new().put(key("configmaps/root/n/empty"), Stamped::plain(""), Expect::Any)).unwrap();
    store
}

fn contents(store: &Store) -> Vec<(String, u64, Vec<u8>)> {
    let all = store.snapshot();
    all.range(&prefix(""), None).map(|(key, entry)| (key.to_string(), entry.revision, entry.value.to_vec())).collect()
}

#[test]
fn what_is_saved_is_restored() {
    everywhere(|place| {
        let store = filled(&place);
        let wanted = contents(&store);
        let snapshot = store.snapshot();
        create(&store, "configmaps/root/n/later");
        let mut file = Vec::new();
        let saved = save(&snapshot, &mut file).unwrap();
        assert_eq!((saved.revision, saved.objects), (104, 101));
        assert_eq!(verify(&file[..]).unwrap(), saved);
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let restored = restore(&file[..], &data).unwrap();
        assert!(restored.revision > store.revision() + 1_000_000_000, "beyond anything ever handed out");
        assert_eq!((restored.objects, restored.bytes), (saved.objects, saved.bytes));
        let options = Options { reserve_bytes: 0, ..Options::sled(&data) };
        let copy = Store::open(options.clone()).unwrap();
        assert_eq!(contents(&copy), wanted);
        assert_eq!(copy.revision(), restored.revision);
        for old in [1, 104, store.revision(), restored.revision - 1] {
            assert!(
                matches!(copy.watch(&prefix(""), old), Err(WatchError::Compacted { oldest }) if oldest == restored.revision)
            );
        }
        assert_eq!(create(&copy, "configmaps/root/n/new"), restored.revision + 1);
        copy.close();
        assert!(doctor(&data, None).unwrap().is_healthy());
        assert_eq!(Store::open(options).unwrap().revision(), restored.revision + 1);
    });
}

#[test]
fn a_damaged_snapshot_is_not_restored() {
    let store = Place::memory().open();
    for i in 0..5 {
        create(&store, &format!("configmaps/root/n/{i}"));
    }
    let mut good = Vec::new();
    save(&store.snapshot(), &mut good).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(verify(&bad[..]).is_err(), "byte {at} changed");
        assert!(verify(&good[..at]).is_err(), "cut at {at}");
    }
    assert!(verify(&[&good[..], b"x"].concat()[..]).is_err(), "something follows");
    let data = directory.path().join("data");
    let error = restore(&good[..good.len() - 3], &data).unwrap_err();
    assert!(matches!(error, BackupError::Invalid { .. }), "{error}");
    assert!(!data.join("data").exists() && !data.join("FORMAT").exists(), "nothing is left");
    restore(&good[..], &data).unwrap();
    let error = restore(&good[..], &data).unwrap_err();
    assert!(matches!(error, BackupError::Directory(DirectoryError::NotEmpty(_))), "{error}");
    assert_eq!(Store::open(Options { reserve_bytes: 0, ..Options::sled(&data) }).unwrap().stats().usage.objects, 5);
}

#[test]
fn files_appear_only_when_complete() {
    let directory = tempfile::tempdir().unwrap();
    let store = Place::memory().open();
    create(&store, "configmaps/root/n/a");
    let path = directory.path().join("snapshot");
    save_file(&store.snapshot(), &path).unwrap();
    assert!(save_file(&store.snapshot(), &path).is_err(), "an older snapshot is never overwritten");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    restore_file(&path, &directory.path().join("data")).unwrap();
    assert!(restore_file(&directory.path().join("absent"), &directory.path().join("other")).is_err());
}

#[test]
fn the_doctor_finds_what_is_wrong_and_changes_nothing() {
    let place = Place::sled();
    let store = filled(&place);
    let stats = store.stats();
    store.close();
    let report = doctor(&place.path(), None).unwrap();
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!((report.revision, report.oldest, report.objects), (stats.revision, stats.oldest, stats.usage.objects));
    assert_eq!((report.events, report.clusters), (stats.window_events, stats.clusters));
    fs::write(place.path().join("data/sled/blobs/1"), "x").unwrap();
    let report = doctor(&place.path(), None).unwrap();
    assert!(report.problems[0].contains("blobs"), "{report:?}");
    let scratch = tempfile::tempdir().unwrap();
    doctor(&place.path(), Some(scratch.path())).unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the copy is removed");
    fs::remove_file(place.path().join("data/sled/blobs/1")).unwrap();
    assert!(doctor(&place.path().join("absent"), None).is_err());
    assert_eq!(place.open().revision(), stats.revision);
}
