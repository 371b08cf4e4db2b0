//! Writes of many streams gathered into few records and system calls.
//!
//! HTTP/2 writes a frame at a time, and TLS makes a record and a system call of each write. When a change is told to a
//! hundred watches on one connection, or many answers are ready at once, nearly all of the time would go into that. So
//! what is written is kept until it is flushed, and a flush lets the tasks that are ready to run go first, for as long as
//! that adds something: what they have to say on this connection goes out with it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is kept at most before it is written; about what TLS keeps too.
const MOST: usize = 64 << 10;
/// Writes of at least this size (a whole record) go through when nothing waits before them.
const LONG: usize = 16 << 10;

/// A connection whose writes wait for the flush.
#[derive(Debug)]
pub(crate) struct Gathered<S> {
    stream: S,
    waiting: BytesMut,
    /// How much waited when the others were last given their turn.
    seen: usize,
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Gathers what is written to `stream`.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, waiting: BytesMut::new(), seen: 0 }
    }

    /// Writes what waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        // An idle connection holds no buffer.
        self.waiting = BytesMut::new();
        self.seen = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= MOST {
            ready!(self.poll_drain(cx))?;
        }
        if self.waiting.is_empty() && bytes.len() >= LONG {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= MOST {
            ready!(self.poll_drain(cx))?;
        }
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if self.waiting.is_empty() && length >= LONG {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        }
        pieces.iter().for_each(|piece| self.waiting.extend_from_slice(piece));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() > self.seen && self.waiting.len() < MOST {
            self.seen = self.waiting.len();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Takes at most so many bytes at a time, and remembers how many each write brought.
    #[derive(Clone, Default)]
    struct Sink {
        most: usize,
        writes: Arc<Mutex<Vec<usize>>>,
        bytes: Arc<Mutex<Vec<u8>>>,
    }

    impl AsyncWrite for Sink {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.writes.lock().unwrap().push(taken);
            self.bytes.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn small_writes_go_out_together_and_in_order() {
        let sink = Sink { most: usize::MAX, ..Sink::default() };
        let mut stream = Gathered::new(sink.clone());
        for i in 0..100u8 {
            stream.write_all(&[i; 300]).await.unwrap();
        }
        assert!(sink.writes.lock().unwrap().is_empty(), "nothing goes before the flush");
        stream.flush().await.unwrap();
        assert_eq!(*sink.writes.lock().unwrap(), [30_000]);
        let wanted: Vec<u8> = (0..100u8).flat_map(|i| [i; 300]).collect();
        assert_eq!(*sink.bytes.lock().unwrap(), wanted);
    }

    #[tokio::test]
    async fn long_writes_neither_wait_nor_overtake() {
        let sink = Sink { most: 7_000, ..Sink::default() };
        let mut stream = Gathered::new(sink.clone());
        stream.write_all(&[1; LONG]).await.unwrap();
        assert!(!sink.writes.lock().unwrap().is_empty(), "nothing stood before it");
        stream.write_all(b"short").await.unwrap();
        stream.write_all(&[2; MOST]).await.unwrap();
        stream.write_all(b"last").await.unwrap();
        stream.shutdown().await.unwrap();
        let wanted = [&[1; LONG][..], b"short", &[2; MOST], b"last"].concat();
        assert!(*sink.bytes.lock().unwrap() == wanted);
    }

    #[tokio::test]
    async fn others_have_their_turn_before_a_flush() {
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        let stream = Arc::new(tokio::sync::Mutex::new(Gathered::new(theirs)));
        stream.lock().await.write_all(b"first ").await.unwrap();
        let second = tokio::spawn({
            let stream = stream.clone();
            // Ready to run when the flush is asked for, as a stream is whose watch has something to say.
            async move { stream.lock().await.write_all(b"second").await.unwrap() }
        });
        let flushing = stream.clone();
        let flush = std::future::poll_fn(move |cx| match flushing.try_lock() {
            Ok(mut stream) => Pin::new(&mut *stream).poll_flush(cx),
            Err(_) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        flush.await.unwrap();
        second.await.unwrap();
        let mut read = [0; 64];
        let count = ours.read(&mut read).await.unwrap();
        assert_eq!(&read[..count], b"first second");
    }
}
