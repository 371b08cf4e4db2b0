//! The bounded queue in front of the committer.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    batch::{Batch, CommitError, Committed},
    store::Shared,
};

/// A batch that waits to be committed, and who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) cost: u32,
    pub(crate) reply: oneshot::Sender<Result<Committed, CommitError>>,
}

/// What may wait: about 4 096 small batches or 64 MiB.
const ROOM: u32 = 1 << 14;
const UNIT: u64 = 4096;
/// How long a batch waits at most for others that were announced.
const PATIENCE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    room: Semaphore,
    /// How many announced batches are not here yet.
    coming: AtomicUsize,
    /// Whether the committer waits for these.
    gathering: AtomicBool,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    requests: VecDeque<Request>,
    idle: bool,
    closed: bool,
}

/// A batch may come at once. See [`Store::announce`](crate::Store::announce).
pub struct Announced(Arc<Shared>);

impl Announced {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.queue.announce();
        Self(Arc::clone(shared))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.0.queue.arrived();
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            filled: Condvar::new(),
            room: Semaphore::new(ROOM as usize),
            coming: AtomicUsize::new(0),
            gathering: AtomicBool::new(false),
            patience: PATIENCE,
        }
    }

    /// How much of the queue's room a batch of so many bytes takes.
    pub(crate) fn cost(bytes: u64) -> u32 {
        u32::try_from(4 + bytes / UNIT).unwrap_or(ROOM).min(ROOM)
    }

    /// Waits until there is room for `cost`.
    pub(crate) async fn reserve(&self, cost: u32) -> Result<(), CommitError> {
        self.room.acquire_many(cost).await.map_err(|_| CommitError::Closed)?.forget();
        Ok(())
    }

    /// As [`Queue::reserve`], for threads.
    pub(crate) fn reserve_blocking(&self, cost: u32) -> Result<(), CommitError> {
        self.room.blocking_acquire_many(cost).map_err(|_| CommitError::Closed)?.forget();
        Ok(())
    }

    /// Gives back room.
    pub(crate) fn release(&self, cost: usize) {
        self.room.add_permits(cost);
    }

    /// Appends a request, for which there is room.
    pub(crate) fn push(&self, request: Request) -> Result<(), CommitError> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(CommitError::Closed);
        }
        inner.requests.push_back(request);
        if std::mem::take(&mut inner.idle) {
            drop(inner);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for requests and takes some: at most `count`, of at most `cost` together but at least one. Empty when
    /// `until` has come; `None` when the queue is closed and empty.
    pub(crate) fn take(&self, count: usize, cost: u32, until: Option<Instant>) -> Option<Vec<Request>> {
        let mut inner = self.inner.lock();
        while inner.requests.is_empty() {
            if inner.closed {
                return None;
            }
            inner.idle = true;
            match until {
                None => self.filled.wait(&mut inner),
                Some(until) => {
                    let timeout = until.saturating_duration_since(Instant::now());
                    if timeout == Duration::ZERO || self.filled.wait_for(&mut inner, timeout).timed_out() {
                        inner.idle = false;
                        break;
                    }
                }
            }
        }
        self.gather(&mut inner, count);
        let mut total = 0;
        let fits = |request: &Request| {
            total += request.cost;
            total <= cost || total == request.cost
        };
        let n = inner.requests.iter().take(count).map(fits).take_while(|fits| *fits).count();
        Some(inner.requests.drain(..n).collect())
    }

    /// Waits a little for the batches that were announced, so that they share a write.
    fn gather(&self, inner: &mut MutexGuard<'_, Inner>, count: usize) {
        let until = Instant::now() + self.patience;
        while !inner.closed && (1..count).contains(&inner.requests.len()) {
            // Set before the count is read, and the other way round in `arrived`: one of both sees the other.
            self.gathering.store(true, Ordering::SeqCst);
            let all_here = self.coming.load(Ordering::SeqCst) == 0;
            let over = all_here || self.filled.wait_until(inner, until).timed_out();
            self.gathering.store(false, Ordering::SeqCst);
            if over {
                return;
            }
        }
    }

    /// Says that a batch may come at once; [`Queue::arrived`] must follow.
    fn announce(&self) {
        self.coming.fetch_add(1, Ordering::SeqCst);
    }

    /// An announced batch is here, or will not come at once.
    fn arrived(&self) {
        if self.coming.fetch_sub(1, Ordering::SeqCst) == 1 && self.gathering.load(Ordering::SeqCst) {
            // Once the lock could be had, the committer waits.
            drop(self.inner.lock());
            self.filled.notify_one();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().requests.len()
    }

    /// Takes no more requests; those that wait are still served.
    pub(crate) fn close(&self) {
        self.room.close();
        self.inner.lock().closed = true;
        self.filled.notify_one();
    }

    /// Takes no more requests and returns those that wait.
    pub(crate) fn abort(&self) -> VecDeque<Request> {
        self.close();
        std::mem::take(&mut self.inner.lock().requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cost: u32) -> Request {
        Request { batch: Batch::new(), cost, reply: oneshot::channel().0 }
    }

    fn taken(queue: &Queue, count: usize, cost: u32) -> Vec<u32> {
        let requests = queue.take(count, cost, Some(Instant::now())).unwrap();
        requests.iter().map(|request| request.cost).collect()
    }

    #[test]
    fn as_much_is_taken_as_fits_but_at_least_one() {
        let queue = Queue::new();
        for cost in [100, 1, 2, 3, 4, 5] {
            queue.push(request(cost)).unwrap();
        }
        assert_eq!(taken(&queue, 10, 6), [100]);
        assert_eq!(taken(&queue, 10, 6), [1, 2, 3]);
        assert_eq!(taken(&queue, 1, 6), [4]);
        assert_eq!((taken(&queue, 10, 6), taken(&queue, 10, 6)), (vec![5], vec![]));
    }

    #[test]
    fn announced_batches_are_waited_for() {
        let queue = Queue { patience: Duration::from_secs(3600), ..Queue::new() };
        for _ in 0..3 {
            queue.announce();
        }
        queue.push(request(1)).unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| taken(&queue, 10, 10));
            while !queue.gathering.load(Ordering::SeqCst) {
                assert!(!taken.is_finished(), "it did not wait");
                std::thread::yield_now();
            }
            queue.arrived();
            queue.push(request(2)).unwrap();
            queue.arrived();
            // The third was not a write after all.
            queue.arrived();
            assert_eq!(taken.join().unwrap(), [1, 2]);
        });
    }

    #[test]
    fn announced_batches_are_not_waited_for_in_vain() {
        let patient = |patience| Queue { patience: Duration::from_secs(patience), ..Queue::new() };
        let queue = patient(0);
        queue.announce();
        queue.push(request(1)).unwrap();
        assert_eq!(taken(&queue, 10, 10), [1], "its time is over");
        let queue = patient(3600);
        queue.announce();
        assert_eq!(taken(&queue, 10, 10), [0; 0], "nothing waits for it");
        for cost in [1, 2] {
            queue.push(request(cost)).unwrap();
        }
        assert_eq!(taken(&queue, 2, 10), [1, 2], "there are enough");
        queue.push(request(3)).unwrap();
        queue.close();
        assert_eq!(taken(&queue, 2, 10), [3], "none will come");
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_no_more() {
        let queue = Queue::new();
        queue.push(request(1)).unwrap();
        queue.close();
        assert!(matches!(queue.push(request(1)), Err(CommitError::Closed)));
        assert!(matches!(queue.reserve_blocking(1), Err(CommitError::Closed)));
        assert_eq!(queue.take(10, 10, None).map(|requests| requests.len()), Some(1));
        assert!(queue.take(10, 10, None).is_none());
    }

    #[test]
    fn no_batch_costs_more_than_there_is_room() {
        assert_eq!((Queue::cost(0), Queue::cost(UNIT), Queue::cost(u64::MAX)), (4, 5, ROOM));
    }
}
