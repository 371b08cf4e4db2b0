//! A disk that is full.

use std::{fs::File, io::Write as _};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Batch, CommitError, Expect, Key, Options, Stamped, Store, Window};

use crate::mounts::Mount;

fn key(name: u64) -> Key {
    Key::object(&GroupResource::new("", "configmaps"), &ClusterName::root(), "default", &format!("o{name}")).unwrap()
}

fn put(store: &Store, name: u64) -> Result<u64, CommitError> {
    let value = Stamped::plain(vec![b'x'; 64 << 10]);
    store.commit_blocking(Batch::new().put(key(name), value, Expect::Any)).map(|committed| committed.revision)
}

#[test]
fn a_full_disk_refuses_puts_and_heals() {
    let mount = match Mount::new(&["-t", "tmpfs", "-o", "size=160m", "tmpfs"]) {
        Ok(mount) => mount,
        Err(reason) => {
            eprintln!("full disk: SKIPPED, there is no way to mount a small file system here: {reason}");
            return;
        }
    };
    let window = Window { max_events: 50, ..Window::default() };
    let options = || Options { window, reserve_bytes: 32 << 20, ..Options::sled(mount.path.join("data")) };
    let store = Store::open(options()).unwrap();
    // Somebody else fills the disk.
    put(&store, 0).unwrap();
    let ballast = mount.path.join("ballast");
    let available = store.stats().engine.available_bytes.unwrap();
    File::create(&ballast).unwrap().write_all(&vec![1; available as usize - (24 << 20)]).unwrap();
    assert!(matches!(put(&store, 1), Err(CommitError::Full { .. })));
    assert!(store.get(&key(0)).is_some(), "reads go on");
    std::fs::remove_file(&ballast).unwrap();
    put(&store, 1).unwrap();
    // We fill it ourselves.
    let mut count = 2;
    let refused = loop {
        match put(&store, count) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, CommitError::Full { .. }), "{refused}");
    assert!(count > 200, "{count} objects of 64 KiB fit");
    for name in 0..count {
        assert!(store.get(&key(name)).is_some(), "reads go on");
        store.commit_blocking(Batch::new().delete(key(name), Expect::Any)).unwrap();
    }
    assert!(store.failed().is_none());
    // The engine's files do not shrink, but there is room in them.
    for name in 0..count / 4 {
        put(&store, name).unwrap();
    }
    let revision = store.revision();
    eprintln!("full disk: refused after {count} objects of 64 KiB, all deleted, {} put again", count / 4);
    store.close();
    let store = Store::open(options()).unwrap();
    assert_eq!((store.revision(), store.stats().usage.objects), (revision, count / 4));
}
