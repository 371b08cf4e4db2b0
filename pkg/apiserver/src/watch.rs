//! The body of a watch (W-01 to W-25): events as lines, bookmarks, the end.
//!
//! It is polled by the stream it is the answer of and woken by the store when its prefix has news; it owns no task, and
//! one timer for whatever comes next, a bookmark or the deadline.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use kcp_apimachinery::time::Timestamp;
use kcp_registry::{WatchEvent, WatchEventType, WatchStream};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    body::BodyError,
    metrics::Metrics,
    negotiate::MetaVersion,
    server::ApiServer,
    table::{self, Tables},
};

/// How long before the deadline the last bookmark is sent, so that a client resumes from a fresh revision (W-09).
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// The end of all watches.
#[derive(Debug, Default)]
pub(crate) struct WatchesEnd {
    /// What is looked at with every event; the token is for waking up.
    has_come: AtomicBool,
    token: CancellationToken,
}

impl WatchesEnd {
    /// Ends all watches.
    pub(crate) fn come(&self) {
        self.has_come.store(true, Ordering::Release);
        self.token.cancel();
    }
}

pub(crate) struct WatchBody {
    stream: WatchStream,
    form: WatchForm,
    /// The next bookmark or the deadline.
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    interval: Duration,
    ends: Arc<WatchesEnd>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is woken by the timer and the end.
    waker: Option<Waker>,
    metrics: Arc<Metrics>,
    done: bool,
}

/// What the events look like.
enum WatchForm {
    /// As stored: the lines are shared by all watchers.
    Objects,
    /// A table of one row each; the columns come with the first (P-06).
    Tables { tables: Tables, columns_sent: bool },
    /// Bare metadata (P-08).
    Partial(MetaVersion),
}

impl WatchBody {
    pub(crate) fn new(
        api: &ApiServer,
        stream: WatchStream,
        seconds: Option<i64>,
        tables: Option<Tables>,
        partial: Option<MetaVersion>,
    ) -> Self {
        let life = match seconds.and_then(|s| u64::try_from(s).ok()) {
            Some(seconds) => Duration::from_secs(seconds.min(7 * 24 * 3600)),
            None => {
                let (shortest, longest) = api.options.watch_timeout;
                shortest + longest.saturating_sub(shortest).mul_f64(rand::random::<f64>())
            }
        };
        let now = Instant::now();
        let form = match (tables, partial) {
            (Some(tables), _) => WatchForm::Tables { tables, columns_sent: false },
            (None, Some(version)) => WatchForm::Partial(version),
            (None, None) => WatchForm::Objects,
        };
        api.metrics.watches.inc();
        let (deadline, interval) = (now + life, api.options.bookmark_interval);
        Self {
            stream,
            form,
            timer: Box::pin(tokio::time::sleep_until(next_stop(now, deadline, interval))),
            deadline,
            interval,
            ends: Arc::clone(&api.watches_end),
            end: Box::pin(api.watches_end.token.clone().cancelled_owned()),
            waker: None,
            metrics: Arc::clone(&api.metrics),
            done: false,
        }
    }

    /// Writes one event in the watcher's form.
    fn write(&mut self, out: &mut Vec<u8>, event: &WatchEvent) -> Result<(), BodyError> {
        // A Status is a Status in every form (P-10).
        if event.kind == WatchEventType::Error {
            out.extend_from_slice(&event.frame);
            return Ok(());
        }
        match &mut self.form {
            WatchForm::Objects => out.extend_from_slice(&event.frame),
            WatchForm::Partial(version) => {
                write_type(out, event.kind);
                table::write_partial(out, &event.object(), *version);
                out.extend_from_slice(b"}\n");
            }
            WatchForm::Tables { tables, columns_sent } => {
                let row = tables
                    .single(&event.object(), Timestamp::now(), !*columns_sent)
                    .map_err(|s| BodyError(s.message))?;
                *columns_sent = true;
                write_type(out, event.kind);
                out.extend_from_slice(&row);
                out.extend_from_slice(b"}\n");
            }
        }
        Ok(())
    }

    /// What to send for these events; one plain event needs no copy.
    fn chunk(&mut self, events: &[WatchEvent]) -> Result<Bytes, BodyError> {
        if let ([event], WatchForm::Objects) = (events, &self.form) {
            return Ok(event.frame.clone());
        }
        let mut out = Vec::with_capacity(events.iter().map(|e| e.frame.len()).sum());
        for event in events {
            self.write(&mut out, event)?;
        }
        Ok(out.into())
    }
}

fn write_type(out: &mut Vec<u8>, kind: WatchEventType) {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(kind.as_str().as_bytes());
    out.extend_from_slice(br#"","object":"#);
}

/// When to wake next: for a bookmark every interval and once shortly before the deadline, then for the deadline.
fn next_stop(now: Instant, deadline: Instant, interval: Duration) -> Instant {
    let last = deadline.checked_sub(LAST_BOOKMARK).unwrap_or(deadline);
    let next = (now + interval).min(last);
    if next <= now { deadline } else { next }
}

impl Stream for WatchBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.done || this.ends.has_come.load(Ordering::Acquire) {
            this.done = true;
            return Poll::Ready(None);
        }
        match this.stream.poll_next(cx) {
            Poll::Ready(Some(events)) => {
                let chunk = this.chunk(&events);
                this.done = chunk.is_err();
                return Poll::Ready(Some(chunk));
            }
            Poll::Ready(None) => {
                this.done = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        // After each event it comes here, and mostly nothing has changed.
        if this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) && !this.timer.is_elapsed() {
            return Poll::Pending;
        }
        this.waker = None;
        if this.end.as_mut().poll(cx).is_ready() {
            this.done = true;
            return Poll::Ready(None);
        }
        while this.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= this.deadline {
                this.done = true;
                return Poll::Ready(None);
            }
            this.timer.as_mut().reset(next_stop(now, this.deadline, this.interval));
            if let Some(bookmark) = this.stream.bookmark() {
                let chunk = this.chunk(&[bookmark]);
                this.done = chunk.is_err();
                return Poll::Ready(Some(chunk));
            }
        }
        this.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.metrics.watches.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_every_interval_and_before_the_end() {
        // W-09
        let start = Instant::now();
        let at = |now: u64, life: u64| {
            next_stop(start + Duration::from_secs(now), start + Duration::from_secs(life), Duration::from_secs(60))
                .duration_since(start)
                .as_secs()
        };
        assert_eq!(at(0, 300), 60);
        assert_eq!(at(290, 300), 298);
        assert_eq!(at(298, 300), 300);
        assert_eq!(at(0, 3), 1);
        assert_eq!(at(0, 2), 2);
        assert_eq!(at(0, 1), 1);
    }
}
