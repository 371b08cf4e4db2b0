//! YAML in and out (N-03), behind one small module because the choice of crate may change.
//!
//! What comes in is bounded before it is believed: nesting, aliases and their expansion, nodes (CVE-2019-11253).
//! What goes out has sorted keys, as Kubernetes writes it.

use kcp_apimachinery::Status;
use kcp_registry::{Body, read_tree};
use serde_json::Value;

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 100;
/// How many events aliases may expand to.
const MAX_ALIAS_EVENTS: usize = 100_000;

/// Reads one YAML document (or JSON, which is YAML). Of equal keys the last counts; the paths of the others are put
/// into `duplicates`.
///
/// # Errors
/// A text for people: not YAML, too deep, or too many aliases.
pub(crate) fn parse(bytes: &[u8], duplicates: &mut Vec<String>) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
            max_nodes: 500_000,
            max_anchors: 1_000,
            max_aliases: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIAS_EVENTS,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    let mut found = Vec::new();
    let read = serde_saphyr::with_deserializer_from_slice_with_options(bytes, options, |d| read_tree(d, &mut found));
    duplicates.append(&mut found);
    read.map_err(|e| {
        let text = e.to_string();
        let lower = text.to_lowercase();
        if lower.contains("alias") {
            "document contains excessive aliasing".to_owned()
        } else if lower.contains("depth") || lower.contains("nest") || lower.contains("recursion") {
            "exceeded max depth".to_owned()
        } else {
            text
        }
    })
}

/// Reads a YAML body as the JSON that it means. That keys occurred twice is noted, for whoever validates strictly (C-12).
///
/// # Errors
/// 400 with the reason, after `refusal`.
pub(crate) fn to_body(bytes: &[u8], refusal: &str) -> Result<Body, Status> {
    let mut duplicates = Vec::new();
    let value = parse(bytes, &mut duplicates).map_err(|e| Status::bad_request(format!("{refusal}: yaml: {e}")))?;
    let json = serde_json::to_vec(&value).map_err(Status::internal)?;
    Ok(Body { json: json.into(), duplicates })
}

/// Writes JSON bytes as YAML.
///
/// # Errors
/// When the bytes are not JSON, which ours always are.
pub(crate) fn from_json(json: &[u8]) -> Result<Vec<u8>, Status> {
    let value: Value = serde_json::from_slice(json).map_err(Status::internal)?;
    serde_saphyr::to_string(&value).map(String::into_bytes).map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Value, String> {
        super::parse(bytes, &mut Vec::new())
    }

    #[test]
    fn yaml_is_read_as_kubernetes_reads_it() {
        // N-03, N-04
        for (yaml, want) in [
            ("a: 1\nb: [x, 'y']\n", json!({"a": 1, "b": ["x", "y"]})),
            ("{\"a\": {\"b\": null}}", json!({"a": {"b": null}})),
            ("n: 9223372036854775807\n", json!({"n": 9_223_372_036_854_775_807_i64})),
            ("f: 1.5\ns: \"1.5\"\n", json!({"f": 1.5, "s": "1.5"})),
            ("t: |\n  two\n  lines\n", json!({"t": "two\nlines\n"})),
            ("d: &x {k: v}\ne: *x\n", json!({"d": {"k": "v"}, "e": {"k": "v"}})),
            ("time: 2026-01-02T03:04:05Z\n", json!({"time": "2026-01-02T03:04:05Z"})),
            ("---\na: b\n", json!({"a": "b"})),
            ("yes: on\n", json!({"yes": true})),
        ] {
            assert_eq!(parse(yaml.as_bytes()), Ok(want), "{yaml}");
        }
    }

    #[test]
    fn equal_keys_are_noted() {
        // C-12, N-04
        let body = to_body(b"a: 1\nm: {x: 1, x: 2}\nl: [{y: 1, y: 3}]\na: 2\n", "no").unwrap();
        assert_eq!(&*body.json, br#"{"a":2,"l":[{"y":3}],"m":{"x":2}}"#);
        assert_eq!(body.duplicates, ["m.x", "l[0].y", "a"]);
    }

    #[test]
    fn bombs_are_refused_quickly() {
        // CVE-2019-11253
        let mut bomb = String::from("a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n");
        for (name, prev) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
            bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{prev}"); 9].join(",")));
        }
        assert_eq!(parse(bomb.as_bytes()), Err("document contains excessive aliasing".to_owned()));
        assert_eq!(parse("[".repeat(100_000).as_bytes()), Err("exceeded max depth".to_owned()));
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes()), Err("exceeded max depth".to_owned()));
    }

    #[test]
    fn what_goes_out_comes_back() {
        let value = json!({"kind": "ConfigMap", "data": {"a": "1", "b": "true", "c": "line\nline\n", "e": ""}, "list": [], "n": 3, "z": {}});
        let text = from_json(value.to_string().as_bytes()).unwrap();
        assert_eq!(parse(&text), Ok(value), "{}", String::from_utf8_lossy(&text));
    }
}
