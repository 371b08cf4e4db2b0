//! From rows back to the state: the objects as they are, and the events of the window, worked out backwards from what
//! each change replaced.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::{
    engine::{Engine, EngineError},
    entry::{Entry, Event, Revision},
    history::{History, Window},
    key::Key,
    row::{self, FORMAT, LOG, LogRow, META, Meta, OBJECT},
    state::State,
    totals::Totals,
};

/// What an engine's rows say.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// How the store began; `None` when there are no rows at all.
    pub(crate) meta: Option<Meta>,
    pub(crate) objects: Vec<(Key, Entry)>,
    pub(crate) log: Vec<LogRow>,
}

impl Loaded {
    /// Reads and checks every row, up to the first that is wrong.
    pub(crate) fn read(engine: &mut dyn Engine) -> Result<Self, EngineError> {
        let mut loaded = Self::default();
        engine.load(&mut |row| loaded.add(row?))?;
        Ok(loaded)
    }

    /// Reads and checks every row. What is wrong is left out and reported.
    pub(crate) fn read_all(engine: &mut dyn Engine, mut report: impl FnMut(EngineError)) -> Result<Self, EngineError> {
        let mut loaded = Self::default();
        engine.load(&mut |row| {
            if let Err(error) = row.and_then(|row| loaded.add(row)) {
                report(error);
            }
            Ok(())
        })?;
        Ok(loaded)
    }

    fn add(&mut self, (key, value): (Vec<u8>, Vec<u8>)) -> Result<(), EngineError> {
        if key.starts_with(OBJECT) {
            self.objects.push(row::read_object(&key, value)?);
        } else if key.starts_with(LOG) {
            self.log.push(row::read_log(&key, value)?);
        } else if key == META {
            self.meta = Some(row::read_meta(&value)?);
        } else {
            return Err(EngineError::corrupt(row::place(&key), "this version writes no such row"));
        }
        Ok(())
    }

    /// Whether there are no rows at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.meta.is_none() && self.objects.is_empty() && self.log.is_empty()
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> Revision {
        let base = || self.meta.map_or(1, |meta| meta.base);
        self.log.last().map_or_else(base, |row| row.last)
    }

    /// The format of what was read, if this version does not know it.
    pub(crate) fn unknown_format(&self) -> Option<u32> {
        self.meta.map(|meta| meta.format).filter(|format| *format != FORMAT)
    }

    /// What there should be.
    fn totals(&self) -> Totals {
        let began = self.meta.map(|meta| meta.totals).unwrap_or_default();
        self.log.last().map_or(began, |row| row.totals)
    }

    /// Puts the state together. Fails when objects and history contradict each other.
    pub(crate) fn state(self, window: Window) -> Result<(State, VecDeque<(Revision, Revision)>), EngineError> {
        if self.meta.is_none() && !self.is_empty() {
            return Err(EngineError::corrupt("row m/format", "it is missing, but there are others"));
        }
        let revision = self.revision();
        let mut expected = self.log.first().map_or(revision, |row| row.first.saturating_sub(1));
        let mut floor = expected;
        let mut whole = 0;
        for (index, row) in self.log.iter().enumerate() {
            if row.first != expected + 1 || row.last < row.first {
                let reason = format!("the revisions before it end at {expected}");
                return Err(EngineError::corrupt(format!("row l/{}", row.first), reason));
            }
            expected = row.last;
            if row.cut {
                (floor, whole) = (row.last, index + 1);
            }
        }
        let newest = self.objects.iter().find(|(_, entry)| entry.revision > revision);
        if let Some((key, entry)) = newest {
            let reason = format!("its revision is {}, but the newest is {revision}", entry.revision);
            return Err(EngineError::corrupt(format!("object {key}"), reason));
        }
        let wanted = self.totals();
        let rows = self.log.iter().map(|row| (row.first, row.last)).collect();
        let log = self.log.into_iter().skip(whole).collect();
        let mut state = State::new(self.objects, revision, History::new(window, floor));
        if state.totals != wanted {
            let (found, wanted) = (state.totals.objects, wanted.objects);
            let reason = format!("{wanted} were committed, {found} are found, and they are not the same");
            return Err(EngineError::corrupt("the set of objects", reason));
        }
        for event in events(log, &state, floor)? {
            state.remember(event);
        }
        Ok((state, rows))
    }
}

/// The events of the log, oldest first.
fn events(log: Vec<LogRow>, state: &State, floor: Revision) -> Result<Vec<Arc<Event>>, EngineError> {
    let mut events = Vec::with_capacity(log.iter().map(|row| row.changes.len()).sum());
    // What a key held before the changes that were already looked at, which is what it held after the next older one.
    let mut later: HashMap<Key, Option<Entry>> = HashMap::new();
    for change in log.into_iter().rev().flat_map(|row| row.changes.into_iter().rev()) {
        let next = later.get(&change.key).map_or_else(|| state.index.get(change.key.as_str()), Option::as_ref);
        let contradiction = |reason: &str| {
            let place = format!("object {} at revision {}", change.key, change.revision);
            EngineError::corrupt(place, reason)
        };
        if next.is_some_and(|next| next.revision != change.revision) {
            return Err(contradiction("the log and the object disagree about who wrote it"));
        }
        let event = Event::between(change.revision, change.key.clone(), change.prev.as_ref(), next);
        events.push(Arc::new(event.ok_or_else(|| contradiction("the log has a change from nothing to nothing"))?));
        later.insert(change.key, change.prev);
    }
    // What the log did not touch must be from before it.
    let untold = |(key, entry): &(&Key, &Entry)| entry.revision > floor && !later.contains_key(key.as_str());
    if let Some((key, entry)) = state.index.iter().find(untold) {
        let reason = format!("the log does not know its revision {}", entry.revision);
        return Err(EngineError::corrupt(format!("object {key}"), reason));
    }
    events.reverse();
    Ok(events)
}
