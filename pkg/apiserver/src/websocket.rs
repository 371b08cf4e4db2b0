//! Watches over WebSocket (T-14, W-16), for browsers and clients that have nothing else: one text frame for each event.
//!
//! The request passes the gate like any other; only the answer is another. A token may come as a subprotocol because
//! browsers cannot set headers; it becomes the `Authorization` header before anything else looks at the request.

use std::pin::pin;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::{Buf as _, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kcp_apimachinery::Status;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{body::Body, respond::Reply, watch::WatchBody};

/// The subprotocols that clients of Kubernetes ask for; frames are the same in all of them.
const PROTOCOLS: [&str; 2] = ["base64.binary.k8s.io", "binary.k8s.io"];
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";
/// What RFC 6455 appends to the client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest frame that a client has reason to send to a watch.
const MAX_FRAME: u64 = 64 * 1024;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Whether the client wants to go on as a WebSocket.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let has = |name: header::HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|v| v.trim().eq_ignore_ascii_case(token))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket")
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
}

/// Makes a token that comes as a subprotocol the `Authorization` header, unless there is one.
///
/// # Errors
/// 401 when it is no token, or comes alone: a browser needs another subprotocol to be answered with.
pub(crate) fn take_token(headers: &mut HeaderMap) -> Result<(), Status> {
    let Some(token) = protocols(headers).find_map(|p| p.strip_prefix(BEARER)) else { return Ok(()) };
    let token = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| Status::unauthorized())?;
    let value =
        HeaderValue::from_bytes(&[b"Bearer ".as_slice(), &token].concat()).map_err(|_| Status::unauthorized())?;
    let others: Vec<&str> = protocols(headers).filter(|p| !p.starts_with(BEARER)).collect();
    if others.is_empty() {
        return Err(Status::unauthorized());
    }
    let others = HeaderValue::from_str(&others.join(", ")).map_err(|_| Status::unauthorized())?;
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
    headers.entry(header::AUTHORIZATION).or_insert(value);
    Ok(())
}

/// Switches protocols and sends the watch over the connection.
///
/// # Errors
/// 400 when the handshake is not that of RFC 6455.
pub(crate) fn answer(headers: &HeaderMap, upgrade: OnUpgrade, watch: WatchBody) -> Result<Reply, Status> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|v| v == "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| version);
    let key = key.ok_or_else(|| Status::bad_request("not a WebSocket handshake of version 13"))?;
    let accept = HeaderValue::from_str(&accept_key(key.as_bytes())).map_err(Status::internal)?;
    let mut reply = http::Response::new(Body::empty());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = reply.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocols(headers).find_map(|p| PROTOCOLS.iter().find(|known| **known == p)) {
        out.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => pump(TokioIo::new(connection), watch).await,
            Err(error) => tracing::debug!(%error, "a WebSocket did not come about"),
        }
    });
    Ok(reply)
}

fn accept_key(key: &[u8]) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

/// Sends events until either side has had enough.
async fn pump(mut connection: TokioIo<hyper::upgrade::Upgraded>, watch: WatchBody) {
    let mut watch = pin!(watch);
    let mut inbox = BytesMut::with_capacity(512);
    loop {
        let done = tokio::select! {
            read = connection.read_buf(&mut inbox) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => received(&mut connection, &mut inbox).await,
            },
            events = watch.next() => match events {
                Some(Ok(lines)) => send_lines(&mut connection, &lines).await,
                // 1000: the purpose is fulfilled.
                _ => send(&mut connection, CLOSE, &1000u16.to_be_bytes()).await.and(Err(Ended)),
            },
        };
        if done.is_err() {
            let _ = connection.shutdown().await;
            return;
        }
    }
}

/// The connection is over, in order or not.
#[derive(Debug)]
struct Ended;

async fn send_lines(to: &mut (impl AsyncWrite + Unpin), lines: &[u8]) -> Result<(), Ended> {
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        send(to, TEXT, line).await?;
    }
    Ok(())
}

async fn send(to: &mut (impl AsyncWrite + Unpin), kind: u8, payload: &[u8]) -> Result<(), Ended> {
    let mut head = [0x80 | kind, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let length = payload.len();
    let used = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => {
            head[1] = short;
            2
        }
        (_, Ok(medium)) => {
            head[1] = 126;
            head[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    let frame = [&head[..used], payload].concat();
    to.write_all(&frame).await.map_err(|_| Ended)?;
    to.flush().await.map_err(|_| Ended)
}

/// Answers what the client said: a watch listens to pings and farewells only.
async fn received(to: &mut (impl AsyncWrite + Unpin), inbox: &mut BytesMut) -> Result<(), Ended> {
    loop {
        match frame(inbox) {
            Ok(None) => return Ok(()),
            Ok(Some((PING, payload))) => send(to, PONG, &payload).await?,
            Ok(Some((CLOSE, payload))) => {
                send(to, CLOSE, payload.get(..2).unwrap_or_default()).await?;
                return Err(Ended);
            }
            Ok(Some(_)) => {}
            Err(Ended) => {
                // 1002: a protocol error.
                send(to, CLOSE, &1002u16.to_be_bytes()).await?;
                return Err(Ended);
            }
        }
    }
}

/// Takes a whole frame out of the inbox, if one is there.
fn frame(inbox: &mut BytesMut) -> Result<Option<(u8, Vec<u8>)>, Ended> {
    let [first, second, rest @ ..] = &inbox[..] else { return Ok(None) };
    // Clients mask every frame.
    if second & 0x80 == 0 {
        return Err(Ended);
    }
    let (length, head) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length > MAX_FRAME {
        return Err(Ended);
    }
    let length = usize::try_from(length).map_err(|_| Ended)?;
    let kind = first & 0x0f;
    let (Some(mask), Some(payload)) = (inbox.get(head..head + 4), inbox.get(head + 4..head + 4 + length)) else {
        return Ok(None);
    };
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    inbox.advance(head + 4 + length);
    Ok(Some((kind, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_of_the_rfc() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn tokens_come_as_subprotocols() {
        // T-14
        let headers = |value: &str| {
            HeaderMap::from_iter([(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(value).unwrap())])
        };
        let mut good = headers(&format!("{BEARER}YWRtaW4, binary.k8s.io"));
        take_token(&mut good).unwrap();
        assert_eq!(good[header::AUTHORIZATION], "Bearer admin");
        assert_eq!(good[header::SEC_WEBSOCKET_PROTOCOL], "binary.k8s.io");
        for bad in
            [format!("{BEARER}YWRtaW4"), format!("{BEARER}***, binary.k8s.io"), format!("{BEARER}Cg, binary.k8s.io")]
        {
            assert_eq!(take_token(&mut headers(&bad)).unwrap_err().code, 401, "{bad}");
        }
        let mut none = headers("binary.k8s.io");
        take_token(&mut none).unwrap();
        assert!(!none.contains_key(header::AUTHORIZATION));
    }

    #[tokio::test]
    async fn each_event_is_a_frame_of_any_length() {
        // W-16
        let mut out = Vec::new();
        send_lines(&mut out, b"{\"a\":1}\n{}\n").await.unwrap();
        assert_eq!(out, b"\x81\x07{\"a\":1}\x81\x02{}");
        for (length, head) in
            [(125, &[0x81, 125][..]), (126, &[0x81, 126, 0, 126]), (70_000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70])]
        {
            let mut out = Vec::new();
            send(&mut out, TEXT, &vec![b'x'; length]).await.unwrap();
            assert_eq!((&out[..head.len()], out.len()), (head, head.len() + length));
        }
    }

    #[test]
    fn frames_are_taken_whole() {
        let ping: &[u8] = &[0x89, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
        let mut inbox = BytesMut::new();
        for (i, byte) in ping.iter().enumerate() {
            assert!(frame(&mut inbox).unwrap().is_none(), "{i}");
            inbox.extend_from_slice(&[*byte]);
        }
        inbox.extend_from_slice(&[0x88]);
        assert_eq!(frame(&mut inbox).unwrap(), Some((PING, b"hi".to_vec())));
        assert_eq!(&inbox[..], [0x88]);
        // Not masked; longer than anything a watcher has to say.
        assert!(frame(&mut BytesMut::from(&[0x81, 0x01, b'x'][..])).is_err());
        assert!(frame(&mut BytesMut::from(&[0x81, 0xff, 0, 0, 0, 0, 0xff, 0, 0, 0][..])).is_err());
    }
}
