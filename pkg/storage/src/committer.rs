//! The one thread that writes.
//!
//! It takes all waiting batches, checks them in order, writes what they change with one durable write, and only then
//! publishes: to the index, to observers, to watchers; then it answers. So nobody reads what is not durable, and
//! everybody reads what they wrote. In between it drops, in small steps, the history that the window no longer holds.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::{
    batch::{Batch, CommitError, Committed},
    directory::Mark,
    engine::{Engine, EngineError, Row},
    entry::{Event, Revision},
    group::Group,
    queue::{Queue, Request},
    row,
    store::Shared,
};

/// At most so many batches become one write.
const GROUP_BATCHES: usize = 512;
/// At most so many bytes of puts become one write, unless a single batch has more.
const GROUP_BYTES: u64 = 2 << 20;
/// So many events more than were just committed are dropped from the history at a time.
const COMPACTION_STEP: usize = 256;
/// The engine's files may be so many times as large as what is in them, and this much more, without holding free room:
/// twice what was measured after a million overwrites.
const SLACK_FACTOR: u64 = 6;
const SLACK_MARGIN: u64 = 16 << 20;
/// At most so many rows of the log are removed with one write.
const REMOVALS: usize = 256;

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Box<dyn Engine>,
    /// Where the newest revision is noted beside the engine's files.
    pub(crate) mark: Option<Mark>,
    /// Room that must stay free for puts to be accepted.
    pub(crate) reserve: u64,
    /// What is being committed: not on the stack, so that it can be answered even after a panic.
    pub(crate) waiting: Vec<Request>,
    /// Whether the disk was nearly full when it was last looked at.
    pub(crate) short: bool,
    /// The commits that each row of the log holds, oldest first.
    pub(crate) log_rows: VecDeque<(Revision, Revision)>,
}

impl Committer {
    /// Serves the queue until it is closed and empty, or the engine fails.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        // A panic here is a fault of this program or of an observer; what it left half done must not be built upon.
        let result = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let error = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(Arc::new(EngineError::panicked(&*panic))),
        };
        if let Some(error) = error {
            shared.fail(&error);
            for request in self.waiting.drain(..).chain(shared.queue.abort()) {
                let _gone = request.reply.send(Err(CommitError::Engine(Arc::clone(&error))));
            }
        }
        shared.hub.close();
    }

    fn serve(&mut self) -> Result<(), Arc<EngineError>> {
        let mut wake_at = self.shared.state.write().history.tick(Instant::now(), self.shared.hub.published());
        while let Some(requests) = self.shared.queue.take(GROUP_BATCHES, Queue::cost(GROUP_BYTES), wake_at) {
            let cost: usize = requests.iter().map(|request| request.cost as usize).sum();
            self.waiting = requests;
            let committed = self.commit()?;
            self.shared.queue.release(cost);
            wake_at = self.compact(committed)?;
        }
        Ok(())
    }

    /// Commits what can be committed and answers everyone. Returns how many events there were. When it fails, nobody
    /// has been answered.
    fn commit(&mut self) -> Result<usize, Arc<EngineError>> {
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let shared = Arc::clone(&self.shared);
        let room = self.room();
        self.note_room(room);
        let mut outcomes = Vec::with_capacity(self.waiting.len());
        let mut rows = Vec::new();
        let (commits, revision) = {
            let state = shared.state.read();
            let mut group = Group::new(&state);
            for Request { batch, .. } in &self.waiting {
                outcomes.push(room.check(batch).and_then(|()| group.admit(batch)));
            }
            if self.engine.keeps_rows() {
                // Deleting must not need the room that it is to make: restarts will then not remember what was there.
                rows = group.rows(!room.is_short());
            }
            (std::mem::take(&mut group.commits), group.revision())
        };
        let mut events = 0;
        let mut touched = None;
        if let (Some(first), Some(last)) = (commits.first(), commits.last()) {
            let floor = if room.is_short() { last.0 } else { shared.state.read().history.floor() };
            self.log_rows.push_back((first.0, last.0));
            self.write(rows, floor)?;
            if room.is_short() {
                self.engine.catch_up().map_err(Arc::new)?;
            }
            if let Some(mark) = &self.mark {
                mark.note(revision);
            }
            shared.counters.groups.fetch_add(1, Ordering::Relaxed);
            shared.counters.commits.fetch_add(commits.len() as u64, Ordering::Relaxed);
            events = commits.iter().map(|(_, events)| events.len()).sum();
            touched = Some(self.publish(&commits, revision));
        }
        for (request, outcome) in self.waiting.drain(..).zip(outcomes) {
            let _gone = request.reply.send(outcome.map(|revision| Committed { revision }));
        }
        if let Some(touched) = touched {
            touched.wake();
        }
        Ok(events)
    }

    /// Says when the disk becomes full, and when it no longer is.
    fn note_room(&mut self, room: Room) {
        let Room { available, reserve, .. } = room;
        if room.is_short() == std::mem::replace(&mut self.short, room.is_short()) {
            return;
        }
        if self.short {
            tracing::warn!(available, reserve, "the disk is nearly full: new data is refused, deletions are not");
        } else {
            tracing::info!(available, "there is room on the disk again");
        }
    }

    fn publish(&self, commits: &[(Revision, Vec<Arc<Event>>)], revision: Revision) -> crate::watch::Touched {
        let observers = self.shared.observers.read();
        for (revision, events) in commits {
            self.shared.state.write().apply(events, *revision);
        }
        if !observers.is_empty() {
            let events: Vec<Arc<Event>> = commits.iter().flat_map(|(_, events)| events.iter().cloned()).collect();
            for observer in observers.iter() {
                observer.applied(&events);
            }
        }
        drop(observers);
        self.shared.hub.publish(commits.iter().flat_map(|(_, events)| events), revision)
    }

    /// Writes rows durably, and with them the removal of some log rows that say nothing beyond `floor`.
    fn write(&mut self, mut rows: Vec<Row>, floor: Revision) -> Result<(), Arc<EngineError>> {
        // The newest row stays: it is what says how far the revision got.
        let stale = |rows: &VecDeque<(Revision, Revision)>| rows.len() > 1 && rows[0].1 <= floor;
        let mut removed = 0;
        while removed < REMOVALS && stale(&self.log_rows) {
            let Some((first, _)) = self.log_rows.pop_front() else { break };
            if self.engine.keeps_rows() {
                rows.push(Row::remove(row::log_key(first)));
            }
            removed += 1;
        }
        if rows.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let result = self.engine.apply(rows).map_err(Arc::new);
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.counters.engine_nanos.fetch_add(took, Ordering::Relaxed);
        self.shared.counters.disk_bytes.store(self.engine.disk_bytes(), Ordering::Relaxed);
        result
    }

    /// Takes a step of compaction. Returns when it should be looked at again, nothing else happening.
    fn compact(&mut self, committed: usize) -> Result<Option<Instant>, Arc<EngineError>> {
        let now = Instant::now();
        let (dropped, floor, wake_at, more) = {
            let mut state = self.shared.state.write();
            let revision = state.revision;
            let wake_at = state.history.tick(now, revision);
            let dropped = state.compact(committed + COMPACTION_STEP);
            (dropped, state.history.floor(), wake_at, state.history.is_over())
        };
        if !dropped.is_empty() {
            self.shared.hub.trim(&dropped, floor);
        }
        // What is dropped is freed here, outside the lock.
        drop::<Vec<Arc<Event>>>(dropped);
        if committed == 0 && self.log_rows.len() > 1 && self.log_rows[0].1 <= floor {
            self.write(Vec::new(), floor)?;
        }
        let stale = self.log_rows.len() > 1 && self.log_rows[0].1 <= floor;
        Ok(if more || stale { Some(now) } else { wake_at })
    }

    fn room(&self) -> Room {
        match self.engine.available() {
            Ok(Some(available)) => {
                self.shared.counters.available_bytes.store(available, Ordering::Relaxed);
                Room { available, owed: self.engine.owed(), reserve: self.reserve, slack: self.slack() }
            }
            Ok(None) => Room::ENDLESS,
            Err(error) => {
                // Not knowing is no reason to stop; if there is no room, the write itself will say so.
                tracing::warn!(%error, "cannot tell how much room the disk has");
                Room::ENDLESS
            }
        }
    }

    /// How much of its files the engine can probably use again. They never shrink, so after a large deletion it is in
    /// them that there is room.
    fn slack(&self) -> u64 {
        let state = self.shared.state.read();
        let live = state.total.bytes + state.history.bytes();
        self.shared.counters.disk_bytes.load(Ordering::Relaxed).saturating_sub(SLACK_FACTOR * live + SLACK_MARGIN)
    }
}

/// What the disk still takes.
#[derive(Debug, Clone, Copy)]
struct Room {
    available: u64,
    /// What of it is spoken for.
    owed: u64,
    reserve: u64,
    slack: u64,
}

impl Room {
    const ENDLESS: Self = Self { available: u64::MAX, owed: 0, reserve: 0, slack: 0 };

    /// Whether batches that put are refused, and everything else should be short.
    fn is_short(&self) -> bool {
        self.available.saturating_sub(self.owed) < self.reserve
    }

    /// A deletion may use most of the reserve; whoever adds may use none of it, or half of it when the engine has room
    /// in its files and should need none.
    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let needed = if batch.has_puts() {
            let growth = 2 * batch.bytes();
            growth + if self.slack > growth + self.owed { self.reserve / 2 } else { self.owed + self.reserve }
        } else if batch.has_deletions() {
            self.reserve / 8
        } else {
            0
        };
        if self.available < needed { Err(CommitError::Full { needed, available: self.available }) } else { Ok(()) }
    }
}
