//! Reading many keys as of one revision.

use std::{collections::BTreeMap, iter::Peekable, sync::Arc};

use imbl::OrdMap;

use crate::{
    entry::{Entry, Revision},
    key::{Key, Prefix, bounds},
};

/// What changed since an older revision: the values of that time. `None` where there was no value.
pub(crate) type Overlay = BTreeMap<Key, Option<Entry>>;

/// The state at one revision. Taking one costs next to nothing; it stays as it is while the store moves on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    revision: Revision,
    index: OrdMap<Key, Entry>,
    /// Only for an older revision, and then only complete for the prefix that was asked for.
    overlay: Option<Arc<Overlay>>,
}

impl Snapshot {
    pub(crate) fn new(revision: Revision, index: OrdMap<Key, Entry>) -> Self {
        Self { revision, index, overlay: None }
    }

    pub(crate) fn overlaid(revision: Revision, index: OrdMap<Key, Entry>, overlay: Overlay) -> Self {
        Self { revision, index, overlay: (!overlay.is_empty()).then(|| Arc::new(overlay)) }
    }

    /// The revision whose state this is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        match self.overlay.as_ref().and_then(|overlay| overlay.get(key)) {
            Some(past) => past.as_ref(),
            None => self.index.get(key.as_str()),
        }
    }

    /// The keys of `prefix` and their values, in order, from the first one beyond `after`.
    pub fn range<'a>(&'a self, prefix: &Prefix, after: Option<&Key>) -> Range<'a> {
        let mut end = String::new();
        let bounds = bounds(prefix.as_str(), after, &mut end);
        let past = self.overlay.as_deref().map(|overlay| overlay.range::<str, _>(bounds).peekable());
        Range { present: self.index.range::<_, str>(bounds), ahead: None, past }
    }

    /// How many keys [`Snapshot::range`] gives.
    pub fn count(&self, prefix: &Prefix, after: Option<&Key>) -> usize {
        if self.overlay.is_none() && prefix.as_str().is_empty() && after.is_none() {
            return self.index.len();
        }
        self.range(prefix, after).count()
    }
}

/// The iterator of [`Snapshot::range`].
pub struct Range<'a> {
    present: imbl::ordmap::RangedIter<'a, Key, Entry, imbl::shared_ptr::DefaultSharedPtr>,
    ahead: Option<(&'a Key, &'a Entry)>,
    past: Option<Peekable<std::collections::btree_map::Range<'a, Key, Option<Entry>>>>,
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a Key, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        let Some(past) = &mut self.past else { return self.present.next() };
        loop {
            let now = self.ahead.take().or_else(|| self.present.next());
            let then = past.peek().map(|(key, _)| *key);
            match (now, then) {
                (now, None) => return now,
                (Some((key, entry)), Some(old)) if key < old => return Some((key, entry)),
                (now, Some(old)) => {
                    // The past wins over the present value of the same key.
                    self.ahead = now.filter(|(key, _)| *key != old);
                    if let Some((key, Some(entry))) = past.next() {
                        return Some((key, entry));
                    }
                }
            }
        }
    }
}
