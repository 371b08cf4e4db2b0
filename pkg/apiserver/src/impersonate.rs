//! Impersonation at the gate (AN-13): what is beyond everybody's reach, and the end of all identity headers (T-12).
//! Reading the headers and the questions that must be answered are `kcp_authentication`'s.

use http::{HeaderMap, HeaderName, header};
use kcp_apimachinery::{Status, UserInfo, user};
use kcp_authentication::{identity, impersonation::Impersonation};
use kcp_authorization::Attributes;

use crate::seams::Cluster;

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

/// The user that is acted as, once that is allowed in `cluster`: a service account is the one of that logical cluster, and
/// whoever does not have power over the whole server borrows an identity for that logical cluster only. `system:admin`,
/// where nobody but operators is, leaves it as it was asked for.
pub(crate) fn settle(mut wanted: UserInfo, asker: &UserInfo, cluster: &Cluster) -> UserInfo {
    let Cluster::One(at) = cluster else { return wanted };
    if at.name.is_system() {
        return wanted;
    }
    let id = at.name.as_str();
    if identity::split_service_account(&wanted.username).is_some() {
        wanted.extra.entry(user::EXTRA_CLUSTER.to_owned()).or_insert_with(|| vec![id.to_owned()]);
    }
    if !asker.in_group(user::MASTERS) {
        wanted.extra.insert(user::EXTRA_SCOPES.to_owned(), vec![format!("cluster:{id}")]);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use kcp_logicalcluster::ClusterName;

    use super::*;
    use crate::seams::Resolved;

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

    #[test]
    fn borrowed_identities_stay_where_they_were_borrowed() {
        let at = |name: &str| Cluster::One(Resolved::named(ClusterName::new(name).unwrap()));
        let bob = UserInfo { username: "bob".into(), ..UserInfo::default() };
        let root = UserInfo { groups: vec![user::MASTERS.into()], ..UserInfo::default() };
        let (jane, bot) = ("jane", "system:serviceaccount:ns:bot");
        for (wanted, asker, cluster, home, scope) in [
            (jane, &bob, at("ws"), None, Some("cluster:ws")),
            (bot, &bob, at("ws"), Some("ws"), Some("cluster:ws")),
            (jane, &root, at("ws"), None, None),
            (bot, &root, at("ws"), Some("ws"), None),
            (bot, &bob, at("system:admin"), None, None),
            (bot, &root, Cluster::All, None, None),
        ] {
            let settled = settle(UserInfo { username: wanted.into(), ..UserInfo::default() }, asker, &cluster);
            let extra = |key: &str| settled.extra.get(key).map(|v| v.join(","));
            let want = (home.map(str::to_owned), scope.map(str::to_owned));
            assert_eq!((extra(user::EXTRA_CLUSTER), extra(user::EXTRA_SCOPES)), want, "{wanted} {cluster:?}");
        }
        let foreign = UserInfo {
            username: bot.into(),
            extra: [(user::EXTRA_CLUSTER.to_owned(), vec!["home".to_owned()])].into(),
            ..UserInfo::default()
        };
        assert_eq!(settle(foreign.clone(), &root, &at("ws")), foreign, "who may say so says where it is from");
    }
}
