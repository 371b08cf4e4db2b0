//! Which objects a list, a watch or a deletecollection is about (S-01 to S-06).

use std::borrow::Cow;

use bytes::Bytes;
use kcp_apimachinery::{
    Status,
    field::go_quote,
    selectors::{FieldSelector, LabelSelector},
};
use kcp_storage::{KeyParts, Revision};
use serde_json::Value;

use crate::{render::Renderer, request::ListOptions, scan, types::ResourceInfo};

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// Parsed selectors of a request.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    /// There are field requirements beyond name and namespace: the object must be parsed.
    deep: bool,
    /// The one name that is asked for.
    pub(crate) name: Option<String>,
    /// The one namespace that is asked for.
    pub(crate) namespace: Option<String>,
}

impl Selection {
    /// Parses the selectors; `name` is the name in the URL of a legacy watch.
    pub(crate) fn new(options: &ListOptions, info: &ResourceInfo, name: &str) -> Result<Self, Status> {
        let labels = LabelSelector::parse(&options.label_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut fields =
            FieldSelector::parse(&options.field_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut deep = false;
        for requirement in fields.requirements() {
            let path = requirement.path.as_str();
            if path == NAME || path == NAMESPACE {
                continue;
            }
            if !info.selectable.iter().any(|f| f.path == path) {
                return Err(unsupported(path, info));
            }
            deep = true;
        }
        if !name.is_empty() {
            match fields.exact(NAME) {
                Some(other) if other != name => {
                    return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
                }
                Some(_) => {}
                None if fields.is_empty() => fields = FieldSelector::one(NAME, name),
                None => {
                    let text = format!("{},{NAME}={name}", options.field_selector);
                    fields = FieldSelector::parse(&text).map_err(|e| Status::bad_request(e.to_string()))?;
                }
            }
        }
        let exact = |path: &str| fields.exact(path).map(str::to_owned);
        let (name, namespace) = (exact(NAME), exact(NAMESPACE));
        Ok(Self { labels, fields, deep, name, namespace })
    }

    /// Everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object is selected. `bytes` are those of the store.
    pub(crate) fn matches(&self, key: &KeyParts<'_>, revision: Revision, bytes: &Bytes, renderer: &Renderer) -> bool {
        if self.is_everything() {
            return true;
        }
        let simple = |path: &str| match path {
            NAME => Some(Cow::Borrowed(key.name)),
            NAMESPACE => Some(Cow::Borrowed(key.namespace)),
            _ => None,
        };
        if !self.deep && !self.fields.is_empty() && !self.fields.matches(|path| simple(path).unwrap_or_default()) {
            return false;
        }
        if !self.labels.is_empty() {
            let labels = scan::labels(bytes);
            if !self.labels.matches_fn(|key| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)) {
                return false;
            }
        }
        if !self.deep {
            return true;
        }
        let object = renderer.tree(revision, bytes);
        self.matches_fields(key, &object, renderer.info())
    }

    fn matches_fields(&self, key: &KeyParts<'_>, object: &Value, info: &ResourceInfo) -> bool {
        self.fields.matches(|path| match path {
            NAME => Cow::Borrowed(key.name),
            NAMESPACE => Cow::Borrowed(key.namespace),
            _ => match info.selectable.iter().find(|f| f.path == path) {
                Some(field) => Cow::Owned(field.value(object).into_owned()),
                None => Cow::Borrowed(""),
            },
        })
    }
}

fn unsupported(path: &str, info: &ResourceInfo) -> Status {
    if info.custom || !info.selectable.is_empty() {
        return Status::bad_request(format!("field label not supported: {path}"));
    }
    Status::bad_request(format!(
        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        go_quote(path)
    ))
}
