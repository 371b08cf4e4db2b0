//! Nodes, volumes, services and the rest of a cluster's furniture.

use kcp_apimachinery::time::Timestamp;
use serde_json::Value;

use super::helpers::*;

fn joined(items: &[Value], separator: &str) -> String {
    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
}

/// The addresses that a load balancer has been given.
fn balancers(o: &Value) -> String {
    let mut found: Vec<&str> = Vec::new();
    for i in list(o, "/status/loadBalancer/ingress") {
        let address = text_or(i, "/ip", text(i, "/hostname"));
        if !address.is_empty() && !found.contains(&address) {
            found.push(address);
        }
    }
    found.sort_unstable();
    found.join(",")
}

pub(super) fn service(o: &Value, now: Timestamp) -> Vec<Value> {
    let kind = text(o, "/spec/type");
    let given = joined(list(o, "/spec/externalIPs"), ",");
    let external = match kind {
        "ClusterIP" | "NodePort" if given.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => given,
        "LoadBalancer" => {
            let parts: Vec<String> = [balancers(o), given].into_iter().filter(|s| !s.is_empty()).collect();
            if parts.is_empty() { "<pending>".into() } else { parts.join(",") }
        }
        "ExternalName" => text(o, "/spec/externalName").to_owned(),
        _ => "<unknown>".into(),
    };
    let ports: Vec<String> = list(o, "/spec/ports")
        .iter()
        .map(|p| match int(p, "/nodePort") {
            0 => format!("{}/{}", int(p, "/port"), text(p, "/protocol")),
            node => format!("{}:{node}/{}", int(p, "/port"), text(p, "/protocol")),
        })
        .collect();
    vec![
        name(o),
        kind.into(),
        text_or(o, "/spec/clusterIPs/0", text_or(o, "/spec/clusterIP", "<none>")).into(),
        external.into(),
        if ports.is_empty() { "<none>".into() } else { ports.join(",").into() },
        age(o, now),
        labels(map(o, "/spec/selector")).into(),
    ]
}

fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(super) fn endpoints(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(o, "/subsets") {
        for address in list(subset, "/addresses") {
            let ip = text(address, "/ip");
            let ports = list(subset, "/ports");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|p| host_port(ip, int(p, "/port"))));
        }
    }
    vec![name(o), few(&all, 3, "<none>").into(), age(o, now)]
}

pub(super) fn endpoint_slice(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut ports: Vec<String> = Vec::new();
    for p in list(o, "/ports") {
        let shown = match p.get("port").and_then(Value::as_i64) {
            Some(number) => number.to_string(),
            None => text_or(p, "/name", "*").to_owned(),
        };
        if !ports.contains(&shown) {
            ports.push(shown);
        }
    }
    let addresses: Vec<String> = list(o, "/endpoints")
        .iter()
        .flat_map(|e| list(e, "/addresses"))
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    vec![
        name(o),
        text(o, "/addressType").into(),
        few(&ports, 3, "<unset>").into(),
        few(&addresses, 3, "<unset>").into(),
        age(o, now),
    ]
}

pub(super) fn node(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = match condition_is(o, "Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(o, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = map(o, "/metadata/labels")
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| match k.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if k == "kubernetes.io/role" => v.as_str(),
            None => None,
        })
        .filter(|r| !r.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let roles = if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") };
    let address = |kind: &str| {
        let found = list(o, "/status/addresses").iter().find(|a| text(a, "/type") == kind);
        found.map_or("<none>", |a| text(a, "/address"))
    };
    vec![
        name(o),
        status.into(),
        roles.into(),
        age(o, now),
        text(o, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        text_or(o, "/status/nodeInfo/osImage", "<unknown>").into(),
        text_or(o, "/status/nodeInfo/kernelVersion", "<unknown>").into(),
        text_or(o, "/status/nodeInfo/containerRuntimeVersion", "<unknown>").into(),
    ]
}

fn access_modes(o: &Value, pointer: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for (mode, short) in
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")]
    {
        if list(o, pointer).iter().any(|m| m == mode) {
            out.push(short);
        }
    }
    out.join(",")
}

fn phase(o: &Value) -> &str {
    if text(o, "/metadata/deletionTimestamp").is_empty() { text(o, "/status/phase") } else { "Terminating" }
}

pub(super) fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match text(o, "/spec/claimRef/name") {
        "" => String::new(),
        claim => format!("{}/{claim}", text(o, "/spec/claimRef/namespace")),
    };
    vec![
        name(o),
        text(o, "/spec/capacity/storage").into(),
        access_modes(o, "/spec/accessModes").into(),
        text(o, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(o).into(),
        claim.into(),
        text(o, "/spec/storageClassName").into(),
        text_or(o, "/spec/volumeAttributesClassName", "<unset>").into(),
        text(o, "/status/reason").into(),
        age(o, now),
        text_or(o, "/spec/volumeMode", "<unset>").into(),
    ]
}

pub(super) fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(o, "/spec/volumeName");
    let (capacity, modes) = if volume.is_empty() {
        ("", String::new())
    } else {
        (text(o, "/status/capacity/storage"), access_modes(o, "/status/accessModes"))
    };
    vec![
        name(o),
        phase(o).into(),
        volume.into(),
        capacity.into(),
        modes.into(),
        text(o, "/spec/storageClassName").into(),
        text_or(o, "/spec/volumeAttributesClassName", "<unset>").into(),
        age(o, now),
        text_or(o, "/spec/volumeMode", "<unset>").into(),
    ]
}

pub(super) fn ingress(o: &Value, now: Timestamp) -> Vec<Value> {
    let hosts: Vec<String> =
        list(o, "/spec/rules").iter().map(|r| text(r, "/host").to_owned()).filter(|h| !h.is_empty()).collect();
    let ports = if list(o, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        name(o),
        text_or(o, "/spec/ingressClassName", "<none>").into(),
        few(&hosts, 3, "*").into(),
        balancers(o).into(),
        ports.into(),
        age(o, now),
    ]
}

pub(super) fn ingress_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = match (text(o, "/spec/parameters/kind"), text(o, "/spec/parameters/apiGroup")) {
        ("", _) => "<none>".to_owned(),
        (kind, "") => format!("{kind}/{}", text(o, "/spec/parameters/name")),
        (kind, group) => format!("{kind}.{group}/{}", text(o, "/spec/parameters/name")),
    };
    vec![name(o), text(o, "/spec/controller").into(), parameters.into(), age(o, now)]
}

pub(super) fn network_policy(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), selector(o.pointer("/spec/podSelector")).into(), age(o, now)]
}

pub(super) fn ip_address(o: &Value, _: Timestamp) -> Vec<Value> {
    let parent =
        ["resource", "group", "namespace", "name"].map(|f| text(o, &format!("/spec/parentRef/{f}")).to_owned());
    let [resource, group, namespace, parent_name] = parent;
    let what = if group.is_empty() { resource } else { format!("{resource}.{group}") };
    let path: Vec<String> = [what, namespace, parent_name].into_iter().filter(|p| !p.is_empty()).collect();
    vec![name(o), path.join("/").into()]
}

pub(super) fn service_cidr(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), joined(list(o, "/spec/cidrs"), ",").into(), age(o, now)]
}

pub(super) fn runtime_class(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), text(o, "/handler").into(), age(o, now)]
}

pub(super) fn priority_class(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(o),
        int(o, "/value").into(),
        flag(o, "/globalDefault").into(),
        age(o, now),
        text(o, "/preemptionPolicy").into(),
    ]
}

pub(super) fn csi_driver(o: &Value, now: Timestamp) -> Vec<Value> {
    let or = |pointer: &str, default: bool| o.pointer(pointer).and_then(Value::as_bool).unwrap_or(default);
    let audiences: Vec<&str> = list(o, "/spec/tokenRequests").iter().map(|t| text(t, "/audience")).collect();
    let modes = joined(list(o, "/spec/volumeLifecycleModes"), ",");
    vec![
        name(o),
        or("/spec/attachRequired", true).into(),
        or("/spec/podInfoOnMount", false).into(),
        or("/spec/storageCapacity", false).into(),
        if audiences.is_empty() { "<unset>".into() } else { audiences.join(",").into() },
        or("/spec/requiresRepublish", false).into(),
        if modes.is_empty() { "<none>".into() } else { modes.into() },
        age(o, now),
    ]
}

pub(super) fn csi_node(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), list(o, "/spec/drivers").len().into(), age(o, now)]
}

/// The name, marked when an annotation makes the class the default.
fn class_name(o: &Value, annotation: &str) -> Value {
    let marked = map(o, "/metadata/annotations").and_then(|a| a.get(annotation)).is_some_and(|v| v == "true");
    let name = text(o, "/metadata/name");
    if marked { format!("{name} (default)").into() } else { name.into() }
}

pub(super) fn storage_class(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        class_name(o, "storageclass.kubernetes.io/is-default-class"),
        text(o, "/provisioner").into(),
        text_or(o, "/reclaimPolicy", "Delete").into(),
        text_or(o, "/volumeBindingMode", "Immediate").into(),
        flag(o, "/allowVolumeExpansion").into(),
        age(o, now),
    ]
}

pub(super) fn volume_attachment(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(o),
        text(o, "/spec/attacher").into(),
        text(o, "/spec/source/persistentVolumeName").into(),
        text(o, "/spec/nodeName").into(),
        flag(o, "/status/attached").into(),
        age(o, now),
    ]
}

pub(super) fn volume_attributes_class(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        class_name(o, "volumeattributesclass.alpha.kubernetes.io/is-default-class"),
        text(o, "/driverName").into(),
        age(o, now),
    ]
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::time::parse_rfc3339;
    use serde_json::json;

    use super::*;

    /// P-07: the kinds of a cluster.
    #[test]
    fn cells_of_a_cluster() {
        let now = parse_rfc3339("2024-05-06T08:00:00Z").unwrap();
        let meta = json!({"name": "x", "creationTimestamp": "2024-05-04T07:00:00Z"});
        let cases: Vec<(super::super::Cells, Value, Value)> = vec![
            (
                service,
                json!({"metadata": meta, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}], "selector": {"a": "b"}}}),
                json!(["x", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "2d1h", "a=b"]),
            ),
            (
                service,
                json!({"metadata": meta, "spec": {"type": "LoadBalancer", "clusterIP": "None", "clusterIPs": ["None"]}}),
                json!(["x", "LoadBalancer", "None", "<pending>", "<none>", "2d1h", "<none>"]),
            ),
            (
                node,
                json!({"metadata": {"name": "x", "labels": {"node-role.kubernetes.io/control-plane": ""}, "creationTimestamp": "2024-05-04T07:00:00Z"},
                    "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}}}),
                json!([
                    "x",
                    "Ready,SchedulingDisabled",
                    "control-plane",
                    "2d1h",
                    "v1.36.0",
                    "10.1.1.1",
                    "<none>",
                    "<unknown>",
                    "<unknown>",
                    "<unknown>"
                ]),
            ),
            (
                claim,
                json!({"metadata": meta, "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
                    "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
                json!(["x", "Bound", "v", "1Gi", "RWO", "fast", "<unset>", "2d1h", "Filesystem"]),
            ),
            (
                ingress,
                json!({"metadata": meta, "spec": {"rules": [{"host": "a.dev"}, {"host": "b.dev"}], "tls": [{}]},
                    "status": {"loadBalancer": {"ingress": [{"hostname": "lb"}]}}}),
                json!(["x", "<none>", "a.dev,b.dev", "lb", "80, 443", "2d1h"]),
            ),
            (
                storage_class,
                json!({"metadata": {"name": "x", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}),
                json!(["x (default)", "p", "Delete", "Immediate", false, "<unknown>"]),
            ),
            (
                endpoints,
                json!({"metadata": meta, "subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd::1"}], "ports": [{"port": 80}]}]}),
                json!(["x", "10.0.0.1:80,[fd::1]:80", "2d1h"]),
            ),
        ];
        for (printer, object, want) in cases {
            assert_eq!(Value::Array(printer(&object, now)), want);
        }
    }
}
