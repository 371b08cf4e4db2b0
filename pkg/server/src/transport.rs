//! A client's way to the server in the same process: the same gate, the same verbs, no socket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Request, Response};
use http_body_util::BodyStream as Frames;
use kcp_apimachinery::UserInfo;
use kcp_apiserver::ApiServer;
use kcp_client::{BodyStream, BoxFuture, Transport, TransportError};

/// Carries requests to an [`ApiServer`] as one user.
pub(crate) struct InProcess {
    pub(crate) server: Arc<ApiServer>,
    pub(crate) user: Arc<UserInfo>,
}

impl Transport for InProcess {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        Box::pin(async move {
            let response = self.server.call(request, Some(self.user.clone())).await;
            Ok(response.map(|body| match body.as_full().cloned() {
                Some(bytes) => futures_util::stream::once(async { Ok(bytes) }).boxed(),
                None => {
                    let chunks = Frames::new(body).map_err(|e| TransportError::broken(e.to_string()));
                    chunks.try_filter_map(|frame| async { Ok(frame.into_data().ok()) }).boxed()
                }
            }))
        })
    }
}
