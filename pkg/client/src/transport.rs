//! How a request reaches a server.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::Stream;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A response's body, chunk by chunk.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// No answer could be had: the connection failed, was refused or broke.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// What happened, with the address.
    pub message: Arc<str>,
    /// Whether the request certainly never reached the server.
    pub not_sent: bool,
}

impl TransportError {
    /// An error after which the request may or may not have been carried out.
    pub fn broken(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), not_sent: false }
    }
    /// An error before anything was sent.
    pub fn not_sent(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), not_sent: true }
    }
}

/// Something that carries a request to an API server and its answer back.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI has a path and a query only. Resolves when the answer's head is there.
    fn send(
        &self,
        request: ::http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<::http::Response<BodyStream>, TransportError>>;
}
