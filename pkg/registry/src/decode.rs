//! Reading bodies: one pass from JSON text to a tree, and the checks of what the body says it is (N-04, N-13, C-12).

use kcp_apimachinery::{FieldError, FieldPath, GroupVersion, Status, field::go_quote};
use serde_json::{Map, Value};

use crate::{
    parse::read_tree,
    request::Body,
    types::{ResourceInfo, TypeTable},
};

/// A parsed body.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    /// See [`read_tree`].
    pub(crate) duplicates: Vec<String>,
}

/// Parses JSON, remembering duplicate keys.
pub(crate) fn parse(body: &Body) -> Result<Parsed, serde_json::Error> {
    let mut duplicates = body.duplicates.clone();
    let mut reader = serde_json::Deserializer::from_slice(&body.json);
    let value = read_tree(&mut reader, &mut duplicates)?;
    reader.end()?;
    Ok(Parsed { value, duplicates })
}

/// What Go's parser says of a text that is no JSON, as far as clients look at it.
pub(crate) fn go_json_error(text: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let start = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let rest = text.get(start..).unwrap_or_default();
    for word in ["null", "true", "false"] {
        if rest.first() == word.as_bytes().first() {
            for (got, want) in rest.iter().zip(word.bytes()) {
                if *got != want {
                    let (got, want) = (char::from(*got), char::from(want));
                    return format!("invalid character '{got}' in literal {word} (expecting '{want}')");
                }
            }
        }
    }
    match rest.first() {
        Some(&b) if !matches!(b, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b'n' | b't' | b'f') => {
            format!("invalid character '{}' looking for beginning of value", char::from(b))
        }
        _ => error.to_string(),
    }
}

/// The beginning of a body, for error texts.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let text = String::from_utf8_lossy(body.get(..SHOWN.min(body.len())).unwrap_or_default()).into_owned();
    if body.len() > SHOWN { text + " ..." } else { text }
}

/// Parses the body of a create or update and checks that it is an object of the kind of `info`.
///
/// For built-in kinds a missing kind or apiVersion is filled in; custom resources must say what they are (N-13).
pub(crate) fn object(body: &Body, info: &ResourceInfo, types: &TypeTable) -> Result<Parsed, Status> {
    expect_kind(body, &info.gvk.group, &info.gvk.version, &info.gvk.kind, info, types)
}

/// The same for a kind that is not the resource's own: the body of a subresource such as `scale` or `token`.
pub(crate) fn expect_kind(
    body: &Body,
    group: &str,
    version: &str,
    kind: &str,
    info: &ResourceInfo,
    types: &TypeTable,
) -> Result<Parsed, Status> {
    let unrecognized = |why: String| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({})",
            summary(&body.json)
        ))
    };
    let mut parsed = parse(body).map_err(|e| {
        unrecognized(format!("couldn't get version/kind; json parse error: {}", go_json_error(&body.json, &e)))
    })?;
    let own = kind == info.gvk.kind && group == info.gvk.group;
    let Value::Object(map) = &mut parsed.value else {
        return Err(unrecognized("couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }".to_owned()));
    };
    let text =
        |map: &Map<String, Value>, field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut got_version, mut got_kind) = (text(map, "apiVersion"), text(map, "kind"));
    let want = GroupVersion::new(group, version);
    if info.custom && own && (got_kind.is_empty() || got_version.is_empty()) {
        let what = if got_kind.is_empty() { "Kind" } else { "apiVersion" };
        let whole = String::from_utf8_lossy(&body.json).into_owned();
        return Err(unrecognized(format!("Object '{what}' is missing in '{whole}'")));
    }
    if got_kind.is_empty() {
        kind.clone_into(&mut got_kind);
    }
    if got_version.is_empty() {
        got_version = want.to_string();
    }
    check_kind(&got_version, &got_kind, &want, kind, info, types, &parsed.value)?;
    if let Value::Object(map) = &mut parsed.value {
        map.insert("apiVersion".into(), got_version.into());
        map.insert("kind".into(), got_kind.into());
    }
    Ok(parsed)
}

fn check_kind(
    got_version: &str,
    got_kind: &str,
    want: &GroupVersion,
    kind: &str,
    info: &ResourceInfo,
    types: &TypeTable,
    object: &Value,
) -> Result<(), Status> {
    let same_version = *got_version == want.to_string();
    if same_version && got_kind == kind {
        return Ok(());
    }
    let got = GroupVersion::parse(got_version).unwrap_or_default();
    let unhandled = |why: String| {
        Status::bad_request(format!(
            "{got_kind} in version {} cannot be handled as a {kind}: {why}",
            go_quote(&got.version)
        ))
    };
    let mismatch = || {
        Status::bad_request(format!(
            "the API version in the data ({got_version}) does not match the expected API version ({want})"
        ))
    };
    if info.custom {
        if !same_version {
            return Err(mismatch());
        }
        let error = FieldError::invalid(&FieldPath::new("kind"), got_kind, &format!("must be {kind}"));
        let group_kind = kcp_apimachinery::GroupKind::new(&want.group, got_kind);
        return Err(Status::invalid(&group_kind, kcp_apimachinery::object::name(object), &vec![error]));
    }
    let known = types.by_kind(&kcp_apimachinery::GroupVersionKind::new(&got.group, &got.version, got_kind));
    match known {
        Some(_) if got_kind == kind => Err(mismatch()),
        Some(_) => {
            let internal = |group: &str| {
                if group.is_empty() { "core".to_owned() } else { group.split('.').next().unwrap_or(group).to_owned() }
            };
            Err(unhandled(format!(
                "converting ({}.{got_kind}) to ({}.{kind}): unknown conversion",
                got.version,
                internal(&want.group)
            )))
        }
        None => Err(unhandled(format!(
            "no kind {} is registered for version {} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
            go_quote(got_kind),
            go_quote(got_version)
        ))),
    }
}

/// The fields of a body that a version which is not served would not know: all but those of every object. A client is
/// warned of them before it is told that the version is wrong (N-13).
pub(crate) fn foreign_fields(body: &Body, info: &ResourceInfo) -> Vec<String> {
    let Ok(Parsed { value: Value::Object(map), .. }) = parse(body) else { return Vec::new() };
    let version = map.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !info.custom || version.is_empty() || version == info.gvk.api_version() || kind != info.gvk.kind {
        return Vec::new();
    }
    map.keys().filter(|k| !["apiVersion", "kind", "metadata"].contains(&k.as_str())).cloned().collect()
}

/// What to do about unknown and duplicate fields (C-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// The findings of a strict decoder, in Kubernetes' words.
pub(crate) fn findings(duplicates: &[String], unknown: &[String]) -> Vec<String> {
    let line = |what: &str, path: &String| format!("{what} field {}", go_quote(path));
    duplicates.iter().map(|p| line("duplicate", p)).chain(unknown.iter().map(|p| line("unknown", p))).collect()
}

#[cfg(test)]
mod tests {
    use kcp_merge::MAX_DEPTH;
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicates_are_found_and_the_last_wins() {
        // N-04
        let body = Body::json(&br#"{"a":1,"a":2,"l":[{"x":1},{"x":1,"x":3}],"m":{"k":"v","k":"w","k":"z"}}"#[..]);
        let parsed = parse(&body).unwrap();
        assert_eq!(parsed.value, json!({"a": 2, "l": [{"x": 1}, {"x": 3}], "m": {"k": "z"}}));
        assert_eq!(parsed.duplicates, ["a", "l[1].x", "m.k"]);
    }

    #[test]
    fn depth_is_limited() {
        let parsed = |levels: usize| parse(&Body::json(format!("{}{}", "[".repeat(levels), "]".repeat(levels))));
        assert!(parsed(MAX_DEPTH).is_ok());
        assert!(parsed(MAX_DEPTH + 1).unwrap_err().to_string().starts_with("exceeded max depth"));
    }

    #[test]
    fn numbers_keep_their_type() {
        let parsed = parse(&Body::json(&b"[9223372036854775807,-1,1.0,1e3,18446744073709551615]"[..])).unwrap();
        assert_eq!(
            parsed.value,
            json!([9_223_372_036_854_775_807_i64, -1, 1.0, 1000.0, 18_446_744_073_709_551_615_u64])
        );
    }

    #[test]
    fn errors_sound_like_go() {
        for (text, want) in [
            ("{\"kind\":", "unexpected end of JSON input"),
            ("not json", "invalid character 'o' in literal null (expecting 'u')"),
            ("<x/>", "invalid character '<' looking for beginning of value"),
        ] {
            let error = parse(&Body::json(text.as_bytes().to_vec())).unwrap_err();
            assert_eq!(go_json_error(text.as_bytes(), &error), want);
        }
    }
}
