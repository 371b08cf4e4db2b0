//! Bodies as Go writes them, and bodies that nobody should write, through the public function (N-02, N-05, X-01).

use kcp_protobuf::{DecodeError, knows, to_json};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A tiny encoder: a message is built field by field.
#[derive(Default)]
struct Msg(Vec<u8>);

impl Msg {
    fn varint(mut self, mut v: u64) -> Self {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
        self
    }
    fn int(self, number: u64, v: i64) -> Self {
        self.varint(number << 3).varint(v as u64)
    }
    fn bytes(self, number: u64, v: &[u8]) -> Self {
        let mut m = self.varint(number << 3 | 2).varint(v.len() as u64);
        m.0.extend_from_slice(v);
        m
    }
    fn text(self, number: u64, v: &str) -> Self {
        self.bytes(number, v.as_bytes())
    }
    fn msg(self, number: u64, v: Msg) -> Self {
        self.bytes(number, &v.0)
    }
    fn double(self, number: u64, v: f64) -> Self {
        let mut m = self.varint(number << 3 | 1);
        m.0.extend_from_slice(&v.to_le_bytes());
        m
    }
    fn entry(self, number: u64, key: &str, value: &str) -> Self {
        self.msg(number, msg().text(1, key).text(2, value))
    }
}

fn msg() -> Msg {
    Msg::default()
}

fn body(api_version: &str, kind: &str, object: Msg) -> Vec<u8> {
    let envelope = msg().msg(1, msg().text(1, api_version).text(2, kind)).msg(2, object).text(3, "").text(4, "");
    [b"k8s\0", &envelope.0[..]].concat()
}

/// Metadata with everything that Go writes even when it is empty.
fn meta(name: &str) -> Msg {
    msg().text(1, name).text(2, "").text(3, "").text(4, "").text(5, "").text(6, "").int(7, 0).msg(8, msg())
}

#[test]
fn kinds_as_json_says_them() {
    let labels = || meta("web").entry(11, "app", "web");
    let container = msg()
        .text(1, "nginx")
        .text(2, "nginx")
        .text(5, "")
        .msg(6, msg().text(1, "").int(2, 0).int(3, 80).text(4, "").text(5, ""))
        .msg(8, msg())
        .msg(15, msg().int(4, 0).int(5, 0))
        .int(16, 0);
    let pod = msg()
        .msg(2, container)
        .text(3, "")
        .int(4, 0)
        .int(11, 0)
        .int(21, 0)
        .msg(1, msg().text(1, "v").msg(2, msg().msg(19, msg().msg(1, msg().text(1, "cm")).int(4, 0))));
    let selector = msg().entry(1, "app", "web");
    let cases: Vec<(&str, &str, Msg, Value)> = vec![
        (
            "v1",
            "Namespace",
            msg().msg(1, meta("a")).msg(2, msg()).msg(3, msg().text(1, "")),
            json!({"metadata": {"name": "a"}, "spec": {}, "status": {}}),
        ),
        (
            "v1",
            "ConfigMap",
            msg().msg(1, meta("c")).entry(2, "k", "").entry(2, "l", "é").int(4, 0),
            json!({"metadata": {"name": "c"}, "data": {"k": "", "l": "é"}, "immutable": false}),
        ),
        (
            "v1",
            "Secret",
            msg().msg(1, meta("s")).msg(2, msg().text(1, "k").bytes(2, &[0, 255])).text(3, "Opaque"),
            json!({"metadata": {"name": "s"}, "data": {"k": "AP8="}, "type": "Opaque"}),
        ),
        (
            "apps/v1",
            "Deployment",
            msg()
                .msg(1, labels())
                .msg(
                    2,
                    msg()
                        .int(1, 0)
                        .msg(2, selector)
                        .msg(3, msg().msg(1, labels()).msg(2, pod))
                        .msg(4, msg().text(1, ""))
                        .int(5, 0)
                        .int(7, 0),
                )
                .msg(3, msg().int(1, 0).int(2, 0)),
            json!({
                "metadata": {"name": "web", "labels": {"app": "web"}},
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": {
                        "metadata": {"name": "web", "labels": {"app": "web"}},
                        "spec": {
                            "containers": [{
                                "name": "nginx", "image": "nginx", "ports": [{"containerPort": 80}], "resources": {},
                                "securityContext": {"runAsUser": 0, "runAsNonRoot": false}
                            }],
                            "terminationGracePeriodSeconds": 0,
                            "automountServiceAccountToken": false,
                            "volumes": [{"name": "v", "configMap": {"name": "cm", "optional": false}}]
                        }
                    },
                    "strategy": {}
                },
                "status": {}
            }),
        ),
        (
            "v1",
            "Service",
            msg().msg(1, meta("s")).msg(
                2,
                msg()
                    .msg(
                        1,
                        msg()
                            .text(1, "a")
                            .text(2, "TCP")
                            .int(3, 80)
                            .msg(4, msg().int(1, 0).int(2, 8080).text(3, ""))
                            .int(5, 0),
                    )
                    .msg(1, msg().text(1, "b").int(3, 81).msg(4, msg().int(1, 1).int(2, 0).text(3, "http"))),
            ),
            json!({"metadata": {"name": "s"}, "spec": {"ports": [
                {"name": "a", "protocol": "TCP", "port": 80, "targetPort": 8080},
                {"name": "b", "port": 81, "targetPort": "http"}
            ]}}),
        ),
        (
            "v1",
            "ResourceQuota",
            msg().msg(1, meta("q")).msg(2, msg().msg(1, msg().text(1, "cpu").msg(2, msg().text(1, "1500m")))),
            json!({"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1500m"}}}),
        ),
        (
            "coordination.k8s.io/v1",
            "Lease",
            msg().msg(1, meta("l").msg(9, msg().int(1, 1).int(2, 999))).msg(
                2,
                msg().text(1, "").int(2, 0).msg(3, msg().int(1, 1).int(2, 2_000)).msg(4, msg().int(1, 0).int(2, 0)),
            ),
            json!({"metadata": {"name": "l", "deletionTimestamp": "1970-01-01T00:00:01Z"}, "spec": {
                "holderIdentity": "", "leaseDurationSeconds": 0,
                "acquireTime": "1970-01-01T00:00:01.000002Z", "renewTime": "1970-01-01T00:00:00.000000Z"
            }}),
        ),
        (
            "apps/v1",
            "ControllerRevision",
            msg().msg(1, meta("r")).msg(2, msg().text(1, r#"{"spec":{"x":null}}"#)).int(3, 0),
            json!({"metadata": {"name": "r"}, "data": {"spec": {"x": null}}, "revision": 0}),
        ),
        (
            "v1",
            "ConfigMap",
            msg().msg(
                1,
                meta("f").msg(17, msg().text(1, "kubectl").msg(4, msg()).msg(7, msg().text(1, r#"{"f:data":{}}"#))),
            ),
            json!({"metadata": {"name": "f", "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:data": {}}}]}}),
        ),
        (
            "authorization.k8s.io/v1",
            "SubjectAccessReview",
            msg().msg(
                2,
                msg()
                    .text(3, "u")
                    .msg(5, msg().text(1, "scopes").msg(2, msg().text(1, "a").text(1, "")))
                    .msg(5, msg().text(1, "none").msg(2, msg())),
            ),
            json!({"spec": {"user": "u", "extra": {"scopes": ["a", ""], "none": null}}}),
        ),
        (
            "batch/v1",
            "Job",
            msg().msg(1, meta("j")).msg(
                2,
                msg().int(7, 0).msg(
                    11,
                    msg().msg(
                        1,
                        msg().text(1, "Ignore").msg(2, msg().text(2, "In").int(3, 1).int(3, -1).bytes(3, &[2, 3])),
                    ),
                ),
            ),
            json!({"metadata": {"name": "j"}, "spec": {"backoffLimit": 0, "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [1, -1, 2, 3]}}
            ]}}}),
        ),
        (
            "policy/v1",
            "Eviction",
            msg().msg(1, meta("p")).msg(2, msg().int(1, 0)),
            json!({"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}}),
        ),
        (
            "apps/v1",
            "DeleteOptions",
            msg().int(1, 5).msg(2, msg().text(1, "u")).text(4, "Foreground").text(5, "All"),
            json!({"gracePeriodSeconds": 5, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground", "dryRun": ["All"]}),
        ),
        (
            "v1",
            "ServiceAccountList",
            msg().msg(1, msg().text(1, "").text(2, "7").text(3, "")).msg(2, msg().msg(1, meta("default")).int(4, 0)),
            json!({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "default"}, "automountServiceAccountToken": false}]}),
        ),
    ];
    for (api_version, kind, object, mut want) in cases {
        want["apiVersion"] = api_version.into();
        want["kind"] = kind.into();
        assert_eq!(to_json(&body(api_version, kind, object)), Ok(want), "{api_version} {kind}");
        assert!(knows(api_version, kind));
    }
}

#[test]
fn schemas_of_definitions() {
    let schema = |of: Msg| {
        let version = msg().text(1, "v1").int(2, 1).int(3, 1).msg(4, msg().msg(1, of));
        let definition = msg().msg(1, meta("d")).msg(2, msg().text(1, "example.org").msg(7, version));
        to_json(&body("apiextensions.k8s.io/v1", "CustomResourceDefinition", definition))
            .map(|v| v["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    let string = || msg().text(5, "string");
    for (of, want) in [
        (
            msg().text(5, "object").msg(29, msg().text(1, "a").msg(2, string())),
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
        ),
        (msg().msg(8, msg().text(1, "null")), json!({"default": null})),
        (
            msg().msg(8, msg().text(1, "3")).msg(20, msg().text(1, "\"x\"")).msg(20, msg()),
            json!({"default": 3, "enum": ["x", null]}),
        ),
        (
            msg().double(9, 0.0).double(11, -1.5).double(19, 1e18),
            json!({"maximum": 0, "minimum": -1.5, "multipleOf": 1e18}),
        ),
        (msg().msg(24, msg().msg(1, string())), json!({"items": {"type": "string"}})),
        (msg().msg(24, msg().msg(2, string()).msg(2, msg())), json!({"items": [{"type": "string"}, {}]})),
        (msg().msg(30, msg().int(1, 0)), json!({"additionalProperties": false})),
        (msg().msg(30, msg().int(1, 1).msg(2, string())), json!({"additionalProperties": {"type": "string"}})),
        (msg().msg(32, msg().text(1, "a").msg(2, msg().text(2, "b"))), json!({"dependencies": {"a": ["b"]}})),
        (
            msg().msg(32, msg().text(1, "a").msg(2, msg().msg(1, string()))),
            json!({"dependencies": {"a": {"type": "string"}}}),
        ),
        (msg().int(38, 0).int(40, 0), json!({"x-kubernetes-preserve-unknown-fields": false})),
    ] {
        assert_eq!(schema(of), Ok(want));
    }
}

#[test]
fn a_field_that_comes_twice() {
    // The last scalar counts, messages are merged; so they are in every decoder.
    let object = msg()
        .msg(1, meta("a").entry(11, "k", "1").entry(11, "k", "2"))
        .msg(1, msg().text(1, "b").entry(11, "l", "3"))
        .text(3, "x")
        .text(3, "");
    let want = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "labels": {"k": "2", "l": "3"}}});
    assert_eq!(to_json(&body("v1", "Secret", object)), Ok(want));
}

#[test]
fn refusals() {
    let deep = |levels: usize| {
        let mut schema = msg();
        for _ in 0..levels {
            schema = msg().msg(28, schema);
        }
        let version = msg().msg(4, msg().msg(1, schema));
        body("apiextensions.k8s.io/v1", "CustomResourceDefinition", msg().msg(2, msg().msg(7, version)))
    };
    let mut many = msg();
    for _ in 0..600_000 {
        many = many.msg(2, msg());
    }
    let service_port = |port: Msg| body("v1", "Service", msg().msg(2, msg().msg(1, port)));
    for (bytes, want) in [
        (b"".to_vec(), "expected prefix [107 56 115 0]"),
        (b"{\"kind\":\"Pod\"}".to_vec(), "expected prefix [107 56 115 0]"),
        (b"k8s\0".to_vec(), "Object 'Kind' is missing"),
        (body("", "Pod", msg()), "Object 'apiVersion' is missing"),
        (body("example.org/v1", "Widget", msg()), "kind \"Widget\" of version \"example.org/v1\""),
        ([b"k8s\0", &msg().text(3, "gzip").0[..]].concat(), "holds \"gzip\""),
        ([b"k8s\0", &msg().text(4, "application/json").0[..]].concat(), "holds \"application/json\""),
        (body("v1", "Secret", msg().int(1, 1)), "core.v1.Secret field 1: wrong wire type"),
        (body("v1", "Secret", msg().text(5, "x")), "core.v1.Secret field 5: wrong wire type"),
        (body("v1", "Secret", msg().bytes(3, &[0xff])), "field 3: invalid UTF-8"),
        (body("v1", "Secret", msg().varint(0x0a).varint(9)), "field 1: unexpected EOF"),
        (service_port(msg().msg(4, msg().int(1, 2))), "neither a number nor a text"),
        (body("apps/v1", "ControllerRevision", msg().msg(2, msg().text(1, "{"))), "not JSON"),
        (body("v1", "Secret", msg().msg(1, msg().msg(8, msg().int(1, i64::MAX)))), "a time that cannot be written"),
        (deep(190), ""),
        (deep(250), "exceeded max depth"),
        (body("v1", "PodList", many), "too many values"),
    ] {
        match to_json(&bytes) {
            Ok(_) => assert_eq!(want, ""),
            Err(e) => assert!(!want.is_empty() && e.to_string().contains(want), "{e} / {want}"),
        }
    }
    assert!(matches!(to_json(&body("a/v1", "B", msg())), Err(DecodeError::UnknownKind { .. })));
    assert!(!knows("a/v1", "B"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(raw in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
        let (version, kind) = [
            ("apps/v1", "Deployment"),
            ("v1", "Pod"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ][kind];
        let _ = to_json(&raw);
        let _ = to_json(&[b"k8s\0", &raw[..]].concat());
        let _ = to_json(&body(version, kind, Msg(raw)));
    }

    #[test]
    fn a_spoiled_body_does_no_harm(at in 0..200_usize, to in any::<u8>(), cut in 0..200_usize) {
        let container = msg().text(1, "c").msg(8, msg()).msg(10, msg().msg(1, msg().msg(3, msg().msg(1, msg().int(2, 7)))));
        let template = msg().msg(1, meta("x").entry(11, "a", "b")).msg(2, msg().msg(2, container).int(21, 0));
        let mut bytes = body("apps/v1", "Deployment", msg().msg(1, meta("x")).msg(2, msg().int(1, 3).msg(3, template)));
        let length = bytes.len();
        bytes[at % length] = to;
        let _ = to_json(&bytes);
        bytes.truncate(cut % length);
        let _ = to_json(&bytes);
    }
}
