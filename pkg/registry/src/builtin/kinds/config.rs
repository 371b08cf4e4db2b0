//! Secrets (Y-01) and ConfigMaps (Y-02).

use base64::{Engine, engine::general_purpose::STANDARD};
use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object, validation};
use serde_json::{Map, Value};

use super::{built_in, entries, immutable, text};
use crate::strategy::{Strategy, StrategyContext};

/// Data beyond this is refused (C-18).
const MAX_SIZE: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub(super) struct Secrets;
pub(super) struct ConfigMaps;

impl Strategy for Secrets {
    fn decode(&self, object: &mut Value, ctx: &StrategyContext<'_>) -> Result<Vec<String>, Status> {
        let unknown = super::decode(object, ctx)?;
        merge_string_data(object);
        Ok(unknown)
    }

    fn validates_by_schema(&self) -> bool {
        false
    }

    fn default(&self, secret: &mut Value, _: &StrategyContext<'_>) {
        super::set_default_text(object::as_map(secret), "type", "Opaque");
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        secret(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        immutable(new.get("type"), old.get("type"), &FieldPath::new("type"), &mut errors);
        frozen(new, old, &["data"], &mut errors);
        errors.extend(secret(new));
        errors
    }
}

impl Strategy for ConfigMaps {
    built_in!(no_defaults);

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        config_map(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        frozen(new, old, &["data", "binaryData"], &mut errors);
        errors.extend(config_map(new));
        errors
    }
}

/// `stringData` is for writing only: its entries become those of `data`.
fn merge_string_data(secret: &mut Value) {
    let Value::Object(map) = secret else { return };
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let data = object::as_map(map.entry("data").or_insert_with(|| Value::Object(Map::new())));
    for (key, value) in texts {
        data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
    }
}

/// `immutable: true` cannot be taken back, and what it protects cannot change.
fn frozen(new: &Value, old: &Value, protected: &[&str], errors: &mut FieldErrors) {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return;
    }
    if new.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(&FieldPath::new("immutable"), FROZEN));
    }
    for field in protected {
        if new.get(field) != old.get(field) {
            errors.push(FieldError::forbidden(&FieldPath::new(*field), FROZEN));
        }
    }
}

fn keys(object: &Value, field: &str, errors: &mut FieldErrors) {
    let path = FieldPath::new(field);
    for (key, _) in entries(object, &format!("/{field}")) {
        for message in validation::config_map_key(key) {
            errors.push(FieldError::invalid(&path.key(key), key.as_str(), &message));
        }
    }
}

/// The size of decoded base64.
fn decoded_len(value: &Value) -> usize {
    let encoded = value.as_str().unwrap_or_default();
    encoded.len() / 4 * 3 - encoded.bytes().rev().take_while(|b| *b == b'=').count().min(2)
}

fn config_map(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    keys(o, "data", &mut errors);
    let path = FieldPath::new("data");
    let binary = o.get("binaryData");
    for (key, _) in entries(o, "/data") {
        if binary.is_some_and(|b| b.get(key).is_some()) {
            errors.push(FieldError::invalid(&path.key(key), key.as_str(), "duplicate of key present in binaryData"));
        }
    }
    keys(o, "binaryData", &mut errors);
    let size: usize = entries(o, "/data").map(|(_, v)| v.as_str().map_or(0, str::len)).sum::<usize>()
        + entries(o, "/binaryData").map(|(_, v)| decoded_len(v)).sum::<usize>();
    if size > MAX_SIZE {
        errors.push(FieldError::too_long(&FieldPath::new("[]"), MAX_SIZE));
    }
    errors
}

fn secret(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let data = FieldPath::new("data");
    keys(o, "data", &mut errors);
    if entries(o, "/data").map(|(_, v)| decoded_len(v)).sum::<usize>() > MAX_SIZE {
        errors.push(FieldError::too_long(&data, MAX_SIZE));
    }
    let value = |key: &str| o.get("data").and_then(|d| d.get(key)).and_then(Value::as_str);
    let mut require = |key: &str, present: bool| {
        if !present {
            errors.push(FieldError::required(&data.key(key), ""));
        }
    };
    match text(o, "/type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if object::annotation(o, NAME).is_none_or(str::is_empty) {
                errors.push(FieldError::required(&FieldPath::new("metadata.annotations").key(NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker(o, ".dockercfg", &mut errors),
        "kubernetes.io/dockerconfigjson" => docker(o, ".dockerconfigjson", &mut errors),
        "kubernetes.io/basic-auth" => {
            // One of the two is enough.
            let any = value("username").is_some() || value("password").is_some();
            require("username", any);
            require("password", any);
        }
        "kubernetes.io/ssh-auth" => require("ssh-privatekey", value("ssh-privatekey").is_some_and(|v| !v.is_empty())),
        "kubernetes.io/tls" => {
            require("tls.crt", value("tls.crt").is_some());
            require("tls.key", value("tls.key").is_some());
        }
        _ => {}
    }
    errors
}

fn docker(o: &Value, key: &str, errors: &mut FieldErrors) {
    let path = FieldPath::new("data").key(key);
    let Some(encoded) = o.get("data").and_then(|d| d.get(key)).and_then(Value::as_str) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let raw = STANDARD.decode(encoded).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Map<String, Value>>(&raw) {
        errors.push(FieldError::invalid(&path, "<secret contents redacted>", &error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    /// Y-01: text becomes data and wins over it.
    #[test]
    fn string_data_is_merged() {
        let mut o = json!({"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}});
        merge_string_data(&mut o);
        assert_eq!(o, json!({"data": {"a": "bmV3", "b": "Yg=="}}));
    }

    /// Y-01: what each type of secret must hold.
    #[test]
    fn typed_secrets() {
        for (o, want) in [
            (json!({"type": "Opaque"}), vec![]),
            (json!({"type": "helm.sh/release.v1", "data": {"release": ""}}), vec![]),
            (json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), vec!["data[tls.key]: Required value"]),
            (
                json!({"type": "kubernetes.io/basic-auth"}),
                vec!["data[username]: Required value", "data[password]: Required value"],
            ),
            (json!({"type": "kubernetes.io/basic-auth", "data": {"password": "eA=="}}), vec![]),
            (
                json!({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}}),
                vec!["data[ssh-privatekey]: Required value"],
            ),
            (
                json!({"type": "kubernetes.io/service-account-token"}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}), vec![]),
        ] {
            assert_eq!(texts(&secret(&o)), want, "{o}");
        }
        let bad = secret(&json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "bm9wZQ=="}}));
        assert!(
            bad[0].to_string().starts_with("data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\"")
        );
    }

    /// Y-02: keys and their overlap.
    #[test]
    fn config_maps() {
        for (o, want) in [
            (json!({"data": {"k": "x"}, "binaryData": {"b": "AAEC"}}), vec![]),
            (
                json!({"data": {"k": "x"}, "binaryData": {"k": "AAEC"}}),
                vec!["data[k]: Invalid value: \"k\": duplicate of key present in binaryData"],
            ),
            (json!({"data": {"..": ""}}), vec!["data[..]: Invalid value: \"..\": must not be '..'"]),
        ] {
            assert_eq!(texts(&config_map(&o)), want, "{o}");
        }
        assert!(
            texts(&config_map(&json!({"data": {"a/b": ""}})))[0]
                .starts_with("data[a/b]: Invalid value: \"a/b\": a valid config key must")
        );
        let big = json!({"data": {"k": "x".repeat(MAX_SIZE + 1)}});
        assert_eq!(texts(&config_map(&big)), ["[]: Too long: may not be more than 1048576 bytes"]);
    }

    /// U-14: once frozen, for ever.
    #[test]
    fn immutability() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        for (new, want) in [
            (json!({"immutable": true, "data": {"a": "1"}}), vec![]),
            (json!({"immutable": true, "data": {"a": "2"}}), vec!["data"]),
            (json!({"data": {"a": "1"}}), vec!["immutable"]),
        ] {
            let mut errors = FieldErrors::new();
            frozen(&new, &old, &["data", "binaryData"], &mut errors);
            let want: Vec<String> = want.into_iter().map(|f| format!("{f}: Forbidden: {FROZEN}")).collect();
            assert_eq!(texts(&errors), want);
        }
    }
}
