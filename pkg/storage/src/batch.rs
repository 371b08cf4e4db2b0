//! What is asked of the committer, and what it answers.

use std::sync::Arc;

use kcp_logicalcluster::ClusterName;

use crate::{
    engine::EngineError,
    entry::{Entry, Revision, Stamped},
    key::Key,
};

/// What must be true of a key for a batch to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// The key has no value.
    Absent,
    /// The key's value was written by this revision.
    Revision(Revision),
}

impl Expect {
    /// Whether `current` is as expected.
    pub(crate) fn holds(self, current: Option<&Entry>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Revision(revision) => current.is_some_and(|entry| entry.revision == revision),
        }
    }
}

/// One step of a [`Batch`]. Every expectation is about the state before the batch.
#[derive(Debug, Clone)]
pub enum Op {
    /// Gives the key a value.
    Put {
        /// What to write.
        key: Key,
        /// The value.
        value: Stamped,
        /// What must be true of the key.
        expect: Expect,
    },
    /// Takes the key's value away; without one, nothing happens.
    Delete {
        /// What to delete.
        key: Key,
        /// What must be true of the key.
        expect: Expect,
    },
    /// Changes nothing, but the batch fails when the expectation does.
    Check {
        /// What to look at.
        key: Key,
        /// What must be true of the key.
        expect: Expect,
    },
    /// Deletes every object of a logical cluster, except those that the same batch writes.
    PurgeCluster {
        /// Whose objects.
        cluster: ClusterName,
        /// What must not have been written to it meanwhile.
        unless: Option<Unless>,
    },
}

/// Forbids a purge when something that matters was written after the purge was decided on.
#[derive(Debug, Clone, Copy)]
pub struct Unless {
    /// The revision of the state that was looked at before.
    pub seen: Revision,
    /// Whether a value written since then forbids the purge. Called on the committer's thread: must be quick.
    pub holds: fn(&[u8]) -> bool,
}

/// Changes that are committed together, as one revision, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The steps. At most one of them may write a given key.
    pub ops: Vec<Op>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: Key, value: Stamped, expect: Expect) -> Self {
        self.ops.push(Op::Put { key, value, expect });
        self
    }

    /// Adds a deletion.
    #[must_use]
    pub fn delete(mut self, key: Key, expect: Expect) -> Self {
        self.ops.push(Op::Delete { key, expect });
        self
    }

    /// Adds a check.
    #[must_use]
    pub fn check(mut self, key: Key, expect: Expect) -> Self {
        self.ops.push(Op::Check { key, expect });
        self
    }

    /// Adds the deletion of all that a logical cluster holds.
    #[must_use]
    pub fn purge(mut self, cluster: ClusterName) -> Self {
        self.ops.push(Op::PurgeCluster { cluster, unless: None });
        self
    }

    /// As [`Batch::purge`], but the batch fails when a value that was written to the logical cluster after `unless.seen`
    /// forbids it, or when that can no longer be told.
    #[must_use]
    pub fn purge_unless(mut self, cluster: ClusterName, unless: Unless) -> Self {
        self.ops.push(Op::PurgeCluster { cluster, unless: Some(unless) });
        self
    }

    /// The bytes that the batch's puts carry.
    pub(crate) fn bytes(&self) -> u64 {
        let size = |op: &Op| match op {
            Op::Put { key, value, .. } => key.as_str().len() + value.bytes.len(),
            Op::Delete { .. } | Op::Check { .. } | Op::PurgeCluster { .. } => 0,
        };
        self.ops.iter().map(size).sum::<usize>() as u64
    }

    pub(crate) fn has_puts(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Put { .. }))
    }

    pub(crate) fn has_deletions(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Delete { .. } | Op::PurgeCluster { .. }))
    }
}

impl From<Vec<Op>> for Batch {
    fn from(ops: Vec<Op>) -> Self {
        Self { ops }
    }
}

/// The batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its revision. A batch that changed nothing costs none: then this is the revision at which it was checked.
    pub revision: Revision,
}

/// Why a batch was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold; nothing was written and no revision was used.
    #[error("operation {index} of the batch does not meet its precondition")]
    Conflict {
        /// The first operation whose expectation failed.
        index: usize,
        /// What the key held instead.
        current: Option<Entry>,
    },
    /// The disk has no room for new data. Deletions still go through, and so does everything once there is room.
    #[error("the disk is full: {available} bytes are left, {needed} are kept free or needed")]
    Full {
        /// How many bytes the batch and the reserve need.
        needed: u64,
        /// How many bytes are free.
        available: u64,
    },
    /// The batch is larger than the store takes in one piece.
    #[error("the batch has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The bytes of its puts.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The batch contradicts itself.
    #[error("operation {index} of the batch is invalid: {reason}")]
    Invalid {
        /// The offending operation.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The store was closed. A batch that was still waiting was not committed.
    #[error("the store is closed")]
    Closed,
    /// The engine failed. Whether the batch reached the disk is unknown; the store takes no more.
    #[error("the storage engine failed: {0}")]
    Engine(Arc<EngineError>),
}
