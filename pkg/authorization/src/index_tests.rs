use kcp_apimachinery::{object, user};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Scope;

fn user(name: &str, groups: &[&str]) -> UserInfo {
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    UserInfo { username: name.into(), groups, ..UserInfo::default() }
}

fn bootstrap() -> Arc<Layer> {
    Arc::new(Layer::from_document(&json!({
        "clusterroles": [
            {"metadata": {"name": "cluster-admin"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]},
            {"metadata": {"name": "discovery"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/openapi/*", "/version"]}]},
            {"metadata": {"name": "view"}, "rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]}},
            {"metadata": {"name": "edit", "labels": {"to-admin": "true"}}, "rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-edit": "true"}}]}},
            {"metadata": {"name": "admin"}, "rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-admin": "true"}}]}},
            {"metadata": {"name": "base-view", "labels": {"to-view": "true"}}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}]},
            {"metadata": {"name": "base-edit", "labels": {"to-edit": "true"}}, "rules": [{"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"]}]}
        ],
        "clusterrolebindings": [
            {"metadata": {"name": "cluster-admin"}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "Group", "name": "system:masters"}]},
            {"metadata": {"name": "discovery"}, "roleRef": {"kind": "ClusterRole", "name": "discovery"}, "subjects": [{"kind": "Group", "name": "system:authenticated"}]}
        ]
    })))
}

fn reason(index: &RbacIndex, attributes: &Attributes<'_>) -> String {
    let decision = index.authorize(attributes);
    format!("{} {}", decision.is_allowed(), decision.reason())
}

#[test]
fn reasons_are_kubernetes_own_az06() {
    let roles = [
        json!({"metadata": {"name": "r", "namespace": "ns"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}]}),
    ];
    let bindings = [
        json!({"metadata": {"name": "b", "namespace": "ns"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "bot"}]}),
        json!({"metadata": {"name": "v", "namespace": "ns"}, "roleRef": {"kind": "ClusterRole", "name": "edit"}, "subjects": [{"kind": "Group", "name": "crew"}]}),
        json!({"metadata": {"name": "lost", "namespace": "ns"}, "roleRef": {"kind": "Role", "name": "none"}, "subjects": [{"kind": "User", "name": "bob"}]}),
    ];
    let index = RbacIndex::build(&bootstrap(), [], &roles, [], &bindings);
    let (ann, bob) = (user("ann", &["crew", user::AUTHENTICATED]), user("bob", &[]));
    let bot = user("system:serviceaccount:ns:bot", &[]);
    let ask = |user, verb| Attributes::resource(user, verb, "", "configmaps").named("ns", "x");
    let cases = [
        (ask(&ann, "get"), "true RBAC: allowed by RoleBinding \"b/ns\" of Role \"r\" to User \"ann\""),
        (ask(&ann, "update"), "true RBAC: allowed by RoleBinding \"v/ns\" of ClusterRole \"edit\" to Group \"crew\""),
        (ask(&bot, "get"), "true RBAC: allowed by RoleBinding \"b/ns\" of Role \"r\" to ServiceAccount \"bot/ns\""),
        (ask(&bob, "get"), "false RBAC: role.rbac.authorization.k8s.io \"none\" not found"),
        (ask(&ann, "delete"), "false "),
        (ask(&ann, "get").named("other", "x"), "false "),
        (
            Attributes::path(&ann, "get", "/openapi/v3"),
            "true RBAC: allowed by ClusterRoleBinding \"discovery\" of ClusterRole \"discovery\" to Group \"system:authenticated\"",
        ),
        (Attributes::path(&bob, "get", "/openapi/v3"), "false "),
    ];
    for (attributes, want) in cases {
        assert_eq!(reason(&index, &attributes), want, "{attributes:?}");
    }
}

#[test]
fn stored_objects_override_bootstrap_ones() {
    let bindings =
        [json!({"metadata": {"name": "discovery"}, "roleRef": {"kind": "ClusterRole", "name": "discovery"}})];
    let index = RbacIndex::build(&bootstrap(), [], [], &bindings, []);
    let ann = user("ann", &[user::AUTHENTICATED]);
    assert!(
        !index.authorize(&Attributes::path(&ann, "get", "/version")).is_allowed(),
        "the stored one has no subjects"
    );
    let plain = RbacIndex::bootstrap_only(&bootstrap());
    assert!(plain.authorize(&Attributes::path(&ann, "get", "/version")).is_allowed());
    let roles = [json!({"metadata": {"name": "discovery"}, "rules": []})];
    let index = RbacIndex::build(&bootstrap(), &roles, [], [], []);
    assert!(!index.authorize(&Attributes::path(&ann, "get", "/version")).is_allowed());
}

#[test]
fn aggregated_bootstrap_roles_gather_stored_ones_az05() {
    let roles = [
        json!({"metadata": {"name": "widgets-edit", "labels": {"to-edit": "true"}}, "rules": [{"verbs": ["get"], "apiGroups": ["example.dev"], "resources": ["widgets"]}]}),
    ];
    let bindings = [
        json!({"metadata": {"name": "a"}, "roleRef": {"kind": "ClusterRole", "name": "admin"}, "subjects": [{"kind": "User", "name": "ann"}]}),
    ];
    let ann = user("ann", &[]);
    let widgets = Attributes::resource(&ann, "get", "example.dev", "widgets");
    let configmaps = Attributes::resource(&ann, "update", "", "configmaps");
    let without = RbacIndex::build(&bootstrap(), [], [], &bindings, []);
    assert_eq!((without.authorize(&widgets).is_allowed(), without.authorize(&configmaps).is_allowed()), (false, true));
    let with = RbacIndex::build(&bootstrap(), &roles, [], &bindings, []);
    assert_eq!((with.authorize(&widgets).is_allowed(), with.authorize(&configmaps).is_allowed()), (true, true));
}

#[test]
fn rules_are_listed_az07() {
    let index = RbacIndex::bootstrap_only(&bootstrap());
    let status = index.rules_for(&user("ann", &[user::AUTHENTICATED]), "ns").to_review_status();
    assert_eq!(
        status,
        json!({"incomplete": false, "resourceRules": [], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/openapi/*", "/version"]}]})
    );
    let root = index.rules_for(&user("root", &[user::MASTERS]), "ns").to_review_status();
    assert_eq!(root["resourceRules"], json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
    assert_eq!(root["nonResourceRules"], json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]));
}

#[test]
fn limited_roles_reach_only_what_is_labelled() {
    let role = |selector: &str| {
        json!({"metadata": {"name": "r", "labels": {"to-view": "true"}, "annotations": {kcp_apis::workload::REQUIRED_SELECTOR_ANNOTATION: selector}},
            "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]})
    };
    let bindings = [
        json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "ann"}]}),
        json!({"metadata": {"name": "v"}, "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "bob"}]}),
    ];
    let index = RbacIndex::build(&bootstrap(), &[role("cluster=east")], [], &bindings, []);
    let (ann, bob) = (user("ann", &[]), user("bob", &[]));
    fn ask(index: &RbacIndex, user: &UserInfo, verb: &str, scope: Scope<'_>) -> bool {
        index.authorize(&Attributes { scope, ..Attributes::resource(user, verb, "", "secrets") }).is_allowed()
    }
    let selected = |text: &str| {
        let selector = kcp_apimachinery::selectors::LabelSelector::parse(text).unwrap();
        ask(&index, &ann, "list", Scope::Selected(&selector))
    };
    let object = |verb, labels: Option<Value>| ask(&index, &ann, verb, Scope::Object(&|| labels.clone()));
    assert!(!ask(&index, &ann, "list", Scope::Unknown) && !ask(&index, &ann, "create", Scope::Unknown));
    assert!(selected("cluster=east,a=b") && !selected("cluster=west") && !selected(""));
    for verb in ["get", "patch"] {
        assert!(object(verb, Some(json!({"cluster": "east"}))));
        assert!(!object(verb, Some(json!({"cluster": "west"}))) && !object(verb, Some(Value::Null)));
    }
    assert!(object("get", None) && !object("patch", None), "to be told 404 one must be let in");
    let held = index.rules_for(&ann, "");
    assert_eq!((held.rules.len(), held.limited.len()), (0, 1), "not to be passed on");
    assert!(!index.authorize(&Attributes::resource(&bob, "get", "", "secrets")).is_allowed(), "nor aggregated");
    for bad in ["", "a in b"] {
        let index = RbacIndex::build(&bootstrap(), &[role(bad)], [], &bindings, []);
        let asked = Attributes {
            scope: Scope::Object(&|| Some(json!({"a": "b"}))),
            ..Attributes::resource(&ann, "get", "", "x")
        };
        assert!(!index.authorize(&asked).is_allowed(), "{bad:?}");
    }
}

/// What the index must answer, decided the slow way: every binding, every subject, every rule.
fn naive(policy: &Policy, a: &Attributes<'_>) -> bool {
    let of_user = |binding: &Value| {
        binding["subjects"].as_array().unwrap().iter().any(|s| match s["kind"].as_str().unwrap() {
            "User" => s["name"] == a.user.username.as_str(),
            "Group" => a.user.groups.iter().any(|g| s["name"] == g.as_str()),
            _ => {
                let namespace =
                    s.get("namespace").and_then(Value::as_str).unwrap_or_else(|| object::namespace(binding));
                !namespace.is_empty()
                    && a.user.username == format!("system:serviceaccount:{namespace}:{}", s["name"].as_str().unwrap())
            }
        })
    };
    let rules = |binding: &Value| {
        let kind = binding["roleRef"]["kind"].as_str().unwrap();
        let pool = if kind == "ClusterRole" { &policy.cluster_roles } else { &policy.roles };
        let role = pool.iter().rev().find(|r| {
            r["metadata"]["name"] == binding["roleRef"]["name"]
                && (kind == "ClusterRole" || object::namespace(r) == object::namespace(binding))
        });
        role.map(PolicyRule::list).unwrap_or_default()
    };
    let allows = |binding: &Value| of_user(binding) && rules(binding).iter().any(|r| r.allows(a));
    policy.cluster_role_bindings.iter().any(allows)
        || !a.namespace.is_empty()
            && policy.role_bindings.iter().any(|b| object::namespace(b) == a.namespace && allows(b))
}

#[derive(Debug, Clone)]
struct Policy {
    cluster_roles: Vec<Value>,
    roles: Vec<Value>,
    cluster_role_bindings: Vec<Value>,
    role_bindings: Vec<Value>,
}

fn pick(options: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(options).prop_map(str::to_owned)
}

fn rule() -> impl Strategy<Value = Value> {
    let some = |o| proptest::collection::vec(pick(o), 0..3);
    (some(&["get", "list", "*"]), some(&["", "g", "*"]), some(&["a", "b", "a/s", "*/s", "*"]), some(&["n"]), some(&["/x", "/x/*", "*"]))
        .prop_map(|(v, g, r, n, u)| json!({"verbs": v, "apiGroups": g, "resources": r, "resourceNames": n, "nonResourceURLs": u}))
}

fn role(namespaced: bool) -> impl Strategy<Value = Value> {
    (pick(&["p", "q"]), pick(&["m", "n"]), proptest::collection::vec(rule(), 0..3)).prop_map(
        move |(name, ns, rules)| {
            let meta = if namespaced { json!({"name": name, "namespace": ns}) } else { json!({"name": name}) };
            json!({"metadata": meta, "rules": rules})
        },
    )
}

fn subject() -> impl Strategy<Value = Value> {
    prop_oneof![
        pick(&["u", "system:serviceaccount:m:s"]).prop_map(|n| json!({"kind": "User", "name": n})),
        pick(&["g1", "g2"]).prop_map(|n| json!({"kind": "Group", "name": n})),
        Just(json!({"kind": "ServiceAccount", "name": "s"})),
        pick(&["m", "n"]).prop_map(|ns| json!({"kind": "ServiceAccount", "name": "s", "namespace": ns})),
    ]
}

fn binding(namespaced: bool) -> impl Strategy<Value = Value> {
    let kinds: &'static [&'static str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    (pick(&["m", "n"]), pick(kinds), pick(&["p", "q", "missing"]), proptest::collection::vec(subject(), 0..3)).prop_map(
        move |(ns, kind, role, subjects)| {
            let meta = if namespaced { json!({"name": "b", "namespace": ns}) } else { json!({"name": "b"}) };
            json!({"metadata": meta, "roleRef": {"kind": kind, "name": role}, "subjects": subjects})
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let some = |s: proptest::strategy::BoxedStrategy<Value>| proptest::collection::vec(s, 0..4);
    (some(role(false).boxed()), some(role(true).boxed()), some(binding(false).boxed()), some(binding(true).boxed()))
        .prop_map(|(cluster_roles, roles, mut cluster_role_bindings, mut role_bindings)| {
            let number = |list: &mut Vec<Value>| {
                list.iter_mut().enumerate().for_each(|(i, b)| b["metadata"]["name"] = json!(format!("b{i}")));
            };
            number(&mut cluster_role_bindings);
            number(&mut role_bindings);
            Policy { cluster_roles, roles, cluster_role_bindings, role_bindings }
        })
}

proptest! {
    #[test]
    fn the_index_answers_as_the_naive_evaluator(
        p in policy(),
        name in pick(&["u", "v", "system:serviceaccount:m:s", "system:serviceaccount:n:s"]),
        groups in proptest::collection::vec(pick(&["g1", "g2"]), 0..3),
        verb in pick(&["get", "list"]), group in pick(&["", "g"]), resource in pick(&["a", "b"]), sub in pick(&["", "s"]),
        object in pick(&["", "n"]), namespace in pick(&["", "m", "n"]), path in pick(&["/x", "/x/y", "/z"]), is_resource: bool,
    ) {
        let user = UserInfo { username: name, groups, ..UserInfo::default() };
        let a = Attributes { subresource: &sub, name: &object, namespace: &namespace, path: &path, is_resource,
            ..Attributes::resource(&user, &verb, &group, &resource) };
        let index = RbacIndex::build(&Arc::new(Layer::default()), &p.cluster_roles, &p.roles, &p.cluster_role_bindings, &p.role_bindings);
        prop_assert_eq!(index.authorize(&a).is_allowed(), naive(&p, &a));
        let held = index.rules_for(&user, &namespace);
        prop_assert_eq!(held.rules.iter().any(|r| r.allows(&a)), naive(&p, &a));
        // As bootstrap policy the same objects mean the same.
        let layer = Layer::compile(&p.cluster_roles, &p.roles, &p.cluster_role_bindings, &p.role_bindings);
        prop_assert_eq!(RbacIndex::bootstrap_only(&Arc::new(layer)).authorize(&a).is_allowed(), naive(&p, &a));
    }
}
