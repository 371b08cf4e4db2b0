//! The recent past: a window of events, by count, bytes and age.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::entry::{Event, Revision};

/// How much of the past is kept, for watchers that resume and reads at an older revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Events older than this may go.
    pub max_age: Duration,
    /// At most so many events are kept.
    pub max_events: usize,
    /// At most so many bytes are kept beyond the current objects; and at most half as many as those have, but 8 MiB in
    /// any case: a watcher that is told to list anew loses little when there is little to list.
    pub max_bytes: u64,
}

impl Default for Window {
    /// Five minutes, 100 000 events, 64 MiB.
    fn default() -> Self {
        Self { max_age: Duration::from_mins(5), max_events: 100_000, max_bytes: 64 << 20 }
    }
}

/// What the past may take however little there is at present.
const SMALLEST: u64 = 8 << 20;

/// How many of the newest events may keep what they look like on the wire.
const FRAMES: usize = 1024;

/// The events of the window, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    window: Window,
    events: VecDeque<Arc<Event>>,
    bytes: u64,
    /// Bytes of the current objects.
    present: u64,
    /// Every event with a higher revision is here.
    floor: Revision,
    /// `(t, r)`: at `t`, `r` was the newest revision. Coarse: at most sixteen over the maximal age.
    marks: VecDeque<(Instant, Revision)>,
    /// The newest revision that is older than the maximal age.
    aged: Revision,
}

impl History {
    /// Nothing is known of `floor` and what was before.
    pub(crate) fn new(window: Window, floor: Revision) -> Self {
        Self { window, events: VecDeque::new(), bytes: 0, present: 0, floor, marks: VecDeque::new(), aged: floor }
    }

    pub(crate) fn events(&self) -> &VecDeque<Arc<Event>> {
        &self.events
    }

    /// The oldest revision from which one can watch, and at which one can read.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.weight();
        self.events.push_back(event);
        if let Some(older) = self.events.len().checked_sub(FRAMES).and_then(|at| self.events.get(at)) {
            older.forget_frame();
        }
    }

    /// Notes how many bytes the current objects have.
    pub(crate) fn fit(&mut self, present: u64) {
        self.present = present;
    }

    /// How many bytes may be kept.
    fn most_bytes(&self) -> u64 {
        (self.present / 2).max(SMALLEST).min(self.window.max_bytes)
    }

    /// Notes the time, and when the next events come of age; `None` when there are none to wait for.
    pub(crate) fn tick(&mut self, now: Instant, revision: Revision) -> Option<Instant> {
        let step = self.window.max_age / 16;
        let known = self.marks.back().map_or(self.aged, |mark| mark.1);
        if revision > known && self.marks.back().is_none_or(|mark| now.duration_since(mark.0) >= step) {
            self.marks.push_back((now, revision));
        }
        while let Some(&(at, revision)) = self.marks.front()
            && now.duration_since(at) >= self.window.max_age
        {
            self.aged = revision;
            self.marks.pop_front();
        }
        self.marks.front().filter(|_| !self.events.is_empty()).map(|mark| mark.0 + self.window.max_age)
    }

    /// Whether there is something that the window no longer holds.
    pub(crate) fn is_over(&self) -> bool {
        let over = self.events.len() > self.window.max_events || self.bytes > self.most_bytes();
        over || self.events.front().is_some_and(|event| event.revision <= self.aged)
    }

    /// Drops whole revisions until the window is kept or about `limit` events are gone.
    pub(crate) fn compact(&mut self, limit: usize) -> Vec<Arc<Event>> {
        let mut dropped = Vec::new();
        while self.is_over() && dropped.len() < limit {
            let Some(first) = self.events.front().map(|event| event.revision) else { break };
            while self.events.front().is_some_and(|event| event.revision == first) {
                let Some(event) = self.events.pop_front() else { break };
                self.bytes -= event.weight();
                dropped.push(event);
            }
            self.floor = first;
        }
        shrink(&mut self.events);
        dropped
    }
}

/// Gives back the memory of a queue that has become much shorter.
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > 64 && queue.len() < queue.capacity() / 4 {
        queue.shrink_to(queue.len() * 2);
    }
}

/// A resource that has objects or recent events.
#[derive(Debug, Default)]
pub(crate) struct Resource {
    pub(crate) prefix: Arc<str>,
    pub(crate) objects: u64,
    pub(crate) events: VecDeque<Arc<Event>>,
}

/// Resources by a small number. A number is reused once its resource has neither objects nor events.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    ids: HashMap<Arc<str>, u32>,
    slots: Vec<Resource>,
    free: Vec<u32>,
}

impl Resources {
    pub(crate) fn find(&self, prefix: &str) -> Option<u32> {
        self.ids.get(prefix).copied()
    }

    pub(crate) fn id(&mut self, prefix: &str) -> u32 {
        if let Some(id) = self.find(prefix) {
            return id;
        }
        let prefix: Arc<str> = prefix.into();
        let fresh = Resource { prefix: Arc::clone(&prefix), ..Resource::default() };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = fresh;
                id
            }
            None => {
                self.slots.push(fresh);
                (self.slots.len() - 1) as u32
            }
        };
        self.ids.insert(prefix, id);
        id
    }

    pub(crate) fn get(&self, id: u32) -> &Resource {
        &self.slots[id as usize]
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> &mut Resource {
        &mut self.slots[id as usize]
    }

    /// Drops the resource's events up to `revision`, and the resource when nothing is left of it.
    pub(crate) fn forget_through(&mut self, id: u32, revision: Revision) {
        let slot = &mut self.slots[id as usize];
        while slot.events.front().is_some_and(|event| event.revision <= revision) {
            slot.events.pop_front();
        }
        shrink(&mut slot.events);
        if slot.objects == 0 && slot.events.is_empty() {
            self.ids.remove(&slot.prefix);
            *slot = Resource::default();
            self.free.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::GroupResource;
    use kcp_logicalcluster::ClusterName;

    use super::*;
    use crate::{
        entry::{Entry, Stamped},
        key::Key,
    };

    fn event(revision: Revision) -> Arc<Event> {
        let key = Key::object(&GroupResource::new("", "configmaps"), &ClusterName::root(), "", "a").unwrap();
        let entry = Entry::new(&Stamped::plain("x"), revision);
        Arc::new(Event::between(revision, key, None, Some(&entry)).unwrap())
    }

    fn history(window: Window, revisions: impl IntoIterator<Item = Revision>) -> History {
        let mut history = History::new(window, 1);
        revisions.into_iter().for_each(|revision| history.push(event(revision)));
        history
    }

    fn revisions(events: &[Arc<Event>]) -> Vec<Revision> {
        events.iter().map(|event| event.revision).collect()
    }

    #[test]
    fn whole_revisions_go_in_small_steps() {
        let mut history = history(Window { max_events: 2, ..Window::default() }, [2, 2, 2, 3, 4, 4, 5]);
        assert_eq!((revisions(&history.compact(1)), history.floor()), (vec![2, 2, 2], 2));
        assert_eq!((revisions(&history.compact(100)), history.floor()), (vec![3, 4, 4], 4));
        assert_eq!((history.is_over(), history.compact(100).len(), history.events().len()), (false, 0, 1));
        assert_eq!(history.bytes(), event(5).weight());
    }

    #[test]
    fn the_past_is_in_proportion_to_the_present() {
        let sized = |max_bytes, present| {
            let mut history = history(Window { max_bytes, ..Window::default() }, []);
            history.fit(present);
            history.most_bytes() >> 20
        };
        for (max_mib, present_mib, wanted) in [(64, 0, 8), (64, 10, 8), (64, 40, 20), (64, 1000, 64), (4, 1000, 4)] {
            assert_eq!(sized(max_mib << 20, present_mib << 20), wanted, "{max_mib} {present_mib}");
        }
    }

    #[test]
    fn events_go_when_they_are_of_age() {
        let window = Window { max_age: Duration::from_secs(160), ..Window::default() };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = history(window, [2]);
        assert_eq!(history.tick(at(0), 2), Some(at(160)), "nobody needs to look before");
        history.push(event(3));
        assert_eq!(history.tick(at(5), 3), Some(at(160)), "times are noted only so often");
        history.push(event(4));
        assert_eq!(history.tick(at(20), 4), Some(at(160)));
        assert!(!history.is_over());
        assert_eq!(history.tick(at(159), 4), Some(at(160)));
        assert!(!history.is_over());
        assert_eq!(history.tick(at(160), 4), Some(at(180)));
        assert_eq!(revisions(&history.compact(100)), [2]);
        history.tick(at(200), 4);
        assert_eq!(revisions(&history.compact(100)), [3, 4], "at latest a sixteenth after its time");
        assert_eq!(history.tick(at(300), 4), None, "nothing to wait for");
        assert_eq!(history.tick(at(900), 4), None);
    }

    #[test]
    fn resources_come_and_go() {
        let mut resources = Resources::default();
        let (a, b) = (resources.id("a.\0"), resources.id("b.\0"));
        assert_eq!((resources.id("a.\0"), resources.find("c.\0")), (a, None));
        resources.get_mut(a).events.push_back(event(2));
        resources.get_mut(b).objects = 1;
        resources.forget_through(b, 9);
        assert_eq!(resources.find("b.\0"), Some(b), "it has objects");
        resources.forget_through(a, 1);
        assert_eq!(resources.find("a.\0"), Some(a), "it has an event");
        resources.forget_through(a, 2);
        assert_eq!((resources.find("a.\0"), resources.id("c.\0")), (None, a), "its number is used again");
    }
}
