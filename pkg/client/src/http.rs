//! The transport over the wire: HTTP/2 (or 1.1) over TLS, or plain HTTP where the URL says so.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ::http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, Scheme},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, BodyStream as Frames, Full};
use hyper_util::{
    client::legacy::{
        Client as Pool,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    config::{Config, ConfigError},
    error::chain,
    tls,
    transport::{BodyStream, BoxFuture, Transport, TransportError},
};

/// How long connecting and the TLS handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long without traffic an HTTP/2 connection is asked whether it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps connections to one server and sends requests over them with the identity of a [`Config`].
pub struct HttpTransport {
    pool: Pool<Connector, Full<Bytes>>,
    scheme: Scheme,
    authority: Authority,
    config: Config,
    /// The credential as it was last read, and when.
    credential: Mutex<Option<(Instant, Option<HeaderValue>)>>,
}

/// For how long a token that was read from a file is taken to be the present one: kubelets replace it long before it expires.
const TOKEN_AGE: Duration = Duration::from_secs(10);

impl HttpTransport {
    /// A transport for `config`, and the path prefix of its URL. Connects when the first request is sent.
    ///
    /// # Errors
    /// When the URL, a certificate, key or CA is malformed.
    pub fn new(config: &Config) -> Result<(Self, String), ConfigError> {
        let bad = |detail: String| ConfigError::Invalid { what: "server", detail };
        let uri: Uri = config.server.parse().map_err(|e| bad(format!("{:?}: {e}", config.server)))?;
        let authority = uri.authority().cloned().ok_or_else(|| bad(format!("{:?} has no host", config.server)))?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::HTTPS,
            Some("http") => Scheme::HTTP,
            _ => return Err(bad(format!("{:?} starts with neither https:// nor http://", config.server))),
        };
        let name =
            config.tls_server_name.clone().unwrap_or_else(|| authority.host().trim_matches(['[', ']']).to_owned());
        let server_name = ServerName::try_from(name).map_err(|e| bad(e.to_string()))?;
        let connector = Connector { tls: TlsConnector::from(Arc::new(tls::client_config(config)?)), server_name };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .http2_adaptive_window(true)
            .build(connector);
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok((Self { pool, scheme, authority, config: config.clone(), credential: Mutex::new(None) }, prefix))
    }
}

impl HttpTransport {
    /// The `Authorization` header to send now.
    fn credential(&self) -> Result<Option<HeaderValue>, TransportError> {
        let mut known = self.credential.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((read, value)) = &*known
            && (self.config.token_file.is_none() || read.elapsed() < TOKEN_AGE)
        {
            return Ok(value.clone());
        }
        let token = self.config.bearer().map_err(|e| TransportError::not_sent(e.to_string()))?;
        let value = match token {
            None => None,
            Some(token) => {
                let bad = |_| TransportError::not_sent("the token holds characters that no header can");
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(bad)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        *known = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let mut uri = head.uri.into_parts();
            uri.scheme = Some(self.scheme.clone());
            uri.authority = Some(self.authority.clone());
            head.uri = Uri::from_parts(uri).map_err(|e| TransportError::not_sent(e.to_string()))?;
            if let Some(credential) = self.credential()? {
                head.headers.insert(header::AUTHORIZATION, credential);
            }
            let request = Request::from_parts(head, Full::new(body));
            let response = self.pool.request(request).await.map_err(|e| {
                let text = format!("{}: {}", self.authority, chain(&e));
                if e.is_connect() { TransportError::not_sent(text) } else { TransportError::broken(text) }
            })?;
            Ok(response.map(|body| {
                let chunks = Frames::new(body.map_err(|e| TransportError::broken(chain(&e))))
                    .try_filter_map(|frame| async { Ok(frame.into_data().ok()) });
                chunks.boxed()
            }))
        })
    }
}

#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    server_name: ServerName<'static>,
}

/// A connection, with TLS or without.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let secure = uri.scheme() != Some(&Scheme::HTTP);
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
            let connect = async {
                let tcp = TcpStream::connect((host.as_str(), port)).await?;
                tcp.set_nodelay(true)?;
                if secure {
                    Ok(Stream::Tls(Box::new(this.tls.connect(this.server_name, tcp).await?)))
                } else {
                    Ok(Stream::Plain(tcp))
                }
            };
            match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
                Ok(stream) => stream.map(TokioIo::new),
                Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting took longer than 10 s")),
            }
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(s) if s.get_ref().1.alpn_protocol() == Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
