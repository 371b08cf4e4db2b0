//! A watch as a stream of events.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use futures_util::{Stream, StreamExt as _};
use kcp_apimachinery::Status;
use serde::Deserialize;
use serde_json::Value;

use crate::{error::Error, transport::BodyStream};

/// The largest event that is accepted: 16 MiB.
const MAX_EVENT: usize = 16 << 20;

/// One event of a watch.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// The object is new to the watch.
    Added(Value),
    /// The object has changed.
    Modified(Value),
    /// The object is gone from the watch; this is its last state.
    Deleted(Value),
    /// Everything up to this revision has been sent; `initial_events_end` marks the end of what existed at the start.
    Bookmark {
        /// The revision.
        resource_version: String,
        /// Whether this is the mark after the initial events (W-10).
        initial_events_end: bool,
    },
}

/// The events of one watch, until the server ends it or the connection breaks.
pub struct WatchStream {
    path: String,
    body: BodyStream,
    buffer: BytesMut,
    scanned: usize,
    done: bool,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl WatchStream {
    pub(crate) fn new(path: String, body: BodyStream) -> Self {
        Self { path, body, buffer: BytesMut::new(), scanned: 0, done: false }
    }

    /// Takes the next complete line out of the buffer.
    fn line(&mut self) -> Option<BytesMut> {
        match self.buffer[self.scanned..].iter().position(|&b| b == b'\n') {
            Some(i) => {
                let line = self.buffer.split_to(self.scanned + i);
                self.buffer.advance(1);
                self.scanned = 0;
                Some(line)
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }

    fn event(&self, line: &[u8]) -> Result<WatchEvent, Error> {
        let protocol = |detail: String| Error::Protocol { path: self.path.clone(), detail };
        let frame: Frame = serde_json::from_slice(line).map_err(|e| protocol(e.to_string()))?;
        match frame.kind.as_str() {
            "ADDED" => Ok(WatchEvent::Added(frame.object)),
            "MODIFIED" => Ok(WatchEvent::Modified(frame.object)),
            "DELETED" => Ok(WatchEvent::Deleted(frame.object)),
            "BOOKMARK" => Ok(WatchEvent::Bookmark {
                resource_version: kcp_apimachinery::object::resource_version(&frame.object).to_owned(),
                initial_events_end: kcp_apimachinery::object::annotation(&frame.object, "k8s.io/initial-events-end")
                    == Some("true"),
            }),
            "ERROR" => Err(serde_json::from_value::<Status>(frame.object).unwrap_or_default().into()),
            other => Err(protocol(format!("unknown event type {other:?}"))),
        }
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchEvent, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.done {
                return Poll::Ready(None);
            }
            if let Some(line) = this.line() {
                if line.is_empty() {
                    continue;
                }
                let event = this.event(&line);
                this.done = event.is_err();
                return Poll::Ready(Some(event));
            }
            if this.buffer.len() > MAX_EVENT {
                this.done = true;
                let detail = "an event is larger than 16 MiB".to_owned();
                return Poll::Ready(Some(Err(Error::Protocol { path: this.path.clone(), detail })));
            }
            match ready!(this.body.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => this.buffer.extend_from_slice(&chunk),
                Some(Err(e)) => {
                    this.done = true;
                    return Poll::Ready(Some(Err(e.into())));
                }
                None => this.done = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn events_are_cut_at_newlines_however_they_arrive() {
        let text = b"{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\"}}\n";
        for size in [1, 7, 1000] {
            let chunks: Vec<_> = text.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            let stream = WatchStream::new("/x".into(), Box::pin(futures_util::stream::iter(chunks)));
            let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got: Vec<_> = rt.block_on(stream.collect());
            assert!(matches!(&got[0], Ok(WatchEvent::Added(v)) if v["a"] == 1));
            assert!(
                matches!(&got[1], Ok(WatchEvent::Bookmark { resource_version, initial_events_end: true }) if resource_version == "7")
            );
            assert!(matches!(&got[2], Err(e) if e.is_expired()));
            assert_eq!(got.len(), 3);
        }
    }
}
