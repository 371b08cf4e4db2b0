//! Watchers are cursors: a position in the recent events of a prefix, and at most one waker.
//!
//! For every prefix that somebody watches there is one *interest group*: a queue of the events of that prefix and the
//! wakers of those who wait for more. A commit derives from each key the five prefixes it lies in and touches only
//! the groups that exist, so an event costs the same however many watchers there are elsewhere. There is no task,
//! channel or timer per watcher; a slow one delays nobody and, once the window has passed it, is told so (W-18).
//!
//! Events become visible together, by one store to `published` after they are in all queues: nobody sees half of a
//! revision, and a watcher that finds nothing up to `published` has seen everything up to there.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::{
    entry::{Event, Revision},
    history::shrink,
    key::Prefix,
};

/// A watcher returns about so many events at once; more only to complete a revision.
const MAX_EVENTS: usize = 256;

/// Why a watch cannot begin or go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The events that are asked for are gone.
    #[error("the requested revision has been compacted: the oldest is {oldest}")]
    Compacted {
        /// The oldest revision from which one can watch.
        oldest: Revision,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// All interest groups.
#[derive(Debug)]
pub(crate) struct Hub {
    groups: Mutex<HashMap<Arc<str>, Arc<Group>>>,
    published: AtomicU64,
    floor: AtomicU64,
    watchers: AtomicUsize,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Group {
    prefix: Arc<str>,
    queue: Mutex<Queue>,
    /// Counts news, after it is visible, and wakings, for which the wakers are taken away: as long as it stays the same,
    /// whoever found nothing will be woken.
    news: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    events: VecDeque<Arc<Event>>,
    /// The sequence number of the first event. Older events may still be put in front, so it starts high.
    base: u64,
    /// Every event of the prefix with a higher revision is, or was, in the queue.
    since: Revision,
    /// The revision of the newest event that fell out of the window.
    trimmed: Revision,
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
    touched: bool,
}

/// Groups whose watchers are to be woken.
#[derive(Default)]
pub(crate) struct Touched(Vec<Arc<Group>>);

impl Hub {
    pub(crate) fn new(published: Revision, floor: Revision) -> Self {
        Self {
            groups: Mutex::default(),
            published: published.into(),
            floor: floor.into(),
            watchers: 0.into(),
            closed: false.into(),
        }
    }

    /// Everything up to here is visible to watchers.
    pub(crate) fn published(&self) -> Revision {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.lock().len()
    }

    /// Makes the events of one or several commits visible, up to `revision`. The watchers are woken later, when
    /// whoever waits for the commit has its answer.
    pub(crate) fn publish<'a>(&self, events: impl Iterator<Item = &'a Arc<Event>>, revision: Revision) -> Touched {
        let mut touched = Touched::default();
        let groups = self.groups.lock();
        if !groups.is_empty() {
            for event in events {
                for prefix in event.key.prefixes() {
                    let Some(group) = groups.get(prefix) else { continue };
                    let mut queue = group.queue.lock();
                    queue.events.push_back(Arc::clone(event));
                    if !queue.touched {
                        queue.touched = true;
                        touched.0.push(Arc::clone(group));
                    }
                }
            }
        }
        self.published.store(revision, Ordering::Release);
        touched.count();
        touched
    }

    /// Forgets events that the window no longer holds.
    pub(crate) fn trim(&self, dropped: &[Arc<Event>], floor: Revision) {
        self.floor.store(floor, Ordering::Release);
        let groups = self.groups.lock();
        if groups.is_empty() {
            return;
        }
        for event in dropped {
            for group in event.key.prefixes().filter_map(|prefix| groups.get(prefix)) {
                let mut queue = group.queue.lock();
                while queue.events.front().is_some_and(|first| first.revision <= event.revision) {
                    queue.events.pop_front();
                    queue.base += 1;
                    queue.trimmed = event.revision;
                }
                shrink(&mut queue.events);
            }
        }
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let groups: Vec<_> = self.groups.lock().values().cloned().collect();
        let all = Touched(groups);
        all.count();
        all.wake();
    }

    /// A watcher of `prefix` from `from`. `past(after, through)` reads the history, or says that it is gone.
    pub(crate) fn watch(
        self: &Arc<Self>,
        prefix: &Prefix,
        from: Revision,
        past: impl Fn(Revision, Revision) -> Result<Vec<Arc<Event>>, WatchError>,
    ) -> Result<Watcher, WatchError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(WatchError::Closed);
        }
        if let Some(watcher) = self.join(prefix, from) {
            // The floor may have passed `from` without an event of this prefix being lost; the rule is the same for all.
            return past(from, from).map(|_| watcher);
        }
        // Most of the history is read without holding anyone up; what comes in between is short.
        let seen = self.published().max(from);
        let mut backlog = past(from, seen)?;
        let mut groups = self.groups.lock();
        let known = groups.get(prefix.as_str()).cloned();
        let since = known.as_ref().map_or_else(|| self.published(), |group| group.queue.lock().since);
        if seen < since {
            backlog.extend(past(seen, since)?);
        }
        let group = known.unwrap_or_else(|| {
            let group = Arc::new(Group::new(prefix.shared(), since));
            groups.insert(prefix.shared(), Arc::clone(&group));
            group
        });
        let (slot, next) = {
            let mut queue = group.queue.lock();
            if queue.trimmed > from {
                return Err(WatchError::Compacted { oldest: self.floor.load(Ordering::Acquire) });
            }
            if from < since {
                for event in backlog.into_iter().filter(|event| event.revision <= since).rev() {
                    queue.events.push_front(event);
                    queue.base -= 1;
                }
                queue.since = from;
            }
            queue.enter(from)
        };
        drop(groups);
        Ok(self.watcher(group, slot, next, from))
    }

    /// Joins a group that already holds everything since `from`, or makes one that needs no past.
    fn join(self: &Arc<Self>, prefix: &Prefix, from: Revision) -> Option<Watcher> {
        let mut groups = self.groups.lock();
        let group = match groups.get(prefix.as_str()) {
            Some(group) => Arc::clone(group),
            None => {
                let published = self.published();
                if from < published {
                    return None;
                }
                let group = Arc::new(Group::new(prefix.shared(), published));
                groups.insert(prefix.shared(), Arc::clone(&group));
                group
            }
        };
        let (slot, next) = {
            let mut queue = group.queue.lock();
            if from < queue.since {
                return None;
            }
            queue.enter(from)
        };
        drop(groups);
        Some(self.watcher(group, slot, next, from))
    }

    fn watcher(self: &Arc<Self>, group: Arc<Group>, slot: u32, next: u64, from: Revision) -> Watcher {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watcher { hub: Arc::clone(self), group, next, position: from, slot, armed: None }
    }
}

impl Group {
    fn new(prefix: Arc<str>, since: Revision) -> Self {
        let queue = Queue {
            events: VecDeque::new(),
            base: 1 << 62,
            since,
            trimmed: 0,
            wakers: Vec::new(),
            free: Vec::new(),
            touched: false,
        };
        Self { prefix, queue: Mutex::new(queue), news: 0.into() }
    }
}

impl Queue {
    /// A place for a waker, and the sequence number of the first event after `from`.
    fn enter(&mut self, from: Revision) -> (u32, u64) {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.wakers.is_empty() {
                self.wakers.reserve_exact(1);
            }
            self.wakers.push(None);
            (self.wakers.len() - 1) as u32
        });
        (slot, self.base + self.events.partition_point(|event| event.revision <= from) as u64)
    }

    fn is_deserted(&self) -> bool {
        self.wakers.len() == self.free.len()
    }
}

impl Touched {
    /// Notes that there is news.
    fn count(&self) {
        for group in &self.0 {
            group.news.fetch_add(1, Ordering::Release);
        }
    }

    /// Wakes whoever waits.
    pub(crate) fn wake(self) {
        let mut wakers = Vec::new();
        for group in self.0 {
            {
                let mut queue = group.queue.lock();
                queue.touched = false;
                group.news.fetch_add(1, Ordering::Release);
                wakers.extend(queue.wakers.iter_mut().filter_map(Option::take));
            }
            wakers.drain(..).for_each(Waker::wake);
        }
    }
}

/// A position in the events of a prefix. See [`Store::watch`](crate::Store::watch).
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    group: Arc<Group>,
    /// The sequence number of the next event to look at.
    next: u64,
    position: Revision,
    slot: u32,
    /// Who is woken for news, and the group's count when all was taken.
    armed: Option<(Waker, u64)>,
}

impl Watcher {
    /// The next events, at least one, whole revisions only, in order. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the window has moved past this watcher, or the store was closed.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Watcher::next`], for those who write streams by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Arc<Event>>, WatchError>> {
        self.take(Some(cx)).map_or(Poll::Pending, Poll::Ready)
    }

    /// The events that are there already; `None` when there are none.
    ///
    /// # Errors
    /// As [`Watcher::next`].
    pub fn try_next(&mut self) -> Result<Option<Vec<Arc<Event>>>, WatchError> {
        self.take(None).transpose()
    }

    /// Everything up to this revision was returned, and everything that comes has a higher one (W-09). It advances
    /// while nothing happens to the watched prefix.
    pub fn position(&self) -> Revision {
        let queue = self.group.queue.lock();
        // Read before the queue is looked at; what is published is in the queue.
        let published = self.hub.published();
        let idle = queue.trimmed <= self.position && queue.at(self.next).is_none_or(|event| event.revision > published);
        if idle { self.position.max(published) } else { self.position }
    }

    fn take(&mut self, cx: Option<&mut Context<'_>>) -> Option<Result<Vec<Arc<Event>>, WatchError>> {
        let waker = cx.as_ref().map(|cx| cx.waker());
        // Read before what is visible is: news that comes in between is looked for once more.
        let news = self.group.news.load(Ordering::Acquire);
        if let (Some(waker), Some((armed, seen))) = (waker, &self.armed)
            && *seen == news
            && armed.will_wake(waker)
        {
            return None;
        }
        let mut queue = self.group.queue.lock();
        let published = self.hub.published();
        if self.next < queue.base {
            if queue.trimmed > self.position {
                return Some(Err(WatchError::Compacted { oldest: self.hub.floor.load(Ordering::Acquire) }));
            }
            self.next = queue.base;
        }
        let mut taken: Vec<Arc<Event>> = Vec::new();
        while let Some(event) = queue.at(self.next).filter(|event| event.revision <= published) {
            if taken.len() >= MAX_EVENTS && taken.last().is_some_and(|last| last.revision != event.revision) {
                break;
            }
            self.next += 1;
            // A watch from the future stays silent until its revision is reached.
            if event.revision > self.position {
                taken.push(Arc::clone(event));
            }
        }
        let is_all = queue.at(self.next).is_none_or(|event| event.revision > published);
        match waker.filter(|_| is_all) {
            Some(waker) => {
                let slot = &mut queue.wakers[self.slot as usize];
                if !slot.as_ref().is_some_and(|slot| slot.will_wake(waker)) {
                    *slot = Some(waker.clone());
                }
                match &mut self.armed {
                    Some((armed, seen)) if armed.will_wake(waker) => *seen = news,
                    armed => *armed = Some((waker.clone(), news)),
                }
            }
            None => self.armed = None,
        }
        if let Some(last) = taken.last() {
            self.position = last.revision;
            return Some(Ok(taken));
        }
        self.position = self.position.max(published);
        if self.hub.closed.load(Ordering::Acquire) {
            return Some(Err(WatchError::Closed));
        }
        None
    }
}

impl Queue {
    /// The event with a sequence number.
    fn at(&self, sequence: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(sequence.checked_sub(self.base)?).ok()?)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.hub.watchers.fetch_sub(1, Ordering::Relaxed);
        let mut groups = self.hub.groups.lock();
        let mut queue = self.group.queue.lock();
        let waker = queue.wakers[self.slot as usize].take();
        queue.free.push(self.slot);
        let deserted = queue.is_deserted();
        drop(queue);
        if deserted {
            groups.remove(&self.group.prefix);
        }
        drop(groups);
        // Outside the locks: dropping a waker may run other people's code.
        drop(waker);
    }
}
