//! How one logical cluster sees users of another.

use std::borrow::Cow;

use kcp_apimachinery::{UserInfo, user};
use kcp_logicalcluster::ClusterName;

/// The prefix of the names of service accounts, in their own logical cluster.
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// The prefix of the names of service accounts of other logical clusters: `<prefix><cluster>:<namespace>:<name>`.
pub const FOREIGN_SERVICE_ACCOUNT: &str = "system:kcp:serviceaccount:";
/// The prefix of the group of all service accounts of a logical cluster, as others see them.
pub const CLUSTER_GROUP: &str = "system:cluster:";

/// The user as the logical cluster `cluster` sees it. A service account of another cluster loses its name and its groups
/// (they mean something else here) for ones that say where it is from (LC-06). Everybody else is the same everywhere.
pub fn seen_from<'a>(user: &'a UserInfo, cluster: &ClusterName) -> Cow<'a, UserInfo> {
    let home = match user.service_account_cluster() {
        Some(home) if home != cluster.as_str() => home,
        _ => return Cow::Borrowed(user),
    };
    let Some((namespace, name)) = split_service_account(&user.username) else { return Cow::Borrowed(user) };
    Cow::Owned(UserInfo {
        username: format!("{FOREIGN_SERVICE_ACCOUNT}{home}:{namespace}:{name}"),
        groups: vec![format!("{CLUSTER_GROUP}{home}"), user::AUTHENTICATED.to_owned()],
        ..user.clone()
    })
}

/// The user that a service account is.
pub fn service_account(namespace: &str, name: &str, uid: &str) -> UserInfo {
    UserInfo {
        username: format!("{SERVICE_ACCOUNT}{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: service_account_groups(namespace),
        ..UserInfo::default()
    }
}

/// The groups of the service accounts in `namespace`.
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        user::AUTHENTICATED.to_owned(),
    ]
}

/// Namespace and name in the username of a service account.
pub fn split_service_account(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_accounts_are_foreign_elsewhere() {
        let mut bot = service_account("ns", "bot", "1");
        bot.extra.insert(user::EXTRA_CLUSTER.into(), vec!["abc".into()]);
        let (home, other) = (ClusterName::new("abc").unwrap(), ClusterName::root());
        assert_eq!(seen_from(&bot, &home).username, "system:serviceaccount:ns:bot");
        let foreign = seen_from(&bot, &other);
        assert_eq!(foreign.username, "system:kcp:serviceaccount:abc:ns:bot");
        assert_eq!(foreign.groups, ["system:cluster:abc", "system:authenticated"]);
        assert!(matches!(seen_from(&UserInfo::anonymous(), &other), Cow::Borrowed(_)));
    }

    #[test]
    fn names_of_service_accounts() {
        assert_eq!(split_service_account("system:serviceaccount:a:b"), Some(("a", "b")));
        for bad in ["system:serviceaccount:a", "system:serviceaccount::b", "system:serviceaccount:a:b:c", "a:b"] {
            assert_eq!(split_service_account(bad), None, "{bad}");
        }
    }
}
