//! Watches: cursors over the store's log that turn its events into those of Kubernetes.

use std::task::{Context, Poll};

use bytes::Bytes;
use kcp_storage::Revision;

/// The type of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchEventType {
    /// The object is new to the watcher.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone, or is selected no more.
    Deleted,
    /// Nothing but a position.
    Bookmark,
    /// The stream ends with this Status.
    Error,
}

impl WatchEventType {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

/// One event of a watch.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// Its type.
    pub kind: WatchEventType,
    /// The object, final JSON; for [`WatchEventType::Error`] a Status.
    pub object: Bytes,
    /// The whole line `{"type":…,"object":…}\n`, shared by all watchers that see the same.
    pub frame: Bytes,
    /// The event's revision.
    pub revision: Revision,
    /// The bookmark that ends the initial events (W-10).
    pub initial_events_end: bool,
}

/// A watch. Owns no task and no timer; dropped when the client goes.
pub struct WatchStream {
    position: Revision,
}

impl WatchStream {
    /// The next events, at least one; `None` when the stream has ended.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<WatchEvent>>> {
        let _ = cx;
        Poll::Ready(None)
    }

    /// The same as a future.
    pub async fn next(&mut self) -> Option<Vec<WatchEvent>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Everything up to this revision has been returned.
    pub fn position(&self) -> Revision {
        self.position
    }

    /// A bookmark for the present position, when the client asked for bookmarks and nothing is outstanding (W-09).
    /// Whoever owns the connection decides when.
    pub fn bookmark(&mut self) -> Option<WatchEvent> {
        None
    }
}
