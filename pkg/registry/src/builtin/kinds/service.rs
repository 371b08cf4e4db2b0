//! Services, ingresses and network policies.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object, validation};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{built_in, each, list, pod_checks, set, set_default, set_default_text, text, within};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct Services;
pub(super) struct Ingresses;
pub(super) struct NetworkPolicies;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

impl Strategy for Services {
    built_in!(create_on_update, shown_when_deleted);

    fn name_rule(&self) -> validation::NameFn {
        validation::name_is_dns1035_label
    }

    fn default(&self, service: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(service), "spec", defaults);
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        set(new, "status", json!({"loadBalancer": {}}));
        let uid = object::uid(new).to_owned();
        within(object::as_map(new), "spec", |spec| allocate(spec, &uid));
        Ok(())
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        if ctx.subresource == "status" {
            return Ok(());
        }
        let uid = object::uid(old).to_owned();
        let external = text(new, "/spec/type") == "ExternalName";
        within(object::as_map(new), "spec", |spec| {
            // A client that does not know them does not mean to take them away.
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if let Some(value) = old.pointer(&format!("/spec/{field}")).filter(|_| !external) {
                    set_default(spec, field, value.clone());
                }
            }
            keep_node_ports(spec, old);
            allocate(spec, &uid);
        });
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        service(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" {
            return FieldErrors::new();
        }
        let mut errors = service(new);
        let (now, before) = (text(new, "/spec/clusterIP"), text(old, "/spec/clusterIP"));
        let either_external = [new, old].iter().any(|s| text(s, "/spec/type") == "ExternalName");
        if !before.is_empty() && now != before && !either_external {
            let path = FieldPath::new("spec.clusterIPs").index(0);
            errors.push(FieldError::invalid(&path, json!([now]), "may not change once set"));
        }
        errors
    }
}

fn defaults(spec: &mut Map<String, Value>) {
    set_default_text(spec, "type", "ClusterIP");
    set_default_text(spec, "sessionAffinity", "None");
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        set_default_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set_default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    each(spec, "ports", |p| {
        set_default_text(p, "protocol", "TCP");
        if let Some(port) = p.get("port").cloned() {
            let unset = p.get("targetPort").is_none_or(|t| t.is_null() || t == "" || t == 0);
            if unset {
                p.insert("targetPort".into(), port);
            }
        }
    });
}

/// A number below `limit` that depends on nothing but `seed`.
fn spread(seed: &str, limit: u32) -> u32 {
    let digest = Sha256::digest(seed);
    let word = digest.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b));
    word % limit
}

/// Gives a service its addresses and ports. They are computed from its uid, so there is nothing to keep in step; two
/// services may be given the same, which matters to nobody as long as no proxy routes by them.
fn allocate(spec: &mut Map<String, Value>, uid: &str) {
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        return;
    }
    let given = spec.get("clusterIP").and_then(Value::as_str).unwrap_or_default().to_owned();
    let address = if given.is_empty() {
        let host = spread(uid, 65_534) + 1;
        format!("10.96.{}.{}", host >> 8, host & 255)
    } else {
        given
    };
    spec.insert("clusterIP".into(), address.as_str().into());
    set_default(spec, "clusterIPs", json!([address]));
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    set_default(spec, "ipFamilies", json!([family]));
    set_default_text(spec, "ipFamilyPolicy", "SingleStack");
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        let mut index = 0;
        each(spec, "ports", |p| {
            index += 1;
            if p.get("nodePort").and_then(Value::as_i64).unwrap_or(0) == 0 {
                p.insert("nodePort".into(), (30_000 + spread(&format!("{uid}/{index}"), 2_768)).into());
            }
        });
    }
}

fn keep_node_ports(spec: &mut Map<String, Value>, old: &Value) {
    if !matches!(spec.get("type").and_then(Value::as_str), Some("NodePort" | "LoadBalancer")) {
        return;
    }
    each(spec, "ports", |p| {
        let same = list(old, "/spec/ports")
            .iter()
            .find(|o| o.get("port") == p.get("port") && o.get("protocol") == p.get("protocol"));
        if let Some(port) = same.and_then(|o| o.get("nodePort")) {
            set_default(p, "nodePort", port.clone());
        }
    });
}

fn service(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let spec = FieldPath::new("spec");
    let kind = text(o, "/spec/type");
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&spec.child("type"), kind, &TYPES));
    }
    let ports = list(o, "/spec/ports");
    let headless = text(o, "/spec/clusterIP") == "None";
    if kind == "ExternalName" {
        let name = text(o, "/spec/externalName");
        for message in validation::dns1123_subdomain(name.trim_end_matches('.')) {
            errors.push(FieldError::invalid(&spec.child("externalName"), name, &message));
        }
    } else if ports.is_empty() && !headless {
        errors.push(FieldError::required(&spec.child("ports"), ""));
    }
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&spec.child("clusterIPs").index(0), "None", &detail));
    }
    let mut names: Vec<&str> = Vec::new();
    for (i, p) in ports.iter().enumerate() {
        let path = spec.child("ports").index(i);
        let name = text(p, "/name");
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(&path.child("name"), ""));
            }
        } else {
            for message in validation::dns1123_label(name) {
                errors.push(FieldError::invalid(&path.child("name"), name, &message));
            }
            if names.contains(&name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            names.push(name);
        }
        pod_checks::port(p.get("port").and_then(Value::as_i64).unwrap_or(0), &path.child("port"), &mut errors);
        let protocol = text(p, "/protocol");
        let known = ["SCTP", "TCP", "UDP"];
        if !known.contains(&protocol) {
            errors.push(FieldError::not_supported(&path.child("protocol"), protocol, &known));
        }
        if let Some(target) = p.get("targetPort").and_then(Value::as_i64) {
            pod_checks::port(target, &path.child("targetPort"), &mut errors);
        }
        let twice = ports[..i].iter().any(|q| q.get("port") == p.get("port") && q.get("protocol") == p.get("protocol"));
        if twice {
            let shown = json!({"protocol": protocol, "port": p.get("port")});
            errors.push(FieldError::duplicate(&path, shown));
        }
    }
    if let Some(selector) = o.pointer("/spec/selector") {
        errors.extend(validation::validate_labels(selector, &spec.child("selector")));
    }
    errors
}

impl Strategy for Ingresses {
    built_in!(no_defaults, status);

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        ingress(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" { FieldErrors::new() } else { ingress(new) }
    }
}

fn ingress(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let spec = FieldPath::new("spec");
    let rules = list(o, "/spec/rules");
    if rules.is_empty() && o.pointer("/spec/defaultBackend").is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&spec, json!([]), detail));
    }
    for (i, rule) in rules.iter().enumerate() {
        for (j, p) in list(rule, "/http/paths").iter().enumerate() {
            let path = spec.child("rules").index(i).child("http").child("paths").index(j);
            let at = text(p, "/path");
            match text(p, "/pathType") {
                "" => errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified")),
                "Exact" | "Prefix" if !at.starts_with('/') => {
                    errors.push(FieldError::invalid(&path.child("path"), at, "must be an absolute path"));
                }
                "Exact" | "Prefix" | "ImplementationSpecific" => {}
                other => {
                    let known = ["Exact", "ImplementationSpecific", "Prefix"];
                    errors.push(FieldError::not_supported(&path.child("pathType"), other, &known));
                }
            }
            let backend = path.child("backend");
            if p.pointer("/backend/resource").is_none() && text(p, "/backend/service/name").is_empty() {
                errors.push(FieldError::required(&backend.child("service").child("name"), ""));
            }
        }
    }
    errors
}

impl Strategy for NetworkPolicies {
    built_in!();

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|e| !e.is_empty());
                let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
                spec.insert("policyTypes".into(), types);
            }
            for direction in ["ingress", "egress"] {
                each(spec, direction, |rule| each(rule, "ports", |p| set_default_text(p, "protocol", "TCP")));
            }
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let path = FieldPath::new("spec.podSelector");
        if let Some(selector) = new.pointer("/spec/podSelector") {
            pod_checks::label_selector(selector, &path, &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        self.validate_create(new, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn services_get_what_they_need() {
        let mut spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
        let map = object::as_map(&mut spec);
        defaults(map);
        allocate(map, "u-1");
        let port = spec["ports"][0]["nodePort"].as_i64().unwrap();
        assert!((30_000..32_768).contains(&port));
        assert!(spec["clusterIP"].as_str().unwrap().starts_with("10.96."));
        assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
        assert_eq!(spec["ports"][0]["targetPort"], 80);
        let before = spec.clone();
        allocate(object::as_map(&mut spec), "u-1");
        assert_eq!(spec, before);
        let mut external = json!({"type": "ExternalName", "externalName": "a.dev"});
        defaults(object::as_map(&mut external));
        allocate(object::as_map(&mut external), "u-1");
        assert_eq!(external, json!({"type": "ExternalName", "externalName": "a.dev", "sessionAffinity": "None"}));
    }

    #[test]
    fn services_are_checked() {
        let with = |spec: Value| {
            let mut spec = spec;
            defaults(object::as_map(&mut spec));
            texts(&service(&json!({"spec": spec})))
        };
        assert_eq!(with(json!({"ports": [{"port": 80}]})), Vec::<String>::new());
        assert_eq!(with(json!({})), ["spec.ports: Required value"]);
        assert_eq!(with(json!({"clusterIP": "None"})), Vec::<String>::new());
        assert_eq!(
            with(json!({"ports": [{"port": 80}, {"port": 70000, "name": "b"}]})),
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ports[1].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ]
        );
    }

    #[test]
    fn ingresses_are_checked() {
        assert_eq!(ingress(&json!({"spec": {}})).len(), 1);
        let rule = json!({"http": {"paths": [{"path": "/", "backend": {"service": {"name": "s"}}}]}});
        assert_eq!(
            texts(&ingress(&json!({"spec": {"rules": [rule]}}))),
            ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"]
        );
    }
}
