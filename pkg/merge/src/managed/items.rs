//! Items of associative lists and the elements that tell them apart (F-12).

use std::borrow::Cow;

use kcp_schema::ListType;
use serde_json::Value;

use super::element::{Element, Scalar};
use crate::node::Node;

/// The element of `item` in a list described by `list`; the error is the text that upstream gives.
pub(crate) fn element<'a>(list: Node<'a>, item: &'a Value) -> Result<Element<'a>, String> {
    match list.list() {
        ListType::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListType::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(Element::Value(Scalar::new(scalar))),
        },
        ListType::Map(keys) => {
            let map = match item {
                Value::Object(map) => map,
                Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
                _ => return Err("associative list with keys may not have non-map elements".to_owned()),
            };
            let fields = list.item();
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                if let Some(value) = map.get(key).or_else(|| fields.key_default(key)) {
                    found.push((Cow::Borrowed(key.as_str()), Scalar::new(value)));
                }
            }
            if found.is_empty() {
                let names: Vec<String> = keys.iter().map(|k| kcp_apimachinery::field::go_quote(k)).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                ));
            }
            Ok(Element::key(found))
        }
    }
}

/// The items of a list with their elements, in the list's order. Items that cannot be told apart are left out.
pub(crate) fn elements<'a>(list: Node<'a>, items: &'a [Value]) -> Vec<(Element<'a>, &'a Value)> {
    items.iter().filter_map(|item| Some((element(list, item).ok()?, item))).collect()
}

/// The items sorted by element; equal ones stay in the list's order.
pub(crate) fn sorted<'a>(list: Node<'a>, items: &'a [Value]) -> Vec<(Element<'a>, &'a Value)> {
    let mut all = elements(list, items);
    if !all.is_sorted_by(|a, b| a.0 <= b.0) {
        all.sort_by(|a, b| a.0.cmp(&b.0));
    }
    all
}
