//! Bodies: what a request brings (read with a limit, T-07) and what an answer carries (whole or streamed).

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use kcp_apimachinery::Status;

/// The largest request body (T-07).
pub const MAX_BODY: usize = 3 * 1024 * 1024;

/// How much of a body that is too long is read and thrown away before it is refused.
const MAX_DRAIN: usize = 2 * MAX_BODY;

/// Why a streamed answer broke off; the client sees a broken stream and must not take it for a complete answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BodyError(pub String);

/// The stream of a long answer.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// The body of an answer.
pub struct Body(Inner);

enum Inner {
    /// Nothing, or everything at once: sent with its length.
    Full(Bytes),
    /// Piece by piece. Polled by the HTTP stream, so it owns no task.
    Stream(ChunkStream),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self(Inner::Full(Bytes::new()))
    }

    /// A body that is all there.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Full(bytes.into()))
    }

    /// A body that comes in pieces.
    pub fn stream(stream: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self(Inner::Stream(Box::pin(stream)))
    }

    /// The bytes, if they are all there.
    pub fn as_full(&self) -> Option<&Bytes> {
        match &self.0 {
            Inner::Full(bytes) => Some(bytes),
            Inner::Stream(_) => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Stream(stream) => stream.as_mut().poll_next(cx).map(|next| next.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Inner::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// The body of a request, not read yet: nothing is read before the request was authorised.
#[derive(Debug)]
pub enum RequestBody {
    /// From a caller in this process.
    Full(Bytes),
    /// From a connection.
    Incoming(axum::body::Body),
    /// None: the client wants to go on as a WebSocket.
    Upgrade(OnUpgrade),
}

impl RequestBody {
    /// Reads the whole body.
    ///
    /// # Errors
    /// 413 when it is longer than [`MAX_BODY`], 415 when it is compressed, 400 when the client breaks off.
    pub async fn read(self, headers: &http::HeaderMap) -> Result<Bytes, Status> {
        if headers.get(http::header::CONTENT_ENCODING).is_some_and(|v| v != "identity") {
            return Err(Status::unsupported_media_type("compressed request bodies are not accepted"));
        }
        let mut body = match self {
            Self::Full(bytes) if bytes.len() > MAX_BODY => return Err(too_large()),
            Self::Full(bytes) => return Ok(bytes),
            Self::Upgrade(_) => return Ok(Bytes::new()),
            Self::Incoming(body) => body,
        };
        let announced = HttpBody::size_hint(&body);
        if announced.lower() > MAX_BODY as u64 {
            if announced.lower() <= MAX_DRAIN as u64 {
                drain(&mut body, 0).await;
            }
            return Err(too_large());
        }
        let mut all: Option<BytesMut> = None;
        let mut first = Bytes::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Status::bad_request(format!("the request body could not be read: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let have = all.as_ref().map_or(first.len(), BytesMut::len);
            if have + data.len() > MAX_BODY {
                drain(&mut body, have + data.len()).await;
                return Err(too_large());
            }
            match &mut all {
                Some(all) => all.extend_from_slice(&data),
                // Nearly every body arrives in one frame: keep it without a copy.
                None if first.is_empty() => first = data,
                None => {
                    let mut buffer = BytesMut::with_capacity(
                        (announced.upper().unwrap_or(0) as usize).clamp(have + data.len(), MAX_BODY),
                    );
                    buffer.extend_from_slice(&first);
                    buffer.extend_from_slice(&data);
                    all = Some(buffer);
                }
            }
        }
        Ok(all.map_or(first, BytesMut::freeze))
    }
}

/// Reads on, for a while, and throws away: many clients send their whole body before they look for an answer, and would
/// see a broken connection instead of the 413.
async fn drain(body: &mut axum::body::Body, mut read: usize) {
    while read <= MAX_DRAIN
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn too_large() -> Status {
    Status::too_large(format!("Request entity too large: limit is {MAX_BODY}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(sizes: Vec<usize>) -> RequestBody {
        let frames = sizes.into_iter().map(|n| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; n])));
        RequestBody::Incoming(axum::body::Body::from_stream(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        // T-07
        let headers = http::HeaderMap::new();
        for (sizes, want) in [
            (vec![], Some(0)),
            (vec![5], Some(5)),
            (vec![5, 6, 7], Some(18)),
            (vec![MAX_BODY], Some(MAX_BODY)),
            (vec![MAX_BODY, 1], None),
            (vec![1 << 20; 4], None),
        ] {
            let got = chunks(sizes.clone()).read(&headers).await;
            match want {
                Some(n) => assert_eq!(got.map(|b| b.len()).ok(), Some(n), "{sizes:?}"),
                None => assert_eq!(got.unwrap_err().code, 413, "{sizes:?}"),
            }
        }
    }

    #[tokio::test]
    async fn compressed_bodies_are_refused() {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        assert_eq!(chunks(vec![5]).read(&headers).await.unwrap_err().code, 415);
    }
}
