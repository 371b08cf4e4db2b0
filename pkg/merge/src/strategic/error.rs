//! What can be wrong with a strategic merge patch, in upstream's words.

use kcp_apimachinery::Status;
use serde_json::Value;

use super::Object;
use crate::{go, plain_error, unprocessable};

#[derive(Debug)]
pub(super) enum Error {
    PrimitiveList,
    RetainKeys,
    ElementOrder,
    ListOfLists,
    Plain(String),
}

impl Error {
    pub(super) fn unknown_directive(directive: &Value, map: &Object) -> Self {
        let map = go::plain(&Value::Object(map.clone()));
        Self::Plain(format!("unknown patch type: {} in map: {map}", go::plain(directive)))
    }

    pub(super) fn no_merge_key(map: &Object, key: &str) -> Self {
        let map = go::plain(&Value::Object(map.clone()));
        Self::Plain(format!("map: {map} does not contain declared merge key: {key}"))
    }

    pub(super) fn list_wanted(value: &Value) -> Self {
        Self::Plain(format!("expected a []interface {{}}, but received a {}", go_name(value)))
    }

    pub(super) fn map_wanted(value: &Value) -> Self {
        Self::Plain(format!("expected a map[string]interface {{}}, but received a {}", go_name(value)))
    }

    pub(super) fn mixed_items(lists: &[&[Value]]) -> Self {
        let lists: Vec<String> = lists.iter().map(|l| go::plain(&Value::Array(l.to_vec()))).collect();
        Self::Plain(format!("list element types are not identical: [{}]", lists.join(" ")))
    }
}

/// The Go type of a decoded value.
pub(super) fn go_name(value: &Value) -> &'static str {
    go::type_name(value)
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::PrimitiveList => Self::bad_request("invalid patch format of primitive list"),
            Error::RetainKeys => Self::bad_request("invalid patch format of retainKeys"),
            Error::ElementOrder => Self::bad_request("invalid patch format of setElementOrder list"),
            Error::ListOfLists => unprocessable(),
            Error::Plain(text) => plain_error(text),
        }
    }
}
