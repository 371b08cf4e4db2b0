//! Documents that are costly to make and the same for many requests: discovery and OpenAPI.
//!
//! Keyed by the hash of the type table and the document's name, so logical clusters with the same types share them and
//! a change of types needs no invalidation. Bounded by bytes; the least recently used go first.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kcp_apimachinery::Status;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha512};

use crate::{gzip, respond};

/// A document with its ETag and, once somebody wanted it, its compressed form.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    /// Upper-case hex SHA-512, without quotes (D-13, O-11).
    pub(crate) hash: String,
    packed: OnceLock<Bytes>,
}

impl Document {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let hash = Sha512::digest(&bytes).iter().map(|b| format!("{b:02X}")).collect();
        Self { bytes, hash, packed: OnceLock::new() }
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.hash)
    }

    /// The document, or 304 when the client has it (D-13, O-04).
    pub(crate) fn answer(
        &self,
        request: &HeaderMap,
        content_type: &'static str,
        vary: &'static str,
        always_gzip: bool,
    ) -> Result<respond::Reply, Status> {
        let etag = self.etag();
        let known = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|v| v.trim().trim_start_matches("W/") == etag || v.trim() == "*");
        let mut reply = if known {
            let mut reply = respond::text(StatusCode::NOT_MODIFIED, Bytes::new());
            reply.headers_mut().clear();
            reply
        } else if gzip::accepted(request) && (always_gzip || self.bytes.len() > gzip::MIN_LENGTH) {
            let packed = match self.packed.get() {
                Some(packed) => packed.clone(),
                None => {
                    let packed = gzip::compress(&self.bytes).map_err(Status::internal)?;
                    self.packed.get_or_init(|| packed).clone()
                }
            };
            let mut reply = respond::full(StatusCode::OK, HeaderValue::from_static(content_type), packed);
            reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            reply
        } else {
            respond::full(StatusCode::OK, HeaderValue::from_static(content_type), self.bytes.clone())
        };
        let headers = reply.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        if let Ok(value) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, value);
        }
        Ok(reply)
    }

    fn weight(&self) -> usize {
        self.bytes.len() + self.packed.get().map_or(0, Bytes::len) + 256
    }
}

type Key = ([u8; 32], Box<str>);

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, (u64, Arc<Document>)>,
    tick: u64,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Documents {
    max_bytes: usize,
    state: Mutex<State>,
}

impl Documents {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::new(State::default()) }
    }

    /// The document `name` of the type table `generation`, made by `make` when it is not there. Two requests may make
    /// it at the same time; that is cheaper than making one wait under the lock.
    pub(crate) fn get<E>(
        &self,
        generation: &[u8; 32],
        name: &str,
        make: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Arc<Document>, E> {
        let key: Key = (*generation, name.into());
        {
            let mut state = self.state.lock();
            state.tick += 1;
            let tick = state.tick;
            if let Some((used, document)) = state.entries.get_mut(&key) {
                *used = tick;
                return Ok(Arc::clone(document));
            }
        }
        let document = Arc::new(Document::new(make()?));
        let mut state = self.state.lock();
        let tick = state.tick;
        state.entries.insert(key, (tick, Arc::clone(&document)));
        let mut total: usize = state.entries.values().map(|(_, d)| d.weight()).sum();
        while total > self.max_bytes && state.entries.len() > 1 {
            let oldest = state.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            if let Some((_, document)) = state.entries.remove(&oldest) {
                total -= document.weight().min(total);
            }
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(n: usize) -> Result<Bytes, Status> {
        Ok(vec![b'x'; n].into())
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Documents::new(10_000);
        let first = cache.get(&[0; 32], "a", || make(3000)).unwrap();
        for i in 1..50u8 {
            cache.get(&[i; 32], "a", || make(3000)).unwrap();
            // Asking again gives the same document: it was not thrown away.
            assert!(Arc::ptr_eq(&first, &cache.get(&[0; 32], "a", || make(1)).unwrap()));
        }
        assert!(cache.state.lock().entries.len() <= 3);
    }

    #[test]
    fn a_known_document_is_not_sent_again() {
        // D-13, O-04
        let document = Document::new("hello");
        let mut headers = HeaderMap::new();
        let reply = document.answer(&headers, "application/json", "Accept", false).unwrap();
        assert_eq!(reply.status(), 200);
        let etag = reply.headers()[header::ETAG].clone();
        assert_eq!(etag.len(), 130);
        headers.insert(header::IF_NONE_MATCH, etag);
        let reply = document.answer(&headers, "application/json", "Accept", false).unwrap();
        assert_eq!((reply.status().as_u16(), reply.body().as_full().map(Bytes::len)), (304, Some(0)));
    }
}
