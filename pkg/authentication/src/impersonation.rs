//! Acting as somebody else: what the `Impersonate-*` headers ask for, and what it takes (AN-13, AN-14).
//!
//! Pure. Whoever serves the request reads the headers with [`Impersonation::parse`], then lets
//! [`Impersonation::authorize`] put the questions to the authorizer. The headers must not go any further (T-12).

use std::collections::BTreeMap;

use kcp_apimachinery::{Status, UserInfo, field::go_quote, user};
use kcp_authorization::{Attributes, OwnedAttributes, forbidden};
use percent_encoding::percent_decode_str;

use crate::identity;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Whether a header, its name in lower case, is one of those that must not go further than the gate.
pub fn is_impersonation_header(name: &str) -> bool {
    matches!(name, USER | GROUP | UID) || name.starts_with(EXTRA)
}

/// A wish to be somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// Whom the requester wants to be, complete with the groups that come by themselves.
    pub user: UserInfo,
    /// What was asked for literally.
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// Reads the headers, names in lower case; `None` when none of them is about impersonation.
    ///
    /// # Errors
    /// 400 when groups, uid or extra are given without a user, or a header is malformed.
    pub fn parse<'h>(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Result<Option<Self>, Status> {
        let mut wanted = Wanted::default();
        let mut any = false;
        for (name, value) in headers.into_iter().filter(|(name, _)| is_impersonation_header(name)) {
            let value = std::str::from_utf8(value)
                .map_err(|_| Status::bad_request(format!("the header {} is not UTF-8", go_quote(name))))?
                .to_owned();
            any = true;
            match name {
                // An empty one is as good as none.
                USER => wanted.user = value,
                UID => wanted.uid = value,
                GROUP => wanted.groups.push(value),
                _ => {
                    let key = name.strip_prefix(EXTRA).unwrap_or_default();
                    let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
                    wanted.extra.entry(key).or_default().push(value);
                }
            }
        }
        if !any || wanted == Wanted::default() {
            return Ok(None);
        }
        if wanted.user.is_empty() {
            return Err(Status::bad_request(format!(
                "requested {} without impersonating a user name",
                go_syntax(&wanted)
            )));
        }
        Ok(Some(Self { user: complete(&wanted), wanted }))
    }

    /// The questions that all must be allowed: the verb `impersonate` on the user, on each group, on each value of extra,
    /// on the uid.
    pub fn checks(&self, requester: &UserInfo) -> Vec<OwnedAttributes> {
        self.questions(requester, "impersonate", false)
    }

    /// The questions of the constrained form (AN-14), all of which must be allowed: to do on behalf of others what the
    /// request does, and to be the one wanted. `None` when there is no such form for whom is wanted.
    pub fn constrained_checks(&self, requester: &UserInfo, request: &Attributes<'_>) -> Option<Vec<OwnedAttributes>> {
        let mode = self.mode()?;
        let mut all = vec![owned(&Attributes { user: requester, ..*request })];
        all[0].verb = format!("impersonate-on:{mode}:{}", request.verb);
        all.extend(self.questions(requester, &format!("impersonate:{mode}"), true));
        Some(all)
    }

    /// Whether `requester` may be whom it wants to be for `request`.
    ///
    /// # Errors
    /// With the 403 to answer; it names the question that was answered with no.
    pub fn authorize(
        &self,
        requester: &UserInfo,
        request: &Attributes<'_>,
        allowed: impl Fn(&Attributes<'_>) -> bool,
    ) -> Result<(), Status> {
        let denied = |questions: Vec<OwnedAttributes>| questions.into_iter().find(|q| !allowed(&q.borrow()));
        let Some(legacy) = denied(self.checks(requester)) else { return Ok(()) };
        match self.constrained_checks(requester, request) {
            None => Err(forbidden(&legacy.borrow(), "")),
            Some(questions) => denied(questions).map_or(Ok(()), |q| Err(forbidden(&q.borrow(), ""))),
        }
    }

    /// The constrained form for whom is wanted: a service account as it is, or a user who is no part of the system.
    fn mode(&self) -> Option<&'static str> {
        let w = &self.wanted;
        if w.groups.iter().any(|g| g == user::MASTERS) {
            return None;
        }
        if w.user.starts_with(identity::SERVICE_ACCOUNT) {
            let plain = w.groups.is_empty() && w.uid.is_empty() && w.extra.is_empty();
            return plain.then_some("serviceaccount");
        }
        (!w.user.starts_with("system:node:")).then_some("user-info")
    }

    fn questions(&self, requester: &UserInfo, verb: &str, constrained: bool) -> Vec<OwnedAttributes> {
        let w = &self.wanted;
        let core = if constrained { AUTHENTICATION } else { "" };
        let ask = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| OwnedAttributes {
            user: requester.clone(),
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..OwnedAttributes::default()
        };
        let mut all = vec![match identity::split_service_account(&w.user) {
            Some((namespace, name)) => ask(core, "serviceaccounts", "", namespace, name),
            None => ask(core, "users", "", "", &w.user),
        }];
        all.extend(w.groups.iter().map(|group| ask(core, "groups", "", "", group)));
        for (key, values) in &w.extra {
            all.extend(values.iter().map(|value| ask(AUTHENTICATION, "userextras", key, "", value)));
        }
        if !w.uid.is_empty() {
            all.push(ask(AUTHENTICATION, "uids", "", "", &w.uid));
        }
        all
    }
}

fn owned(a: &Attributes<'_>) -> OwnedAttributes {
    OwnedAttributes {
        user: a.user.clone(),
        verb: a.verb.to_owned(),
        group: a.group.to_owned(),
        version: a.version.to_owned(),
        resource: a.resource.to_owned(),
        subresource: a.subresource.to_owned(),
        name: a.name.to_owned(),
        namespace: a.namespace.to_owned(),
        path: a.path.to_owned(),
        is_resource: a.is_resource,
    }
}

/// Adds the groups that come by themselves.
fn complete(wanted: &Wanted) -> UserInfo {
    let mut groups = wanted.groups.clone();
    if let (true, Some((namespace, _))) = (groups.is_empty(), identity::split_service_account(&wanted.user)) {
        groups = identity::service_account_groups(namespace);
    }
    let settled = groups.iter().any(|g| g == user::AUTHENTICATED || g == user::UNAUTHENTICATED);
    if !settled {
        let own = if wanted.user == user::ANONYMOUS { user::UNAUTHENTICATED } else { user::AUTHENTICATED };
        groups.push(own.to_owned());
    }
    UserInfo { username: wanted.user.clone(), uid: wanted.uid.clone(), groups, extra: wanted.extra.clone() }
}

/// What was wanted as Kubernetes prints it: a Go literal.
fn go_syntax(wanted: &Wanted) -> String {
    let list = |texts: &[String]| {
        let quoted: Vec<String> = texts.iter().map(|t| go_quote(t)).collect();
        if quoted.is_empty() { "[]string(nil)".to_owned() } else { format!("[]string{{{}}}", quoted.join(", ")) }
    };
    let extra: Vec<String> = wanted.extra.iter().map(|(k, v)| format!("{}:{}", go_quote(k), list(v))).collect();
    let extra = if extra.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", extra.join(", ")) };
    format!(
        "&user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:map[string][]string{extra}}}",
        go_quote(&wanted.uid),
        list(&wanted.groups)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[(&str, &str)]) -> Result<Option<Impersonation>, Status> {
        Impersonation::parse(headers.iter().map(|(k, v)| (*k, v.as_bytes())))
    }

    fn user_of(headers: &[(&str, &str)]) -> UserInfo {
        parse(headers).unwrap().unwrap().user
    }

    #[test]
    fn headers_say_who_is_wanted_an13() {
        assert_eq!(parse(&[("accept", "x")]), Ok(None));
        assert_eq!(user_of(&[(USER, "ann"), (GROUP, "crew")]).groups, ["crew", "system:authenticated"]);
        let extra = user_of(&[
            (USER, "ann"),
            (UID, "u-77"),
            ("impersonate-extra-scopes%2fa", "one"),
            ("impersonate-extra-scopes%2fa", "two"),
            (GROUP, "system:authenticated"),
        ]);
        assert_eq!((extra.uid.as_str(), &extra.extra["scopes/a"]), ("u-77", &vec!["one".to_owned(), "two".to_owned()]));
        assert_eq!(extra.groups, ["system:authenticated"]);
        let bot = user_of(&[(USER, "system:serviceaccount:ns:x")]);
        assert_eq!(bot.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
        assert_eq!(user_of(&[(USER, "system:anonymous")]).groups, ["system:unauthenticated"]);
    }

    #[test]
    fn groups_alone_are_refused_an13() {
        let text = |headers: &[(&str, &str)]| parse(headers).unwrap_err().message;
        assert_eq!(
            text(&[(GROUP, "x")]),
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"x\"}, Extra:map[string][]string(nil)} without impersonating a user name"
        );
        assert_eq!(
            text(&[(UID, "1"), ("impersonate-extra-k", "v")]),
            "requested &user.DefaultInfo{Name:\"\", UID:\"1\", Groups:[]string(nil), Extra:map[string][]string{\"k\":[]string{\"v\"}}} without impersonating a user name"
        );
    }

    #[test]
    fn every_part_must_be_allowed_an13() {
        let me = UserInfo { username: "me".into(), ..UserInfo::default() };
        let wish = parse(&[(USER, "ann"), (GROUP, "g"), ("impersonate-extra-k", "v"), (UID, "1")]).unwrap().unwrap();
        let asked: Vec<String> = wish
            .checks(&me)
            .iter()
            .map(|q| format!("{} {}.{}/{} {}", q.verb, q.resource, q.group, q.subresource, q.name))
            .collect();
        assert_eq!(
            asked,
            [
                "impersonate users./ ann",
                "impersonate groups./ g",
                "impersonate userextras.authentication.k8s.io/k v",
                "impersonate uids.authentication.k8s.io/ 1"
            ]
        );
        let request = Attributes::resource(&me, "list", "", "configmaps").named("ns", "");
        assert_eq!(wish.authorize(&me, &request, |q| q.verb == "impersonate"), Ok(()));
        assert!(wish.authorize(&me, &request, |q| q.verb == "impersonate" && q.resource != "groups").is_err());
    }

    #[test]
    fn refusals_name_the_request_that_was_meant_an14() {
        let me = UserInfo { username: "me".into(), ..UserInfo::default() };
        let request = Attributes::resource(&me, "list", "", "configmaps").named("ns", "");
        let refusal = |headers: &[(&str, &str)]| {
            parse(headers).unwrap().unwrap().authorize(&me, &request, |_| false).unwrap_err().message
        };
        assert_eq!(
            refusal(&[(USER, "jane")]),
            "configmaps is forbidden: User \"me\" cannot impersonate-on:user-info:list resource \"configmaps\" in API group \"\" in the namespace \"ns\""
        );
        assert_eq!(
            refusal(&[(USER, "system:serviceaccount:ns:other"), (GROUP, "system:masters")]),
            "serviceaccounts \"other\" is forbidden: User \"me\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"ns\""
        );
        let wish = parse(&[(USER, "jane")]).unwrap().unwrap();
        let constrained = |q: &Attributes<'_>| {
            q.verb == "impersonate-on:user-info:list"
                || (q.verb == "impersonate:user-info" && q.group == AUTHENTICATION)
        };
        assert_eq!(wish.authorize(&me, &request, constrained), Ok(()));
    }
}
