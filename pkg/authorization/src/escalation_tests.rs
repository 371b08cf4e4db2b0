use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::Layer;

fn ann() -> UserInfo {
    UserInfo {
        username: "ann".into(),
        groups: vec!["crew".into(), "system:authenticated".into(), kcp_apis::tenancy::ACCESS_GROUP.into()],
        ..UserInfo::default()
    }
}

fn index(rules: Value) -> RbacIndex {
    let roles = [
        json!({"metadata": {"name": "r", "namespace": "ns"}, "rules": rules}),
        json!({"metadata": {"name": "big", "namespace": "ns"}, "rules": [
            {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["*"]},
            {"apiGroups": ["example.dev"], "resources": ["things/status"], "verbs": ["get"], "resourceNames": ["a"]}
        ]}),
    ];
    let bindings = [json!({"metadata": {"name": "b", "namespace": "ns"}, "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "ann"}]})];
    RbacIndex::build(&Arc::new(Layer::default()), [], &roles, [], &bindings)
}

fn held() -> Value {
    json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"], "resourceNames": ["open"]}])
}

#[test]
fn roles_grant_only_what_is_held_az04() {
    let index = index(held());
    let role = |rules: Value| json!({"metadata": {"name": "up", "namespace": "ns"}, "rules": rules});
    let same =
        role(json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["open"]}]));
    assert_eq!(index.check_role_write(&ann(), &same, None), Ok(()));
    let more = role(
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "delete"]}, {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}]),
    );
    let refusal = index.check_role_write(&ann(), &more, None).unwrap_err();
    assert_eq!(
        refusal.message,
        "roles.rbac.authorization.k8s.io \"up\" is forbidden: user \"ann\" (groups=[\"crew\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"get\" \"delete\"]}\n{APIGroups:[\"apps\"], Resources:[\"*\"], Verbs:[\"*\"]}"
    );
    let mut collected = more.clone();
    object::meta_mut(&mut collected).insert("ownerReferences".into(), json!([]));
    assert_eq!(index.check_role_write(&ann(), &collected, Some(&more)), Ok(()), "only the garbage collector's fields");
    let root = UserInfo { groups: vec!["system:masters".into()], ..ann() };
    assert_eq!(index.check_role_write(&root, &more, None), Ok(()));
    let escalate = json!([{"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["escalate"]}]);
    assert_eq!(self::index(escalate).check_role_write(&ann(), &more, None), Ok(()));
}

#[test]
fn aggregated_roles_need_everything() {
    let role = json!({"metadata": {"name": "x"}, "aggregationRule": {"clusterRoleSelectors": []}});
    let refusal = index(held()).check_role_write(&ann(), &role, None).unwrap_err();
    assert!(refusal.message.ends_with("must have cluster-admin privileges to use an aggregationRule"), "{refusal}");
}

#[test]
fn bindings_grant_only_what_is_held_az04() {
    let index = index(held());
    let binding = |name: &str| json!({"metadata": {"name": "bad2", "namespace": "ns"}, "roleRef": {"kind": "Role", "name": name}});
    assert_eq!(index.check_binding_write(&ann(), &binding("r"), None), Ok(()));
    let refusal = index.check_binding_write(&ann(), &binding("big"), None).unwrap_err();
    assert_eq!(
        refusal.message,
        "rolebindings.rbac.authorization.k8s.io \"bad2\" is forbidden: user \"ann\" (groups=[\"crew\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"*\"]}\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"*\"]}\n{APIGroups:[\"example.dev\"], Resources:[\"things/status\"], ResourceNames:[\"a\"], Verbs:[\"get\"]}"
    );
    let gone = index.check_binding_write(&ann(), &binding("other"), None).unwrap_err();
    assert_eq!(gone.message, "rolebindings.rbac.authorization.k8s.io \"other\" not found");
    let bind = json!([{"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["bind"], "resourceNames": ["big"]}]);
    assert_eq!(self::index(bind).check_binding_write(&ann(), &binding("big"), None), Ok(()));
}

#[test]
fn held_rules_cover_others() {
    let rule = |v: Value| PolicyRule::from_value(&v);
    let cases = [
        (
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            json!({"verbs": ["get"], "apiGroups": ["a"], "resources": ["b/c"]}),
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}),
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}),
            true,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}),
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            false,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}),
            json!({"verbs": ["get"], "nonResourceURLs": ["/api/v1"]}),
            true,
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}),
            json!({"verbs": ["get"], "nonResourceURLs": ["/apis"]}),
            false,
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}),
            false,
        ),
    ];
    for (owner, other, want) in cases {
        let broken = rule(other.clone()).break_down();
        assert_eq!(broken.iter().all(|r| rule(owner.clone()).covers(r)), want, "{owner} {other}");
    }
}
