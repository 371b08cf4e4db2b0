//! Built-in kinds through the verbs, as clients meet them.

use std::sync::Arc;

use kcp_apimachinery::{Status, UserInfo};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Options, Store};
use serde_json::{Value, json};

use super::{Profile, base_table};
use crate::{
    Access, Authority, Config, DeleteOptions, Deleted, IssuedToken, ListOptions, PatchKind, Registry, TokenAnswer,
    TokenOrder, Verdict, testing::Fixture,
};

const EVENTS: &str = "events.k8s.io/v1/events";

/// A registry of a physical cluster with a namespace `a`.
async fn physical() -> Fixture {
    let registry = Registry::new(Config {
        store: Store::open(Options::memory()).unwrap(),
        base: base_table(Profile::Physical, &crate::strategies()),
        external_url: "https://kcp.test:6443".into(),
        ca_pem: "PEM".into(),
        admission: kcp_admission::Chain::default(),
    });
    let fixture = Fixture { registry, cluster: ClusterName::root() };
    fixture.make("v1/namespaces", "", json!({"metadata": {"name": "a"}})).await.unwrap();
    fixture
}

async fn patch(f: &Fixture, what: &str, ns: &str, name: &str, sub: &str, body: Value) -> Result<Value, Status> {
    let request = f.request(what, ns).named(name).at_subresource(sub);
    let body = crate::Body::from(&body);
    let written = f.registry.patch(&request, PatchKind::Merge, &body, &Fixture::options()).await?;
    Ok(serde_json::from_slice(&written.object).unwrap())
}

async fn put(f: &Fixture, what: &str, ns: &str, name: &str, sub: &str, object: Value) -> Result<Value, Status> {
    let request = f.request(what, ns).named(name).at_subresource(sub);
    let body = Fixture::body(&request, object);
    let written = f.registry.update(&request, &body, &Fixture::options()).await?;
    Ok(serde_json::from_slice(&written.object).unwrap())
}

/// G-01, G-02, G-05: from birth to the release by `/finalize`.
#[tokio::test]
async fn a_namespace_lives_until_it_is_released() {
    let f = Fixture::new().await;
    let ns = f.make("v1/namespaces", "", json!({"metadata": {"generateName": "n-"}})).await.unwrap();
    let name = ns["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(ns["metadata"]["labels"]["kubernetes.io/metadata.name"], *name);
    assert_eq!((&ns["spec"], &ns["status"]), (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"})));
    // G-08: neither spec nor status through the main endpoint.
    let object = json!({"metadata": {"name": name}, "spec": {"finalizers": []}, "status": {"phase": "Terminating"}});
    let same = put(&f, "v1/namespaces", "", &name, "", object).await.unwrap();
    assert_eq!((&same["spec"], &same["status"]), (&ns["spec"], &ns["status"]));

    let request = f.request("v1/namespaces", "").named(&name);
    let Deleted::Object(bytes) = f.registry.delete(&request, &DeleteOptions::default()).await.unwrap() else {
        panic!("X-10: the object is shown");
    };
    let marked: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(marked["status"]["phase"], "Terminating");
    assert!(marked["metadata"].get("deletionGracePeriodSeconds").is_none());
    let release = json!({"metadata": {"name": name}, "spec": {"finalizers": []}});
    put(&f, "v1/namespaces", "", &name, "finalize", release).await.unwrap();
    assert_eq!(f.get("v1/namespaces", "", &name).await.unwrap_err().code, 404);
}

/// Y-01, E-13, U-14.
#[tokio::test]
async fn secrets() {
    let f = Fixture::new().await;
    let object = json!({"metadata": {"name": "s"}, "data": {"a": "b2xk"}, "stringData": {"a": "new"}});
    let made = f.make("v1/secrets", "a", object).await.unwrap();
    assert_eq!((&made["data"], &made["type"], made.get("stringData")), (&json!({"a": "bmV3"}), &json!("Opaque"), None));
    let refused =
        f.make("v1/secrets", "a", json!({"metadata": {"name": "x"}, "data": {"a": "***"}})).await.unwrap_err();
    let text = "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0";
    assert_eq!((refused.code, refused.message.as_str()), (400, text));
    patch(&f, "v1/secrets", "a", "s", "", json!({"immutable": true})).await.unwrap();
    let frozen = patch(&f, "v1/secrets", "a", "s", "", json!({"stringData": {"a": "x"}})).await.unwrap_err();
    assert_eq!(frozen.message, "Secret \"s\" is invalid: data: Forbidden: field is immutable when `immutable` is set");
}

/// Y-04, Y-05, S-05: one object under two groups.
#[tokio::test]
async fn events_of_both_groups() {
    let f = Fixture::new().await;
    let object = json!({"metadata": {"name": "n1"}, "regarding": {"kind": "ConfigMap", "namespace": "a", "name": "thing"},
        "reason": "Done", "action": "Act", "note": "n", "type": "Warning", "eventTime": "2024-05-06T07:08:09.123456Z",
        "reportingController": "example.dev/ctl", "reportingInstance": "ctl-1"});
    let made = f.make(EVENTS, "a", object).await.unwrap();
    assert_eq!((&made["apiVersion"], &made["note"]), (&json!("events.k8s.io/v1"), &json!("n")));
    let core = f.get("v1/events", "a", "n1").await.unwrap();
    assert_eq!((&core["apiVersion"], &core["message"]), (&json!("v1"), &json!("n")));
    assert_eq!((&core["reportingComponent"], &core["firstTimestamp"]), (&json!("example.dev/ctl"), &Value::Null));
    assert_eq!(core["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let select = |s: &str| ListOptions { field_selector: s.into(), ..ListOptions::default() };
    assert_eq!(f.names("v1/events", "a", select("involvedObject.name=thing")).await.unwrap(), ["n1"]);
    assert_eq!(f.names(EVENTS, "a", select("regarding.name=thing")).await.unwrap(), ["n1"]);
    assert_eq!(f.names("v1/events", "a", select("regarding.name=thing")).await.unwrap_err().code, 400);
    let series = json!({"series": {"count": 3, "lastObservedTime": "2024-05-06T08:00:00.000001Z"}});
    assert_eq!(patch(&f, EVENTS, "a", "n1", "", series.clone()).await.unwrap()["series"], series["series"]);
    let refused =
        f.make(EVENTS, "a", json!({"metadata": {"name": "x"}, "regarding": {"namespace": "a"}, "type": "Loud"}));
    assert!(refused.await.unwrap_err().message.starts_with("Event \"x\" is invalid: [eventTime: Required value"));
}

/// U-04, AZ-03: made by PUT; a binding keeps its role.
#[tokio::test]
async fn roles_and_bindings() {
    let f = Fixture::new().await;
    let roles = "rbac.authorization.k8s.io/v1/roles";
    let role = put(&f, roles, "a", "r", "", json!({"metadata": {"name": "r"}, "rules": []})).await.unwrap();
    assert_eq!(role["rules"], Value::Null);
    let bindings = "rbac.authorization.k8s.io/v1/rolebindings";
    let object = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "ann"}]});
    let made = f.make(bindings, "a", object).await.unwrap();
    assert_eq!(made["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    let other = patch(&f, bindings, "a", "b", "", json!({"roleRef": {"name": "other"}})).await.unwrap_err();
    assert!(other.message.ends_with("cannot change roleRef"), "{}", other.message);
    // R-08: bootstrap roles are there, and a stored one hides them.
    let view = f.get("rbac.authorization.k8s.io/v1/clusterroles", "", "view").await.unwrap();
    assert_eq!(view["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
}

/// Y-09, B-06: the server says who asked, and nobody approves through the wrong door.
#[tokio::test]
async fn signing_requests() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let f = Fixture::new().await;
    let what = "certificates.k8s.io/v1/certificatesigningrequests";
    let pem = STANDARD.encode("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n");
    let spec =
        json!({"request": pem, "signerName": "example.dev/x", "usages": ["client auth"], "username": "somebody else"});
    let made = f.make(what, "", json!({"metadata": {"name": "c"}, "spec": spec})).await.unwrap();
    assert_eq!(made["spec"]["username"], "tester");
    let approved =
        json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R", "message": "m"}]}});
    let through_status = patch(&f, what, "", "c", "status", approved.clone()).await.unwrap();
    assert!(through_status["status"].get("conditions").is_none());
    let through_approval = patch(&f, what, "", "c", "approval", approved).await.unwrap();
    assert_eq!(through_approval["status"]["conditions"][0]["type"], "Approved");
    assert!(through_approval["status"]["conditions"][0]["lastUpdateTime"].is_string());
}

/// Who answers questions in these tests: `ann` may read, nobody may write roles.
struct Answers;

impl Authority for Answers {
    fn authorize(&self, _: &ClusterName, user: &UserInfo, access: &Access<'_>) -> Verdict {
        Verdict { allowed: user.username == "ann" && access.verb == "get", denied: false, reason: "because".into() }
    }
    fn review_token(&self, _: &ClusterName, token: &str, _: &[String]) -> TokenAnswer {
        TokenAnswer { error: format!("{token} is bad"), ..TokenAnswer::default() }
    }
    fn issue_token(&self, _: &ClusterName, order: &TokenOrder<'_>) -> Result<IssuedToken, Status> {
        assert_eq!((order.namespace, order.name, order.seconds), ("a", "bot", 3600));
        Ok(IssuedToken { token: "t".into(), expires: 0, audiences: vec!["us".into()] })
    }
    fn rules(&self, _: &ClusterName, _: &UserInfo, namespace: &str) -> Value {
        json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false, "evaluationError": namespace})
    }
    fn check_grant(&self, _: &ClusterName, _: &UserInfo, _: &Value, _: Option<&Value>) -> Result<(), Status> {
        Err(Status::failure(403, "Forbidden", "more than you have"))
    }
}

/// C-16, AZ-06, AZ-07, AN-07, AN-08, AZ-04, B-04.
#[tokio::test]
async fn questions_are_answered() {
    let f = Fixture::new().await;
    f.registry.set_authority(Arc::new(Answers));
    let group = |kind: &str| format!("authorization.k8s.io/v1/{kind}");
    let about = |user: &str| json!({"spec": {"user": user, "resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let answer = f.make(&group("subjectaccessreviews"), "", about("ann")).await.unwrap();
    assert_eq!(answer["status"], json!({"allowed": true, "reason": "because"}));
    assert_eq!(answer["metadata"]["managedFields"][0]["manager"], "test");
    assert_eq!(f.make(&group("subjectaccessreviews"), "", about("bob")).await.unwrap()["status"]["allowed"], false);
    let rules = f.make(&group("selfsubjectrulesreviews"), "", json!({"spec": {"namespace": "a"}})).await.unwrap();
    assert_eq!(rules["status"]["evaluationError"], "a");
    assert_eq!(f.make(&group("selfsubjectrulesreviews"), "", json!({"spec": {}})).await.unwrap_err().code, 400);
    let who = f.make("authentication.k8s.io/v1/selfsubjectreviews", "", json!({})).await.unwrap();
    assert_eq!(who["status"]["userInfo"]["username"], "tester");
    let token = f.make("authentication.k8s.io/v1/tokenreviews", "", json!({"spec": {"token": "x"}})).await.unwrap();
    assert_eq!(token["status"], json!({"error": "x is bad", "user": {}}));
    let role = f.make("rbac.authorization.k8s.io/v1/roles", "a", json!({"metadata": {"name": "r"}})).await;
    assert_eq!(role.unwrap_err().message, "more than you have");

    f.make("v1/serviceaccounts", "a", json!({"metadata": {"name": "bot"}})).await.unwrap();
    let request = f.request("v1/serviceaccounts", "a").named("bot").at_subresource("token");
    let body =
        crate::Body::from(&json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}));
    let issued = f.registry.create(&request, &body, &Fixture::options()).await.unwrap();
    let issued: Value = serde_json::from_slice(&issued.object).unwrap();
    assert_eq!((&issued["kind"], &issued["status"]["token"]), (&json!("TokenRequest"), &json!("t")));
    let spec = json!({"audiences": ["us"], "boundObjectRef": null, "expirationSeconds": 3600});
    assert_eq!((&issued["spec"], &issued["metadata"]["name"]), (&spec, &json!("bot")));
}

/// X-11: a running pod is given time; the second DELETE ends it.
#[tokio::test]
async fn pods_end_with_grace() {
    let f = physical().await;
    let spec = json!({"nodeName": "n", "containers": [{"name": "c", "image": "i"}]});
    let made = f.make("v1/pods", "a", json!({"metadata": {"name": "p"}, "spec": spec})).await.unwrap();
    assert_eq!((&made["status"]["phase"], &made["spec"]["serviceAccountName"]), (&json!("Pending"), &json!("default")));
    let request = f.request("v1/pods", "a").named("p");
    f.registry.delete(&request, &DeleteOptions::default()).await.unwrap();
    let marked = f.get("v1/pods", "a", "p").await.unwrap();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    f.registry.delete(&request, &now).await.unwrap();
    assert_eq!(f.get("v1/pods", "a", "p").await.unwrap_err().code, 404);
}

/// C-07, U-07, U-14, B-03: a deployment from its first to its last replica.
#[tokio::test]
async fn deployments() {
    let f = physical().await;
    let what = "apps/v1/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let made = f.make(what, "a", json!({"metadata": {"name": "d"}, "spec": spec})).await.unwrap();
    assert_eq!((&made["metadata"]["generation"], &made["status"]), (&json!(1), &json!({})));
    assert_eq!((&made["spec"]["replicas"], &made["spec"]["strategy"]["type"]), (&json!(1), &json!("RollingUpdate")));
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Always");
    let scaled = patch(&f, what, "a", "d", "scale", json!({"spec": {"replicas": 3}})).await.unwrap();
    assert_eq!((&scaled["kind"], &scaled["status"]["selector"]), (&json!("Scale"), &json!("a=b")));
    let now = f.get(what, "a", "d").await.unwrap();
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(3), &json!(2)));
    let status =
        patch(&f, what, "a", "d", "status", json!({"status": {"replicas": 3}, "spec": {"replicas": 9}})).await.unwrap();
    assert_eq!((&status["spec"]["replicas"], &status["metadata"]["generation"]), (&json!(3), &json!(2)));
    let wrong = patch(&f, what, "a", "d", "", json!({"spec": {"replicas": "many"}})).await.unwrap_err();
    assert!(wrong.message.contains("Go struct field DeploymentSpec.spec.replicas of type int32"), "{}", wrong.message);
}

/// Both versions of an autoscaler are one object, stored as the second.
#[tokio::test]
async fn autoscalers_of_both_versions() {
    let f = physical().await;
    let (v1, v2) = ("autoscaling/v1/horizontalpodautoscalers", "autoscaling/v2/horizontalpodautoscalers");
    let spec = json!({"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "targetCPUUtilizationPercentage": 70});
    f.make(v1, "a", json!({"metadata": {"name": "h"}, "spec": spec})).await.unwrap();
    let second = f.get(v2, "a", "h").await.unwrap();
    assert_eq!(second["apiVersion"], "autoscaling/v2");
    assert_eq!(second["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    assert_eq!(f.get(v1, "a", "h").await.unwrap()["spec"]["targetCPUUtilizationPercentage"], 70);
}
