//! How many requests may be in work at once (FC-01).
//!
//! Watches and `system:masters` are exempt. A request over the limit is answered 429 at once; nothing queues.

use std::sync::atomic::{AtomicUsize, Ordering};

use kcp_apimachinery::{Status, status::reason};

/// The limits.
#[derive(Debug, Clone, Copy)]
pub struct LimitOptions {
    /// Reads at once.
    pub read_only: usize,
    /// Writes at once.
    pub mutating: usize,
    /// Requests at once of any kind, checked before anything is known about them.
    pub total: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { read_only: 400, mutating: 200, total: 4000 }
    }
}

/// Counts the requests in work.
#[derive(Debug)]
pub(crate) struct Limits {
    options: LimitOptions,
    read_only: AtomicUsize,
    mutating: AtomicUsize,
    total: AtomicUsize,
}

/// A request in work; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A read.
    ReadOnly,
    /// A write.
    Mutating,
    /// Whatever it is.
    Any,
}

impl Limits {
    /// With these limits.
    pub(crate) fn new(options: LimitOptions) -> Self {
        Self { options, read_only: AtomicUsize::new(0), mutating: AtomicUsize::new(0), total: AtomicUsize::new(0) }
    }

    /// Counts a request in.
    ///
    /// # Errors
    /// 429 when there are too many.
    pub(crate) fn enter(&self, class: Class) -> Result<InFlight<'_>, Status> {
        let (counter, limit) = match class {
            Class::ReadOnly => (&self.read_only, self.options.read_only),
            Class::Mutating => (&self.mutating, self.options.mutating),
            Class::Any => (&self.total, self.options.total),
        };
        let entered = InFlight(counter);
        if counter.fetch_add(1, Ordering::Relaxed) < limit { Ok(entered) } else { Err(too_many()) }
    }

    /// How many requests of a class are in work.
    pub(crate) fn in_flight(&self, class: Class) -> usize {
        match class {
            Class::ReadOnly => &self.read_only,
            Class::Mutating => &self.mutating,
            Class::Any => &self.total,
        }
        .load(Ordering::Relaxed)
    }
}

fn too_many() -> Status {
    Status::failure(429, reason::TOO_MANY_REQUESTS, "Too many requests, please try again later.").with_retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact_and_freed() {
        // FC-01
        let limits = Limits::new(LimitOptions { read_only: 2, mutating: 1, total: 3 });
        let a = limits.enter(Class::ReadOnly).unwrap();
        let _b = limits.enter(Class::ReadOnly).unwrap();
        let refused = limits.enter(Class::ReadOnly).unwrap_err();
        assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
        assert!(limits.enter(Class::Mutating).is_ok());
        drop(a);
        assert!(limits.enter(Class::ReadOnly).is_ok());
        assert_eq!(limits.in_flight(Class::ReadOnly), 1);
    }
}
