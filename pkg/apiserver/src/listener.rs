//! Connections: accepting, TLS with a deadline, HTTP/1.1 and HTTP/2 with limits, draining.
//!
//! Each connection is one task, and hyper makes one for each HTTP/2 stream; a panic in them ends that connection or
//! stream and nothing else. Nothing of ours adds to that: a request or a watch has no task, channel or queue of its own.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::State};
use hyper::upgrade::OnUpgrade;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use kcp_storage::Announced;
use pin_project_lite::pin_project;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    body::{Body, RequestBody},
    gather::Gathered,
    seams::Peer,
    server::ApiServer,
    tls::Tls,
    websocket,
};

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionOptions {
    /// How long a TLS handshake may take (CVE-2026-73500).
    pub handshake: Duration,
    /// How many handshakes may be open at once; more wait in the kernel's queue.
    pub half_open: usize,
    /// How long the head of an HTTP/1 request may take; also how long an idle connection is kept, and on any connection
    /// how long the first request may take to come.
    pub header_read: Duration,
    /// Streams at once on an HTTP/2 connection (T-09: clients put all their watches on one).
    pub streams: u32,
    /// The longest head of a request.
    pub max_header_bytes: u32,
    /// How long requests may go on after a shutdown was asked for; watches are ended at once.
    pub drain: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            half_open: 512,
            header_read: Duration::from_secs(90),
            streams: 250,
            max_header_bytes: 64 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("cannot listen on {0}: the port is already in use")]
    InUse(SocketAddr),
    /// The port is reserved for the administrator.
    #[error("cannot listen on {0}: permission denied")]
    Denied(SocketAddr),
    /// The address is not one of this machine's.
    #[error("cannot listen on {0}: this machine has no such address")]
    NoAddress(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// A socket that is bound but does not accept yet.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 draws one.
    ///
    /// # Errors
    /// When the address cannot be listened on, with the reason.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let tcp = TcpListener::bind(address).await.map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::PermissionDenied => BindError::Denied(address),
            io::ErrorKind::AddrNotAvailable => BindError::NoAddress(address),
            _ => BindError::Other(address, e),
        })?;
        let address = tcp.local_addr().map_err(|e| BindError::Other(address, e))?;
        Ok(Self { tcp, address })
    }

    /// The address, with the port that was drawn.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then ends watches, lets requests finish for the drain time, and returns.
    pub async fn serve(self, tls: Tls, api: Arc<ApiServer>, options: ConnectionOptions, shutdown: CancellationToken) {
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
        let half_open = Arc::new(Semaphore::new(options.half_open));
        let tasks = TaskTracker::new();
        let shell = Router::new().fallback(entry).with_state(Arc::clone(&api));
        let builder = Arc::new(builder(&options));
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = self.tcp.accept() => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the peer is gone already: neither is a reason to stop.
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&half_open).acquire_owned().await else { break };
            let (acceptor, tls, api, shell, builder, shutdown) = (
                acceptor.clone(),
                tls.clone(),
                Arc::clone(&api),
                shell.clone(),
                Arc::clone(&builder),
                shutdown.clone(),
            );
            tasks.spawn(async move {
                let handshake = handshake(&acceptor, stream, options.handshake).await;
                drop(permit);
                match handshake {
                    Ok(stream) => {
                        connection(stream, remote, &tls, &api, shell, &builder, &shutdown, options.header_read).await;
                    }
                    Err(error) => tracing::debug!(%remote, %error, "TLS handshake failed"),
                }
            });
        }
        drop(self.tcp);
        api.end_watches();
        tasks.close();
        if timeout(options.drain, tasks.wait()).await.is_err() {
            tracing::warn!(open = tasks.len(), "connections were cut off: they did not finish in time");
        }
    }
}

fn builder(options: &ConnectionOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read)
        .max_buf_size((options.max_header_bytes as usize).max(16 * 1024))
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.streams)
        .max_header_list_size(options.max_header_bytes)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024);
    builder
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    deadline: Duration,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    timeout(deadline, acceptor.accept(stream))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")))
}

/// What is known about a connection; shared by its requests.
#[derive(Debug, Default)]
pub struct Connection {
    /// The identity that the client's certificate proves.
    pub peer: Option<Peer>,
    /// The client showed a certificate that does not verify.
    pub bad_certificate: bool,
    /// Where the client is.
    pub remote: Option<SocketAddr>,
    /// Set and notified when the connection shall take no more requests (T-09).
    closing: AtomicBool,
    /// A request has come.
    used: AtomicBool,
    close: Notify,
}

impl Connection {
    /// Lets the connection finish what it has and then close.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.close.notify_one();
    }
}

#[expect(clippy::too_many_arguments, reason = "what all connections share, and what is this one's")]
async fn connection(
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    remote: SocketAddr,
    tls: &Tls,
    api: &Arc<ApiServer>,
    shell: Router,
    builder: &auto::Builder<TokioExecutor>,
    shutdown: &CancellationToken,
    patience: Duration,
) {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let mut info = Connection { remote: Some(remote), ..Connection::default() };
    if let Some(end) = chain.first() {
        info.peer = if tls.verifies(chain) { api.authenticator().certificate(end) } else { None };
        info.bad_certificate = info.peer.is_none();
    }
    let info = Arc::new(info);
    api.metrics().connections.inc();
    let _open = scopeguard(|| {
        api.metrics().connections.dec();
    });
    let service = {
        let (info, store) = (Arc::clone(&info), api.registry.store().clone());
        hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            info.used.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Arc::clone(&info));
            let coming = (!request.method().is_safe()).then(|| store.announce());
            let answer = tower::ServiceExt::oneshot(shell.clone(), request.map(axum::body::Body::new));
            Accepted { answer, coming }
        })
    };
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(Gathered::new(stream)), service));
    // Which protocol it is shows with the first bytes, and for those nobody else sets a limit.
    let mut first = pin!(tokio::time::sleep(patience));
    let (mut asked, mut waiting) = (false, true);
    let result = loop {
        tokio::select! {
            result = serving.as_mut() => break result,
            () = stop(shutdown, &info), if !asked => {
                asked = true;
                serving.as_mut().graceful_shutdown();
            }
            () = first.as_mut(), if waiting => {
                waiting = false;
                if !info.used.load(Ordering::Relaxed) {
                    tracing::debug!(%remote, "no request has come, the connection is closed");
                    break Ok(());
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended");
    }
}

pin_project! {
    /// A request that nobody has looked at yet, or is being answered. A write whose body is here reaches the store in
    /// its first turn; no other is waited for.
    struct Accepted<F> {
        #[pin]
        answer: F,
        coming: Option<Announced>,
    }
}

impl<F: Future> Future for Accepted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let outcome = this.answer.poll(cx);
        *this.coming = None;
        outcome
    }
}

async fn stop(shutdown: &CancellationToken, info: &Connection) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = info.close.notified() => {}
    }
}

/// Runs `f` when dropped, also when a panic unwinds.
fn scopeguard<F: Fn()>(f: F) -> impl Drop {
    struct Guard<F: Fn()>(F);
    impl<F: Fn()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(f)
}

/// The one entry from the network: everything goes to the gate.
async fn entry(State(api): State<Arc<ApiServer>>, request: axum::extract::Request) -> http::Response<axum::body::Body> {
    let (mut parts, body) = request.into_parts();
    let connection = parts.extensions.remove::<Arc<Connection>>().unwrap_or_default();
    let upgrade = if websocket::wanted(&parts.headers) { parts.extensions.remove::<OnUpgrade>() } else { None };
    let body = upgrade.map_or(RequestBody::Incoming(body), RequestBody::Upgrade);
    let reply = api.serve(parts, body, &connection).await;
    let (parts, body) = reply.into_parts();
    // A whole body goes on whole, with its length and without another box.
    let body = match body.as_full() {
        Some(bytes) => axum::body::Body::from(bytes.clone()),
        None => axum::body::Body::new::<Body>(body),
    };
    http::Response::from_parts(parts, body)
}
