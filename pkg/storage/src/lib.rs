//! One ordered, revisioned log of objects, and the index over it.
//!
//! # What it promises
//!
//! - There is one counter. Every [batch](Batch) that changes something takes the next [revision](Revision), which is
//!   the resourceVersion of all that it writes. The counter never goes backwards, not even through a restore.
//! - A batch is committed as a whole or not at all, and only if its [expectations](Expect) hold. When
//!   [`Store::commit`] returns `Ok`, it is durable: it survives the end of the process and a power cut.
//! - Nobody reads what is not durable; everybody reads what they wrote. The order is: durable, index, observers,
//!   watchers may see it, the answer, watchers are woken.
//! - A [`Watcher`] gets every event of its prefix after its revision once, in order, whole revisions only, or is told
//!   that the window has passed it. Restarts make no difference.
//! - A [`Snapshot`] is the exact state at one revision, of now or of any revision within the [`Window`].
//! - What is damaged is not served: the store then does not open, and says what is wrong and where.
//!
//! It knows nothing of Kubernetes but how [keys](Key) are made; values are bytes in which the store only puts the
//! digits of the revision where it is told ([`Stamped`]).
//!
//! # How it works
//!
//! Objects are in memory, in a persistent ordered map, so that a snapshot is a clone; the engine is read only at open.
//! One thread, the committer, takes all waiting batches, checks them in order against the index and what those before
//! them change, writes everything with one durable write, publishes, and answers. Recent events are kept in memory, and
//! on disk as the values that they replaced, so that creating an object writes its value once. Watchers are cursors
//! over queues that exist only for prefixes that somebody watches; nothing has a task, a channel or a timer of its own.
//!
//! After an error of the engine the store takes no more writes ([`Store::failed`]): after a failed sync nobody knows
//! what the disk holds. When the disk is nearly full, batches that put are refused and deletions go on, until there is
//! room again.
//!
//! # The directory
//!
//! ```text
//! LOCK           locked (flock) by the process that uses the directory
//! FORMAT         "kcp-storage 3\n"; appears, by a rename, when the directory is complete
//! MARK           a revision that was committed: 8 bytes, little endian, and their crc32, 4 bytes. Written after each
//!                commit but not synced: it may be older than the data, never newer
//! data/journal/  0 and 1: what was written last, in the order in which it was
//! data/sled/     the files of sled 0.34 with segments of 2 MiB; blobs/ in it stays empty
//! ```
//!
//! A write is durable when the journal has it. `sled` follows, some hundred kibibytes at a time, on a thread of its
//! own; the row `m/journal` (8 bytes) says up to which record of the journal it has come, and all after that is read
//! from the journal when the store is opened. The journal's files are written in turn, each from its front:
//!
//! | part | bytes |
//! |---|---|
//! | block 0, of 4096 | `kcp-jrnl`, salt (8), number of the first record (8), crc32 of these (4), zeros |
//! | record | crc32 of the salt and what follows (4), length of the body (4), number (8), body, zeros to the end of the block |
//! | body | rows: length of the key (4), length of the value or 0xffffffff for a removal (4), key, value |
//!
//! # Rows
//!
//! The engine is an atomic, durable, ordered map of rows. Numbers are little endian unless
//! said otherwise. A text or value within a row is its length (4 bytes) and its bytes.
//!
//! | key | value |
//! |---|---|
//! | `m/format` | text: `<format> <base> <objects> <digest>`: the format, 2; the revision at which the store began (1, or that of a restore); the totals at that time |
//! | `o/<key>` | revision (8), place of the revision's digits in the value or 0xffffffff (4), the value |
//! | `l/<first>` (8, big endian) | last (8), objects (8), digest (8), 1 (1), changes: the commits `first..=last` were one write; the totals after them; their changes in order. 0 instead of 1: the changes were left out because the disk was full, history begins after this row |
//!
//! A key is `<resource>.<group> NUL <cluster> NUL <namespace> NUL <name> NUL`. A change is: revision (8), 1 if the key
//! had a value before and 0 if not (1), key (text), and with 1 also the revision of that value (8), the place of its
//! digits (4), and the value. What a change wrote is what the next later change of the key replaced, or else what
//! `o/<key>` holds; so the log and the objects check each other.
//!
//! The newest revision is `last` of the last `l/` row, or `base` when there is none; the last `l/` row is never
//! removed. The rows' revisions follow each other without gaps. History reaches back to the first row, or to the last
//! one whose changes were left out.
//!
//! The *totals* are the number of objects and the sum, modulo 2⁶⁴, of a hash of each one's key and revision: the state,
//! from 0, is xor-ed with a word of 64 bits, multiplied by 0x9e3779b97f4a7c15, and its upper half xor-ed to the lower;
//! the words are the key in eight bytes each, little endian, the last filled up with zeros (a whole word of zeros when
//! nothing is left), the key's length, the revision.
//!
//! In `sled` each row is kept with its checksum, and long values in parts of at most 24 KiB, because `sled` puts pages of more
//! than a quarter of a segment into files that it never syncs:
//!
//! | key | bytes |
//! |---|---|
//! | the row's key | crc32 of this key and what follows (4), number of further parts (2), first part |
//! | the row's key, NUL, number of the part from 1 (2, big endian) | crc32 of this key and what follows (4), the part |
//!
//! The format of [saved snapshots](save) is described there.

mod backup;
mod batch;
mod committer;
mod directory;
mod doctor;
mod engine;
mod entry;
mod group;
mod history;
mod key;
mod load;
mod options;
mod queue;
mod row;
mod snapshot;
mod state;
mod store;
mod totals;
mod watch;

pub use backup::{BackupError, BackupSummary, restore, restore_file, save, save_file, verify};
pub use batch::{Batch, CommitError, Committed, Expect, Op, Unless};
pub use directory::DirectoryError;
pub use doctor::{DoctorError, DoctorReport, doctor};
pub use engine::{EngineError, EngineStats, MemoryDisk};
pub use entry::{Entry, Event, EventKind, Revision, Stamped};
pub use history::Window;
pub use key::{Key, KeyError, KeyParts, Prefix};
pub use options::{EngineKind, OnFailure, OpenError, Options};
pub use queue::Announced;
pub use snapshot::{Range, Snapshot};
pub use state::Usage;
pub use store::{HistoryError, Observer, Stats, Store};
pub use watch::{WatchError, Watcher};
