//! What every engine must give.

use kcp_storage::{Batch, CommitError, Expect};

use crate::support::*;

#[test]
fn a_first_round() {
    everywhere(|place| {
        let store = place.open();
        assert_eq!(store.revision(), 1);
        let mut watcher = store.watch(&prefix("configmaps/root"), 1).unwrap();
        assert_eq!(create(&store, "configmaps/root/a/x"), 2);
        assert_eq!(put(&store, "configmaps/root/a/x", "w", Expect::Revision(2)).unwrap(), 3);
        let conflict = put(&store, "configmaps/root/a/x", "w", Expect::Revision(2)).unwrap_err();
        assert!(matches!(conflict, CommitError::Conflict { index: 0, current: Some(entry) } if entry.revision == 3));
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
