//! Tables over a made-up tree: `root` > `org` > `team` > `deep`, and `root` > `other`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::*;

/// A tree and what is stored in its logical clusters.
#[derive(Default)]
struct World {
    /// The parent and the name of each logical cluster; its own name is its path with `-` for `:`.
    parents: HashMap<&'static str, (&'static str, &'static str)>,
    /// Who made it: user and, for a service account, its home.
    owners: HashMap<&'static str, (&'static str, Option<&'static str>)>,
    initializers: HashMap<&'static str, (&'static str, &'static str)>,
    roles: HashMap<&'static str, Vec<Value>>,
    bindings: HashMap<&'static str, Vec<Value>>,
}

fn name(text: &str) -> ClusterName {
    ClusterName::new(text).unwrap()
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        for (cluster, parent, name) in
            [("org", "root", "org"), ("team", "org", "team"), ("deep", "team", "deep"), ("other", "root", "other")]
        {
            world.parents.insert(cluster, (parent, name));
        }
        world
    }

    /// Grants verbs on a workspace's content in its parent.
    fn content(self, parent: &'static str, workspace: &str, verbs: &[&str], subjects: &[(&str, &str)]) -> Self {
        let rule = json!({"apiGroups": ["tenancy.kcp.io"], "resources": ["workspaces/content"], "resourceNames": [workspace], "verbs": verbs});
        self.grant(parent, rule, subjects)
    }

    fn grant(mut self, cluster: &'static str, rule: Value, subjects: &[(&str, &str)]) -> Self {
        let bindings = self.bindings.entry(cluster).or_default();
        let role = format!("r{}", bindings.len());
        let subjects: Vec<Value> = subjects
            .iter()
            .map(|(kind, who)| match who.split_once('/') {
                Some((namespace, name)) => json!({"kind": kind, "namespace": namespace, "name": name}),
                None => json!({"kind": kind, "name": who}),
            })
            .collect();
        bindings.push(json!({
            "metadata": {"name": role}, "subjects": subjects, "roleRef": {"kind": "ClusterRole", "name": role},
        }));
        self.roles.entry(cluster).or_default().push(json!({"metadata": {"name": role}, "rules": [rule]}));
        self
    }

    /// All of what may be done in a cluster, to these.
    fn admin(self, cluster: &'static str, subjects: &[(&str, &str)]) -> Self {
        self.grant(cluster, json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}), subjects)
    }

    fn owned(mut self, cluster: &'static str, user: &'static str, home: Option<&'static str>) -> Self {
        self.owners.insert(cluster, (user, home));
        self
    }

    fn authorizer(self) -> ServerAuthorizer {
        let world = Arc::new(self);
        ServerAuthorizer::new(world.clone(), world, true)
    }
}

impl Policies for World {
    fn policy(&self, cluster: &ClusterName) -> Arc<RbacIndex> {
        let of = |map: &HashMap<&'static str, Vec<Value>>| map.get(cluster.as_str()).cloned().unwrap_or_default();
        Arc::new(RbacIndex::build(&bootstrap::layer(), &of(&self.roles), [], &of(&self.bindings), []))
    }
}

impl Tree for World {
    fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)> {
        self.parents.get(cluster.as_str()).map(|(parent, n)| (name(parent), (*n).to_owned()))
    }

    fn child(&self, parent: &ClusterName, child: &str) -> Option<ClusterName> {
        self.parents.iter().find(|(_, (p, n))| *p == parent.as_str() && *n == child).map(|(c, _)| name(c))
    }

    fn is_owner(&self, cluster: &ClusterName, user: &UserInfo) -> bool {
        self.owners.get(cluster.as_str()) == Some(&(user.username.as_str(), user.service_account_cluster()))
    }

    fn initializers(&self, cluster: &ClusterName) -> Vec<(ClusterName, String)> {
        self.initializers.get(cluster.as_str()).map(|(c, n)| (name(c), (*n).to_owned())).into_iter().collect()
    }
}

fn person(username: &str, groups: &[&str]) -> UserInfo {
    let groups = groups.iter().copied().chain([user::AUTHENTICATED]).map(str::to_owned).collect();
    UserInfo { username: username.into(), groups, ..UserInfo::default() }
}

/// The service account `ns/bot` of a logical cluster.
fn account(home: &str) -> UserInfo {
    let mut account = identity::service_account("ns", "bot", "u");
    account.extra.insert(user::EXTRA_CLUSTER.into(), vec![home.into()]);
    account
}

fn may(a: &ServerAuthorizer, cluster: &str, user: &UserInfo, verb: &str, resource: &str) -> bool {
    asked(a, cluster, &Attributes::resource(user, verb, "", resource).named("ns", "x")).allowed
}

fn asked(a: &ServerAuthorizer, cluster: &str, attributes: &Attributes<'_>) -> Verdict {
    a.authorize(&Cluster::One(Resolved::named(name(cluster))), attributes)
}

/// `-`: not at all; `a`: may enter, and do nothing more; `A`: administers.
fn entry(a: &ServerAuthorizer, cluster: &str, user: &UserInfo) -> char {
    let discovers = asked(a, cluster, &Attributes::path(user, "get", "/api")).allowed;
    match (discovers, may(a, cluster, user, "delete", "secrets")) {
        (false, false) => '-',
        (true, false) => 'a',
        (true, true) => 'A',
        (false, true) => panic!("{} may do everything in {cluster} and not enter it", user.username),
    }
}

#[test]
fn workspaces_are_entered_by_what_their_parents_say() {
    let a = World::new()
        .content("root", "org", &["access"], &[("User", "member"), ("Group", "members")])
        .content("root", "org", &["admin", "access"], &[("User", "chief")])
        .content("org", "team", &["access"], &[("User", "member"), ("ServiceAccount", "ns/bot")])
        .content("org", "team", &["admin"], &[("User", "lead")])
        .content("org", "team", &["access"], &[("User", "system:kcp:serviceaccount:other:ns:bot")])
        .content("team", "deep", &["access"], &[("Group", "system:cluster:other")])
        .owned("team", "maker", None)
        .authorizer();
    let anonymous = UserInfo::anonymous();
    for (user, want) in [
        // root, org, team, deep, other
        (anonymous, "-----"),
        (person("stranger", &[]), "a----"),
        (person("member", &[]), "aaa--"),
        (person("somebody", &["members"]), "aa---"),
        // Who administers a workspace administers all below it.
        (person("chief", &[]), "aAAA-"),
        (person("lead", &[]), "a-AA-"),
        (person("maker", &[]), "a-AA-"),
        // Names are compared whole.
        (person("make", &[]), "a----"),
        (person("maker1", &[]), "a----"),
        (account("org"), "aaa--"),
        (account("team"), "a-a--"),
        // The same names, from elsewhere.
        (account("other"), "a-aaa"),
        (account("deep"), "a--a-"),
        // Groups that only the server gives.
        (person("liar", &[tenancy::ADMIN_GROUP, tenancy::ACCESS_GROUP]), "a----"),
        (person("root", &[user::MASTERS]), "AAAAA"),
    ] {
        let got: String = ["root", "org", "team", "deep", "other"].map(|c| entry(&a, c, &user)).iter().collect();
        assert_eq!(got, want, "{} {:?} {:?}", user.username, user.groups, user.extra);
    }
}

#[test]
fn refusals_name_the_workspace_as_it_was_asked_for() {
    let a = World::new().authorizer();
    let who = person("alice", &[]);
    let cluster = Cluster::One(Resolved { path: "root:org".into(), ..Resolved::named(name("org")) });
    let verdict = a.authorize(&cluster, &Attributes::path(&who, "get", "/"));
    assert_eq!((verdict.allowed, verdict.reason.as_str()), (false, "\"root:org\" workspace access not permitted"));
    assert!(!a.authorize(&Cluster::All, &Attributes::resource(&who, "list", "", "secrets")).allowed);
    let root = person("root", &[user::MASTERS]);
    assert!(a.authorize(&Cluster::All, &Attributes::resource(&root, "list", "", "secrets")).allowed);
}

/// A service account is at home in one workspace: a person of its name, and its namesake elsewhere, are others.
#[test]
fn names_of_service_accounts_are_no_proof() {
    let bot = "system:serviceaccount:ns:bot";
    let a = World::new().owned("team", bot, Some("org")).owned("other", bot, None).authorizer();
    for (user, team, other) in [
        (account("org"), 'A', '-'),
        (person(bot, &[]), '-', 'A'),
        (account("deep"), '-', '-'),
        (account("root"), '-', '-'),
    ] {
        assert_eq!((entry(&a, "team", &user), entry(&a, "other", &user)), (team, other), "{:?}", user.extra);
    }
}

/// What is stored in a workspace neither makes anyone its administrator's equal in another nor locks the administrator out.
#[test]
fn administrators_cannot_be_locked_out() {
    let mut world = World::new().content("root", "org", &["admin"], &[("User", "chief")]);
    world.roles.insert("org", vec![json!({"metadata": {"name": "cluster-admin"}, "rules": []})]);
    world.bindings.insert(
        "org",
        vec![json!({"metadata": {"name": tenancy::ADMIN_GROUP}, "subjects": [], "roleRef": {"kind": "ClusterRole", "name": "x"}})],
    );
    let a = world.authorizer();
    let chief = person("chief", &[]);
    assert_eq!(entry(&a, "org", &chief), 'A');
    assert_eq!(entry(&a, "team", &chief), 'A', "nor from what is below");
    assert!(a.effective(&name("org"), &chief).in_group(tenancy::ADMIN_GROUP));
    assert!(!a.effective(&name("other"), &chief).in_group(tenancy::ADMIN_GROUP));
}

#[test]
fn whoever_made_a_workspace_may_see_and_delete_it() {
    let a = World::new().owned("org", "alice", None).authorizer();
    let verbs = |user: &UserInfo, workspace: &str, subresource: &str| -> Vec<&str> {
        let all = ["get", "list", "watch", "delete", "update", "patch", "create", "deletecollection"];
        let question = |verb| Attributes {
            subresource,
            ..Attributes::resource(user, verb, tenancy::GROUP, "workspaces").named("", workspace)
        };
        all.into_iter().filter(|verb| asked(&a, "root", &question(verb)).allowed).collect()
    };
    let (alice, bob) = (person("alice", &[]), person("bob", &[]));
    assert_eq!(verbs(&alice, "org", ""), ["get", "list", "watch", "delete"]);
    assert!(verbs(&alice, "org", "status").is_empty() && verbs(&alice, "", "").is_empty());
    assert!(verbs(&alice, "other", "").is_empty() && verbs(&bob, "org", "").is_empty());
    assert_eq!(verbs(&bob, "~", ""), ["get"]);
    let in_org = Attributes::resource(&alice, "get", tenancy::GROUP, "workspaces").named("", "~");
    assert!(asked(&a, "root", &in_org).allowed && !asked(&a, "other", &in_org).allowed);
    for (verb, kind, want) in [
        ("use", "team", true),
        ("use", "home", false),
        ("use", "root", false),
        ("get", "home", true),
        ("delete", "team", false),
    ] {
        let question = Attributes::resource(&bob, verb, tenancy::GROUP, "workspacetypes").named("", kind);
        assert_eq!(asked(&a, "root", &question).allowed, want, "{verb} {kind}");
    }
}

/// A workspace that was deleted and made again is another: rights by name come back with its name, those by ownership and
/// those of its old accounts do not.
#[test]
fn a_workspace_made_again_is_new() {
    let before = || World::new().content("root", "org", &["access"], &[("User", "member")]);
    let a = before().owned("org", "alice", None).authorizer();
    let mut world = before();
    world.parents.insert("again", ("root", "org"));
    world.parents.remove("org");
    let b = world.owned("again", "bob", None).authorizer();
    for (user, old, new) in [
        (person("alice", &[]), 'A', '-'),
        (person("bob", &[]), '-', 'A'),
        (person("member", &[]), 'a', 'a'),
        (account("org"), 'a', '-'),
    ] {
        assert_eq!((entry(&a, "org", &user), entry(&b, "again", &user)), (old, new), "{}", user.username);
        assert!(
            user.service_account_cluster().is_some() || entry(&b, "org", &user) == '-',
            "what is gone has no parent"
        );
    }
}

/// Who is impersonated with the rights of one workspace is nobody in particular in others, whoever that is there.
#[test]
fn impersonation_ends_at_the_workspace() {
    let a = World::new()
        .content("root", "org", &["access"], &[("User", "boss")])
        .admin("root", &[("User", "boss")])
        .admin("other", &[("User", "boss")])
        .content("root", "other", &["access"], &[("User", "boss")])
        .grant("org", json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"]}), &[("User", "boss")])
        .authorizer();
    let boss = person("boss", &[]);
    let mut borrowed = boss.clone();
    borrowed.extra.insert(user::EXTRA_SCOPES.into(), vec!["cluster:org".into()]);
    let at = |user: &UserInfo| -> String { ["root", "org", "other"].map(|c| entry(&a, c, user)).iter().collect() };
    assert_eq!((at(&boss).as_str(), at(&borrowed).as_str()), ("AAA", "aA-"));
    let use_home = Attributes::resource(&borrowed, "use", tenancy::GROUP, "workspacetypes").named("", "home");
    assert!(!asked(&a, "root", &use_home).allowed, "types of a parent are used with one's own rights");
    assert_eq!(a.effective(&name("root"), &borrowed).username, user::ANONYMOUS);
}

#[test]
fn what_the_system_is_cannot_be_borrowed() {
    let a = World::new().content("root", "org", &["admin"], &[("User", "chief")]).authorizer();
    let chief = person("chief", &[]);
    for verb in ["impersonate", "impersonate:user-info"] {
        for (resource, subresource, who, want) in [
            ("users", "", "bob", true),
            ("users", "", "system:kcp:serviceaccount:x:ns:bot", false),
            ("users", "", "system:kcp-controllers", false),
            ("users", "", "system:apiserver", false),
            ("users", "", "system:node:n", false),
            ("groups", "", "crew", true),
            ("groups", "", "system:masters", false),
            ("groups", "", "system:kcp:workspace:admin", false),
            ("userextras", "scopes", "x", true),
            ("userextras", "authentication.kcp.io/cluster-name", "other", false),
            ("userextras", "authentication.kcp.io/scopes", "cluster:other", false),
            ("serviceaccounts", "", "bot", true),
        ] {
            let group = if resource == "userextras" { "authentication.k8s.io" } else { "" };
            let question =
                Attributes { subresource, ..Attributes::resource(&chief, verb, group, resource).named("", who) };
            assert_eq!(asked(&a, "org", &question).allowed, want, "{verb} {resource} {who}");
        }
    }
}

/// Who may initialize workspaces of a type administers those that wait for it, until they do no longer.
#[test]
fn initializers_enter_while_they_are_waited_for() {
    let rule = json!({"apiGroups": ["tenancy.kcp.io"], "resources": ["workspacetypes"], "resourceNames": ["slow"], "verbs": ["initialize"]});
    let world = || World::new().grant("root", rule.clone(), &[("User", "initializer")]);
    let mut waiting = world();
    waiting.initializers.insert("org", ("root", "slow"));
    let mut another = world();
    another.initializers.insert("org", ("root", "other"));
    let user = person("initializer", &[]);
    assert_eq!(entry(&waiting.authorizer(), "org", &user), 'A');
    assert_eq!(entry(&another.authorizer(), "org", &user), '-');
    assert_eq!(entry(&world().authorizer(), "org", &user), '-');
}

/// Health and version are everybody's, in whatever place; what only looks like them is not.
#[test]
fn public_paths() {
    let a = World::new().authorizer();
    let anonymous = UserInfo::anonymous();
    for (path, want) in [
        ("/healthz", true),
        ("/readyz", true),
        ("/livez", true),
        ("/version", true),
        ("/", false),
        ("/api", false),
        ("/openapi/v2", false),
        ("/metrics", false),
        ("/healthzz", false),
        ("/versions", false),
    ] {
        assert_eq!(asked(&a, "org", &Attributes::path(&anonymous, "get", path)).allowed, want, "{path}");
    }
    assert!(!asked(&a, "org", &Attributes::path(&anonymous, "post", "/version")).allowed);
}

/// Without workspaces the policy alone decides, and brought groups mean nothing.
#[test]
fn physical_clusters_have_rbac_only() {
    let world = Arc::new(World::new().admin("system:admin", &[("User", "alice")]));
    let a = ServerAuthorizer::new(world.clone(), world, false);
    for (user, want) in [
        (person("alice", &[]), 'A'),
        (person("bob", &[]), 'a'),
        (person("liar", &[tenancy::ADMIN_GROUP]), 'a'),
        (UserInfo::anonymous(), '-'),
    ] {
        assert_eq!(entry(&a, "system:admin", &user), want, "{}", user.username);
    }
}

/// Workspaces in each other, each waiting for eight initializers of its parent.
struct Nest(std::sync::atomic::AtomicUsize);

impl Tree for Nest {
    fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)> {
        let depth: usize = cluster.as_str().strip_prefix('w')?.parse().ok()?;
        let parent = if depth == 0 { ClusterName::root() } else { name(&format!("w{}", depth - 1)) };
        Some((parent, "w".into()))
    }

    fn child(&self, _: &ClusterName, _: &str) -> Option<ClusterName> {
        None
    }

    fn is_owner(&self, _: &ClusterName, _: &UserInfo) -> bool {
        false
    }

    fn initializers(&self, cluster: &ClusterName) -> Vec<(ClusterName, String)> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.parent(cluster)
            .map(|(parent, _)| (0..8).map(|i| (parent.clone(), format!("t{i}"))).collect())
            .unwrap_or_default()
    }
}

#[test]
fn a_nest_of_initializers_is_looked_at_once() {
    let nest = Arc::new(Nest(0.into()));
    let a = ServerAuthorizer::new(Arc::new(World::new()), nest.clone(), true);
    assert!(!asked(&a, "w40", &Attributes::path(&person("bob", &[]), "get", "/api")).allowed);
    assert_eq!(nest.0.load(std::sync::atomic::Ordering::Relaxed), 41);
}
