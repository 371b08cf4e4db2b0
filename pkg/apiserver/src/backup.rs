//! `/snapshot`: everything the store holds, as a file that `kcp snapshot restore` takes, while the server goes on.

use std::io::{self, Write};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;

use crate::{
    body::{Body, BodyError},
    respond::{self, Reply},
    server::ApiServer,
};

/// How many pieces may wait for a slow reader; the writing waits with them.
const AHEAD: usize = 4;

/// Puts what is written into a channel, from a thread that may block.
struct Pieces(mpsc::Sender<Result<Bytes, BodyError>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| gone())?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ApiServer {
    /// The store as of now. What is written meanwhile is not in it.
    pub(crate) fn snapshot(&self) -> Reply {
        let snapshot = self.registry.store().snapshot();
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let pieces = Pieces(sender.clone());
            if let Err(error) = kcp_storage::save(&snapshot, pieces) {
                // The client sees a broken answer, and its file has no end: it cannot be taken for a whole one.
                let _ = sender.blocking_send(Err(BodyError(error.to_string())));
            }
        });
        let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let mut reply =
            respond::full(StatusCode::OK, HeaderValue::from_static("application/octet-stream"), Bytes::new());
        *reply.body_mut() = Body::stream(stream);
        reply
    }
}
