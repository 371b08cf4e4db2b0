//! Answers: Statuses, documents, headers that every answer carries (T-02) and warnings (N-14).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use kcp_apimachinery::{Status, StatusDetails, status::reason};
use serde::Serialize;

use crate::{body::Body, gzip, negotiate::Encoding, yaml};

/// An answer.
pub type Reply = Response<Body>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");
/// `Audit-Id`, on every answer (T-02); taken over from the request when it has one (AU-05).
pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// How to write a body for this client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    pub(crate) encoding: Encoding,
    pub(crate) pretty: bool,
    /// The client accepts gzip.
    pub(crate) gzip: bool,
}

/// An answer with a body that is all there.
pub(crate) fn full(code: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Body::full(body));
    *reply.status_mut() = code;
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply
}

/// Plain text, as health checks and unknown paths answer (V-03, V-07).
pub(crate) fn text(code: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = full(code, TEXT, body);
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    reply
}

/// The 404 of paths that mean nothing (V-07).
pub(crate) fn page_not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The Status of a resource or version that does not exist (V-07, D-17): generic, with empty details.
pub(crate) fn unknown_resource() -> Status {
    Status::failure(404, reason::NOT_FOUND, "the server could not find the requested resource")
        .with_details(StatusDetails::default())
}

/// The Status of a method that the path's built-in resource does not have (E-09).
pub(crate) fn method_not_allowed() -> Status {
    Status::failure(405, reason::METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource")
        .with_details(StatusDetails::default())
}

/// JSON bytes in the style that the client wants; `code` 200 or 201 in general.
pub(crate) fn json(code: StatusCode, bytes: Bytes, style: Style) -> Result<Reply, Status> {
    let mut reply = match style.encoding {
        Encoding::Yaml => full(code, YAML, yaml::from_json(&bytes)?),
        Encoding::Json if style.pretty => full(code, JSON, indent(&bytes)?),
        Encoding::Json => full(code, JSON, bytes),
    };
    if style.gzip {
        compress(&mut reply)?;
    }
    Ok(reply)
}

/// A document as JSON in the style that the client wants.
pub(crate) fn document(code: StatusCode, document: &impl Serialize, style: Style) -> Result<Reply, Status> {
    let mut bytes = serde_json::to_vec(document).map_err(Status::internal)?;
    bytes.push(b'\n');
    json(code, bytes.into(), style)
}

/// A Status as an answer. Never fails: what cannot be written as YAML is written as JSON.
pub(crate) fn status(status: &Status, style: Style) -> Reply {
    // A success says no code in its body (X-09).
    let number = if status.code == 0 && status.status == "Success" { 200 } else { status.code };
    let code = StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut bytes = status.to_json();
    bytes.push(b'\n');
    let bytes = Bytes::from(bytes);
    let mut reply = json(code, bytes.clone(), style).unwrap_or_else(|_| full(code, JSON, bytes));
    let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if seconds == 1 {
        reply.headers_mut().insert(header::RETRY_AFTER, ONE_SECOND);
    } else if seconds > 0 {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// Compresses the answer if it is whole and long enough (T-08).
pub(crate) fn compress(reply: &mut Reply) -> Result<(), Status> {
    let packed = match reply.body().as_full() {
        Some(bytes) if bytes.len() > gzip::MIN_LENGTH => gzip::compress(bytes).map_err(Status::internal)?,
        _ => return Ok(()),
    };
    *reply.body_mut() = Body::full(packed);
    mark_gzip(reply.headers_mut());
    Ok(())
}

/// Says that the body is compressed.
pub(crate) fn mark_gzip(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, GZIP);
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Indents JSON by two spaces and ends it with a newline, as Kubernetes' pretty printer does (N-08). Only white space
/// changes: the order of fields and the form of numbers stay.
///
/// # Errors
/// When the bytes are not JSON.
pub(crate) fn indent(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(Status::internal)?;
    let mut out = Vec::with_capacity(bytes.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    let mut rest = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace() || *b == b' ').peekable();
    while let Some(b) = rest.next() {
        if in_text {
            out.push(b);
            (in_text, escaped) = (escaped || b != b'"', !escaped && b == b'\\');
            continue;
        }
        match b {
            b' ' => {}
            b'{' | b'[' => {
                out.push(b);
                while rest.next_if_eq(&b' ').is_some() {}
                if let Some(close) = rest.next_if(|n| *n == b'}' || *n == b']') {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(b);
            }
            b',' => {
                out.push(b);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_text = b == b'"';
                out.push(b);
            }
        }
    }
    out.push(b'\n');
    Ok(out)
}

/// The headers that every answer carries (T-02).
pub(crate) fn common_headers(headers: &mut HeaderMap, audit_id: HeaderValue) {
    headers.insert(AUDIT_ID, audit_id);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, NO_CACHE);
    }
}

/// A fresh audit id, or the one that the client gave (AU-05).
pub(crate) fn audit_id(request: &HeaderMap) -> HeaderValue {
    match request.get(&AUDIT_ID) {
        Some(given) if (1..=64).contains(&given.len()) && given.to_str().is_ok() => given.clone(),
        _ => {
            let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
            let mut buffer = uuid::Uuid::encode_buffer();
            let text = id.hyphenated().encode_lower(&mut buffer);
            let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"));
            // So HTTP/2 does not put it into its table of values that come again: this one never does.
            value.set_sensitive(true);
            value
        }
    }
}

/// The total length of warnings above which each is cut to [`WARNING_RUNES`] characters.
const WARNINGS_TOTAL: usize = 4 * 1024;
const WARNING_RUNES: usize = 256;

/// Adds `Warning: 299 - "text"` for each text, each once (N-14).
pub(crate) fn warnings(headers: &mut HeaderMap, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    let total: usize = texts.iter().map(String::len).sum();
    let mut written = 0;
    for text in texts {
        if text.is_empty() || seen.contains(&text.as_str()) {
            continue;
        }
        seen.push(text);
        let cut: String =
            if total > WARNINGS_TOTAL { text.chars().take(WARNING_RUNES).collect() } else { text.clone() };
        written += cut.len();
        if written > WARNINGS_TOTAL {
            break;
        }
        let mut value = String::with_capacity(cut.len() + 10);
        value.push_str("299 - \"");
        for c in cut.chars() {
            match c {
                '"' | '\\' => {
                    value.push('\\');
                    value.push(c);
                }
                c if c.is_control() => value.push(' '),
                c => value.push(c),
            }
        }
        value.push('"');
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(header::WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_changes_only_white_space() {
        // N-08
        let text = r#"{"b":{},"a":[1,2.50,{"x":"q\"}{, :"}],"c":[ ], "d" : null}"#;
        let want = "{\n  \"b\": {},\n  \"a\": [\n    1,\n    2.50,\n    {\n      \"x\": \"q\\\"}{, :\"\n    }\n  ],\n  \"c\": [],\n  \"d\": null\n}\n";
        assert_eq!(String::from_utf8(indent(text.as_bytes()).unwrap()).unwrap(), want);
        assert!(indent(b"{").is_err());
    }

    #[test]
    fn warnings_are_quoted_once_and_bounded() {
        // N-14
        let mut headers = HeaderMap::new();
        warnings(&mut headers, &["unknown field \"spec.x\"".into(), "a".into(), "a".into(), String::new()]);
        let got: Vec<_> = headers.get_all(header::WARNING).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(got, [r#"299 - "unknown field \"spec.x\"""#, r#"299 - "a""#]);
        let mut headers = HeaderMap::new();
        warnings(&mut headers, &(0..100).map(|i| format!("{i}{}", "x".repeat(1000))).collect::<Vec<_>>());
        assert!(headers.get_all(header::WARNING).iter().map(HeaderValue::len).sum::<usize>() < 6000);
    }

    #[test]
    fn retry_after_is_a_header_too() {
        // E-11
        let reply = status(&Status::too_large_resource_version(9, 1), Style::default());
        assert_eq!(reply.status(), 504);
        assert_eq!(reply.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn audit_ids_are_echoed_or_made() {
        let mut headers = HeaderMap::new();
        assert_eq!(audit_id(&headers).len(), 36);
        headers.insert(AUDIT_ID, HeaderValue::from_static("mine"));
        assert_eq!(audit_id(&headers), "mine");
    }
}
