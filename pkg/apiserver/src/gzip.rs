//! Compression of long answers (T-08): only when the client asks and the body exceeds 128 KiB, never for watches.

use std::{
    io::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::Stream;
use http::{HeaderMap, header};

use crate::body::{BodyError, ChunkStream};

/// Bodies up to this length are sent as they are.
pub(crate) const MIN_LENGTH: usize = 128 * 1024;

/// Whether the client accepts gzip.
pub(crate) fn accepted(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(
        |item| {
            let mut parts = item.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        },
    )
}

/// Compresses a whole body.
pub(crate) fn compress(bytes: &[u8]) -> Result<Bytes, std::io::Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.into())
}

/// Compresses a stream chunk by chunk, with memory for one chunk.
pub(crate) struct GzipStream {
    inner: ChunkStream,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl GzipStream {
    /// Compresses what `inner` gives.
    pub(crate) fn new(inner: ChunkStream) -> Self {
        Self { inner, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
    }
}

impl Stream for GzipStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.encoder.is_none() {
                return Poll::Ready(None);
            }
            let failed = |e: std::io::Error| Poll::Ready(Some(Err(BodyError(e.to_string()))));
            match ready!(self.inner.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) => {
                    let Some(encoder) = self.encoder.as_mut() else { return Poll::Ready(None) };
                    if let Err(e) = encoder.write_all(&chunk) {
                        return failed(e);
                    }
                    if !encoder.get_ref().is_empty() {
                        return Poll::Ready(Some(Ok(std::mem::take(encoder.get_mut()).into())));
                    }
                }
                Some(Err(e)) => {
                    self.encoder = None;
                    return Poll::Ready(Some(Err(e)));
                }
                None => {
                    return match self.encoder.take().map(GzEncoder::finish) {
                        Some(Ok(rest)) => Poll::Ready(Some(Ok(rest.into()))),
                        Some(Err(e)) => failed(e),
                        None => Poll::Ready(None),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use futures_util::StreamExt as _;

    use super::*;

    #[test]
    fn asking_for_gzip() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
            ("*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, http::HeaderValue::from_static(value));
            assert_eq!(accepted(&headers), want, "{value}");
        }
    }

    #[tokio::test]
    async fn a_stream_comes_back_whole() {
        // T-08
        let chunks: Vec<Bytes> = (0..100u8).map(|i| Bytes::from(vec![i; 3000])).collect();
        let whole: Vec<u8> = chunks.concat();
        let stream = futures_util::stream::iter(chunks.into_iter().map(Ok));
        let packed: Vec<Bytes> = GzipStream::new(Box::pin(stream)).map(|c| c.unwrap()).collect().await;
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(packed.concat().as_slice()).read_to_end(&mut out).unwrap();
        assert_eq!(out, whole);
        assert!(packed.concat().len() < whole.len() / 10);
    }
}
