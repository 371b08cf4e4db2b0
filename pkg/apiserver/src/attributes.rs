//! What a request wants, as authorisation sees it: the verb, the name and the labels that it is about (T-04, T-05).

use http::Method;
use kcp_apimachinery::{
    UserInfo,
    selectors::{FieldSelector, LabelSelector},
};
use kcp_authorization::Attributes;

use crate::{path::Target, query::Query};

/// The verb of a path that is no resource: the method in lower case.
pub(crate) fn path_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// The verb of a resource by method and name alone (T-04).
fn plain_verb(method: &Method, name: &str, legacy_watch: bool) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if legacy_watch => "watch",
        Method::GET | Method::HEAD if name.is_empty() => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        _ => "other",
    }
}

pub(crate) fn request_verb(method: &Method, query: &Query<'_>, target: &Target<'_>) -> &'static str {
    let Target::Resource(resource) = target else { return path_verb(method) };
    match plain_verb(method, &resource.name, resource.legacy_watch) {
        "list" if query.flag("watch") == Some(true) => "watch",
        verb => verb,
    }
}

/// What is asked for, as authorisation sees it. `name` is [`authorized_name`].
pub(crate) fn attributes<'a>(
    user: &'a UserInfo,
    verb: &'a str,
    name: &'a str,
    target: &'a Target<'_>,
) -> Attributes<'a> {
    match target {
        Target::Path(path) => Attributes::path(user, verb, path),
        Target::Resource(r) => Attributes {
            version: &r.version,
            subresource: &r.subresource,
            ..Attributes::resource(user, verb, &r.group, &r.resource)
                .named(&r.namespace, if name.is_empty() { &r.name } else { name })
        },
    }
}

/// The label selector that a collection is asked for with; `None` when there is none or it is malformed, which the verb
/// refuses later.
pub(crate) fn label_selector(query: &Query<'_>, verb: &str) -> Option<LabelSelector> {
    let text = query
        .get("labelSelector")
        .filter(|s| !s.is_empty() && matches!(verb, "list" | "watch" | "deletecollection"))?;
    LabelSelector::parse(text).ok()
}

/// The name that the field selector of a list or watch fixes (T-05), empty when there is none.
pub(crate) fn authorized_name(query: &Query<'_>, target: &Target<'_>, verb: &str) -> String {
    if !matches!(verb, "list" | "watch") || matches!(target, Target::Resource(r) if !r.name.is_empty()) {
        return String::new();
    }
    query
        .get("fieldSelector")
        .filter(|s| !s.is_empty())
        .and_then(|s| FieldSelector::parse(s).ok())
        .and_then(|s| s.exact("metadata.name").map(str::to_owned))
        .filter(|n| !n.contains(['/', '%']) && n != "." && n != "..")
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_methods() {
        // T-04, W-17
        for (method, name, legacy, want) in [
            (Method::GET, "", false, "list"),
            (Method::GET, "a", false, "get"),
            (Method::HEAD, "a", false, "get"),
            (Method::GET, "a", true, "watch"),
            (Method::POST, "", false, "create"),
            (Method::PUT, "a", false, "update"),
            (Method::PATCH, "a", false, "patch"),
            (Method::DELETE, "a", false, "delete"),
            (Method::DELETE, "", false, "deletecollection"),
            (Method::OPTIONS, "a", false, "other"),
        ] {
            assert_eq!(plain_verb(&method, name, legacy), want, "{method} {name}");
        }
    }
}
