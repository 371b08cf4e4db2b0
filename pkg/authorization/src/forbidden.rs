//! Refusals (E-07, E-16).

use kcp_apimachinery::{GroupResource, Status, field::go_quote};

use crate::Attributes;

/// `User "u" cannot get resource "widgets" in API group "example.com" in the namespace "ns"` and its like.
pub fn forbidden_message(a: &Attributes<'_>) -> String {
    let user = go_quote(&a.user.username);
    let text = if !a.is_resource {
        format!("User {user} cannot {} path {}", a.verb, go_quote(a.path))
    } else {
        let resource = match a.subresource {
            "" => go_quote(a.resource),
            sub => go_quote(&format!("{}/{sub}", a.resource)),
        };
        let place = match a.namespace {
            "" => "at the cluster scope".to_owned(),
            ns => format!("in the namespace {}", go_quote(ns)),
        };
        format!("User {user} cannot {} resource {resource} in API group {} {place}", a.verb, go_quote(a.group))
    };
    // Some clients show it as HTML (E-16).
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The 403 for a request that nobody allowed. `reason` may be empty.
pub fn forbidden(a: &Attributes<'_>, reason: impl std::fmt::Display) -> Status {
    let mut text = forbidden_message(a);
    let reason = reason.to_string();
    if !reason.is_empty() {
        text.push_str(": ");
        text.push_str(&reason);
    }
    Status::forbidden(&GroupResource::new(a.group, a.resource), a.name, text)
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::UserInfo;

    use super::*;

    #[test]
    fn refusals_name_the_request_e07() {
        let user = UserInfo { username: "u".into(), ..UserInfo::default() };
        let get = Attributes::resource(&user, "get", "example.com", "widgets");
        let status = Attributes { subresource: "status", ..Attributes::resource(&user, "get", "", "namespaces") };
        let cases = [
            (
                get.named("ns", "x"),
                "",
                "widgets.example.com \"x\" is forbidden: User \"u\" cannot get resource \"widgets\" in API group \"example.com\" in the namespace \"ns\"",
            ),
            (
                get,
                "",
                "widgets.example.com is forbidden: User \"u\" cannot get resource \"widgets\" in API group \"example.com\" at the cluster scope",
            ),
            (
                status.named("n", "n"),
                "",
                "namespaces \"n\" is forbidden: User \"u\" cannot get resource \"namespaces/status\" in API group \"\" in the namespace \"n\"",
            ),
            (
                Attributes::path(&user, "get", "/"),
                "\"root:default\" workspace access not permitted",
                "forbidden: User \"u\" cannot get path \"/\": \"root:default\" workspace access not permitted",
            ),
            (Attributes::path(&user, "get", "/<a>&"), "", "forbidden: User \"u\" cannot get path \"/&lt;a&gt;&amp;\""),
        ];
        for (attributes, reason, want) in cases {
            let status = forbidden(&attributes, reason);
            assert_eq!((status.message.as_str(), status.code), (want, 403));
        }
        let wire = forbidden(&Attributes::path(&user, "get", "/"), "").to_value();
        assert_eq!(wire["details"], serde_json::json!({}));
    }
}
