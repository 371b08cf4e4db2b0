//! Impersonation at the gate (AN-13): what is beyond everybody's reach, and the end of all identity headers (T-12).
//! Reading the headers and the questions that must be answered are `kcp_authentication`'s.

use http::{HeaderMap, HeaderName, header};
use kcp_apimachinery::{Status, UserInfo, user};
use kcp_authentication::impersonation::Impersonation;
use kcp_authorization::Attributes;

/// Reads the headers; `None` when nobody is impersonated.
///
/// # Errors
/// 400 for parts of an identity without a name, or text that is none.
pub(crate) fn requested(headers: &HeaderMap) -> Result<Option<Impersonation>, Status> {
    Impersonation::parse(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// Drops everything that says who somebody is (T-12): handlers never see a credential.
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    let identity = |n: &HeaderName| n.as_str().starts_with("x-remote-") || n.as_str().starts_with("impersonate-");
    if headers.keys().any(identity) {
        let names: Vec<HeaderName> = headers.keys().filter(|n| identity(n)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Lets `asker` become whom it wants to be for `request`, when everything asked of `may` is allowed.
///
/// Groups that mean power over the whole server are out of reach of whoever does not have it already, whatever the RBAC
/// of a workspace says (GHSA-c7xh-gjv4-4jgv).
///
/// # Errors
/// 403 that names what was not allowed.
pub(crate) fn check(
    wanted: &Impersonation,
    asker: &UserInfo,
    request: &Attributes<'_>,
    may: impl Fn(&Attributes<'_>) -> bool,
) -> Result<(), Status> {
    wanted.authorize(asker, request, may)?;
    let global = |g: &&String| *g == user::MASTERS || g.starts_with("system:kcp:");
    if !asker.in_group(user::MASTERS)
        && let Some(group) = wanted.user.groups.iter().find(global)
    {
        let question = Attributes::resource(asker, "impersonate", "", "groups").named("", group);
        return Err(kcp_authorization::forbidden(&question, ""));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn credentials_are_dropped() {
        // T-12
        let mut map = headers(&[
            ("authorization", "Bearer x"),
            ("x-remote-user", "root"),
            ("x-remote-extra-a", "b"),
            ("impersonate-user", "a"),
            ("impersonate-anything", "a"),
            ("accept", "x"),
        ]);
        strip(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn global_power_cannot_be_borrowed() {
        // GHSA-c7xh-gjv4-4jgv
        for group in ["system:masters", "system:kcp:admin"] {
            let wanted =
                requested(&headers(&[("impersonate-user", "jane"), ("impersonate-group", group)])).unwrap().unwrap();
            let ask = |groups: &[&str]| {
                let asker = UserInfo {
                    username: "bob".into(),
                    groups: groups.iter().map(|&g| g.to_owned()).collect(),
                    ..UserInfo::default()
                };
                check(&wanted, &asker, &Attributes::resource(&asker, "list", "", "configmaps"), |_| true).is_ok()
            };
            assert!(!ask(&["system:authenticated"]), "{group}");
            assert!(ask(&["system:masters"]), "{group}");
        }
    }
}
