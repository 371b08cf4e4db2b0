//! What an answer looks like on the wire: objects, tables and bare metadata, whole or streamed (FC-06).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use kcp_apimachinery::{Status, time::Timestamp};
use kcp_registry::{List, ResourceInfo};

use crate::{
    body::{Body, BodyError},
    expiring::Expiring,
    gate::Request,
    gzip::{self, GzipStream},
    negotiate::{Accepted, Encoding, Form, MetaVersion},
    respond::{self, Reply},
    table::{self, Include, Tables},
};

/// Lists are sent in pieces of about this size.
const CHUNK: usize = 64 * 1024;

/// How an answer is written.
pub(crate) struct Out<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) info: &'a ResourceInfo,
    pub(crate) subresource: &'a str,
    pub(crate) accepted: Accepted,
}

/// The form of a list.
pub(crate) enum ListForm {
    Objects,
    Table(Tables),
    Partial(MetaVersion),
}

impl Out<'_> {
    /// An object in the form that was asked for.
    pub(crate) fn object(&self, code: StatusCode, object: Bytes) -> Result<Reply, Status> {
        let style = self.request.style(self.accepted.encoding);
        let bytes = match self.accepted.form {
            Form::Object | Form::AggregatedDiscovery => object,
            Form::Table(version) => {
                let include = Include::parse(self.request.query.get("includeObject"))?;
                Tables::new(self.info, self.subresource, version, include).single(&object, Timestamp::now(), true)?
            }
            Form::Partial(version) => {
                let mut out = Vec::with_capacity(object.len() + 64);
                table::write_partial(&mut out, &object, version);
                out.into()
            }
            Form::PartialList(_) => return Err(table::wrong_form("PartialObjectMetadataList", self.info, false)),
        };
        respond::json(code, bytes, style)
    }

    /// A Status, which is never transformed (P-10).
    pub(crate) fn status(&self, status: &Status) -> Reply {
        respond::status(status, self.request.style(self.accepted.encoding))
    }

    /// The form of a list, checked before the list is made.
    pub(crate) fn list_form(&self) -> Result<ListForm, Status> {
        match self.accepted.form {
            Form::Object | Form::AggregatedDiscovery => Ok(ListForm::Objects),
            Form::Table(version) => {
                let include = Include::parse(self.request.query.get("includeObject"))?;
                Ok(ListForm::Table(Tables::new(self.info, self.subresource, version, include)))
            }
            Form::PartialList(version) => Ok(ListForm::Partial(version)),
            Form::Partial(_) => Err(table::wrong_form("PartialObjectMetadata", self.info, true)),
        }
    }

    /// A list, streamed (FC-06): a short one is sent whole, a long one piece by piece from the snapshot, for at most
    /// `limit`.
    pub(crate) fn list(&self, list: List, form: ListForm, limit: Duration) -> Result<Reply, Status> {
        let style = self.request.style(self.accepted.encoding);
        let mut chunks: Box<dyn Iterator<Item = Result<Bytes, Status>> + Send> = match form {
            ListForm::Objects => Box::new(list.into_chunks(CHUNK)),
            ListForm::Table(tables) => Box::new(Rows::new(list, RowForm::Table(tables))),
            ListForm::Partial(version) => Box::new(Rows::new(list, RowForm::Partial(version))),
        };
        let first = chunks.next().transpose()?.unwrap_or_default();
        let Some(second) = chunks.next().transpose()? else {
            return respond::json(StatusCode::OK, first, style);
        };
        if style.pretty || style.encoding == Encoding::Yaml {
            // A person asked: put it together and write it nicely.
            let mut whole = [first, second].concat();
            for chunk in chunks {
                whole.extend_from_slice(&chunk?);
            }
            return respond::json(StatusCode::OK, whole.into(), style);
        }
        let chunks = Expiring::new(chunks, limit);
        let stream = futures_util::stream::iter(
            [Ok(first), Ok(second)].into_iter().chain(chunks).map(|chunk| chunk.map_err(|s| BodyError(s.message))),
        );
        let mut reply = if style.gzip {
            let mut reply = http::Response::new(Body::stream(GzipStream::new(Box::pin(stream))));
            respond::mark_gzip(reply.headers_mut());
            reply
        } else {
            http::Response::new(Body::stream(stream))
        };
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(reply)
    }
}

const _: () = assert!(2 * CHUNK >= gzip::MIN_LENGTH, "what is streamed is long enough to be compressed");

enum RowForm {
    Table(Tables),
    Partial(MetaVersion),
}

/// Writes a list in another form, piece by piece.
struct Rows {
    list: List,
    form: RowForm,
    now: Timestamp,
    at: At,
}

#[derive(PartialEq, Eq)]
enum At {
    Start,
    Items,
    Done,
}

impl Rows {
    fn new(list: List, form: RowForm) -> Self {
        Self { list, form, now: Timestamp::now(), at: At::Start }
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), Status> {
        let mut comma = self.at == At::Items;
        if self.at == At::Start {
            match &self.form {
                RowForm::Table(tables) => tables.write_head(out, &self.list.meta, true),
                RowForm::Partial(version) => {
                    out.extend_from_slice(br#"{"kind":"PartialObjectMetadataList","apiVersion":""#);
                    out.extend_from_slice(version.api_version().as_bytes());
                    out.extend_from_slice(br#"","metadata":"#);
                    table::write_list_meta(out, &self.list.meta);
                    out.extend_from_slice(br#","items":["#);
                }
            }
            self.at = At::Items;
        }
        while out.len() < CHUNK {
            let Some(item) = self.list.items().next() else {
                out.extend_from_slice(b"]}\n");
                self.at = At::Done;
                break;
            };
            if comma {
                out.push(b',');
            }
            comma = true;
            match &self.form {
                RowForm::Table(tables) => tables.write_row(out, &item, self.now)?,
                RowForm::Partial(version) => table::write_partial(out, &item, *version),
            }
        }
        Ok(())
    }
}

impl Iterator for Rows {
    type Item = Result<Bytes, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == At::Done {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        match self.fill(&mut out) {
            Ok(()) => Some(Ok(out.into())),
            Err(status) => {
                self.at = At::Done;
                Some(Err(status))
            }
        }
    }
}
