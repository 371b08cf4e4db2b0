//! The forms of single texts.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";
const CONFIG_KEY_TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";

/// The complaint about a text longer than `length`.
pub fn max_len_error(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

/// The complaint about a text that does not have the form of `regex`.
pub fn regex_error(text: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{regex}')");
    }
    let quoted: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{regex}')", quoted.join(" or "))
}

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// First and last byte are `edge`, those between `edge` or one of `inner`; not empty.
fn shaped(text: &str, edge: fn(u8) -> bool, inner: &[u8]) -> bool {
    let b = text.as_bytes();
    matches!((b.first(), b.last()), (Some(&f), Some(&l)) if edge(f) && edge(l))
        && b.iter().all(|&c| edge(c) || inner.contains(&c))
}

fn label_shaped(text: &str) -> bool {
    shaped(text, lower, b"-")
}

fn subdomain_shaped(text: &str) -> bool {
    text.split('.').all(label_shaped)
}

fn qualified_shaped(text: &str) -> bool {
    shaped(text, |c| c.is_ascii_alphanumeric(), b"-_.")
}

/// Complaints about a DNS-1123 label: `[a-z0-9-]`, at most 63.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_len_error(63));
    }
    if !label_shaped(text) {
        errors.push(if subdomain_shaped(text) {
            "must not contain dots".to_owned()
        } else {
            regex_error(LABEL_TEXT, LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

/// Complaints about a DNS-1123 subdomain: labels joined by dots, at most 253.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_len_error(253));
    }
    if !subdomain_shaped(text) {
        errors.push(regex_error(SUBDOMAIN_TEXT, SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// Complaints about a DNS-1035 label: like a DNS-1123 label that starts with a letter.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_len_error(63));
    }
    if !(label_shaped(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(regex_error(LABEL_1035_TEXT, LABEL_1035, &["my-name", "abc-123"]));
    }
    errors
}

/// Complaints about a qualified name, the form of label keys: `name` or `prefix/name`.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let examples = ["MyName", "my.name", "123-abc"];
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            let form = regex_error(QUALIFIED_TEXT, QUALIFIED, &examples);
            return vec![format!(
                "a qualified name {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_len_error(63)));
    }
    if !qualified_shaped(name) {
        errors.push(format!("name part {}", regex_error(QUALIFIED_TEXT, QUALIFIED, &examples)));
    }
    errors
}

/// Complaints about the value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_len_error(63));
    }
    if !(text.is_empty() || qualified_shaped(text)) {
        errors.push(regex_error(VALUE_TEXT, VALUE, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// Complaints about a name that must be able to stand between two slashes of a URL.
pub fn path_segment_name(text: &str, prefix: bool) -> Vec<String> {
    let mut errors = Vec::new();
    if !prefix && (text == "." || text == "..") {
        return vec![format!("may not be '{text}'")];
    }
    for c in ['/', '%'] {
        if text.contains(c) {
            errors.push(format!("may not contain '{c}'"));
        }
    }
    errors
}

/// Complaints about a key of a ConfigMap or Secret (Y-02).
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_len_error(253));
    }
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
        errors.push(regex_error(CONFIG_KEY_TEXT, CONFIG_KEY, &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        t if t.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_texts_have_no_complaints() {
        let long = "a".repeat(63);
        type Check = fn(&str) -> Vec<String>;
        let cases: [(Check, &[&str]); 6] = [
            (dns1123_label, &["a", "1", "a-b", "0-0", &long]),
            (dns1123_subdomain, &["a", "a.b", "1.2-3.c"]),
            (dns1035_label, &["a", "a-1"]),
            (qualified_name, &["a", "A_b.c-1", "example.com/Name", "a/b"]),
            (label_value, &["", "a", "A.b_c-1"]),
            (config_map_key, &["a", ".a", "A_b-c.d", "-"]),
        ];
        for (check, texts) in cases {
            for text in texts {
                assert_eq!(check(text), Vec::<String>::new(), "{text}");
            }
        }
    }

    #[test]
    fn complaints_are_kubernetes_own() {
        assert_eq!(
            dns1123_subdomain("Bad_Name"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_label("-"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(dns1035_label("1a").len(), 1);
        assert_eq!(dns1123_subdomain("a..b").len(), 1);
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/").len(), 2);
        assert!(qualified_name("a/b/c")[0].starts_with("a qualified name must consist of"));
        assert_eq!(
            label_value("not ok!"),
            [
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]
        );
        assert_eq!(
            config_map_key("a b"),
            [
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            ]
        );
        assert_eq!(config_map_key(".."), ["must not be '..'"]);
        assert_eq!(config_map_key("..a"), ["must not start with '..'"]);
        assert_eq!(path_segment_name("a/b%c", false), ["may not contain '/'", "may not contain '%'"]);
        assert_eq!(path_segment_name("..", false), ["may not be '..'"]);
        assert!(path_segment_name("..", true).is_empty());
    }
}
