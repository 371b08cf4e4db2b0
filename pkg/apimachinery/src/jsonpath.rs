//! Paths in the JSONPath dialect of Kubernetes: printer columns, scale paths and selectable fields of CRDs.
//!
//! A path of plain fields and indexes, which nearly all are, is walked directly. Anything else (filters, wildcards,
//! slices, unions, recursive descent) is translated once to RFC 9535 and handed to `jsonpath-rust`. A [`Path`] is parsed
//! once per type and queried for every row.

use std::fmt;

use jsonpath_rust::{
    parser::{model::JpQuery, parse_json_path},
    query::js_path_process,
};
use serde_json::Value;

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid path {path:?}: {reason}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One step of a plain path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of a map.
    Field(String),
    /// An item of a list.
    Index(usize),
}

enum Program {
    Plain(Vec<Step>),
    Query(Box<JpQuery>),
}

/// A parsed path.
pub struct Path {
    text: String,
    program: Program,
}

impl Path {
    /// Parses `.spec.x`, `.status.conditions[?(@.type=="Ready")].status`, `.metadata.labels.foo\.io/bar` and the like.
    ///
    /// # Errors
    /// When the text is no path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let fail = |reason: String| PathError { path: text.to_owned(), reason };
        let body = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let body = body.strip_prefix('$').unwrap_or(body);
        let mut translation = Translation { rest: body, steps: Some(Vec::new()), query: String::from("$") };
        translation.run(|_| false).map_err(fail)?;
        let program = match translation.steps {
            Some(steps) => Program::Plain(steps),
            None => Program::Query(Box::new(parse_json_path(&translation.query).map_err(|e| fail(e.to_string()))?)),
        };
        Ok(Self { text: text.to_owned(), program })
    }

    /// What the path finds in `value`, in order; nothing when a part is missing.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match &self.program {
            Program::Plain(_) => self.first(value).into_iter().collect(),
            Program::Query(query) => js_path_process(query, value)
                .map(|found| found.into_iter().map(|f| f.val).collect())
                .unwrap_or_default(),
        }
    }

    /// The first thing that the path finds.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match &self.program {
            Program::Plain(steps) => steps.iter().try_fold(value, |at, step| match step {
                Step::Field(name) => at.get(name.as_str()),
                Step::Index(index) => at.get(*index),
            }),
            Program::Query(_) => self.find(value).into_iter().next(),
        }
    }

    /// The steps of a plain path; `None` when the path is more than that.
    pub fn steps(&self) -> Option<&[Step]> {
        match &self.program {
            Program::Plain(steps) => Some(steps),
            Program::Query(_) => None,
        }
    }

    /// The field names of a path that has nothing else, such as a selectable field's or a scale path.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let names = self.steps()?.iter().map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Index(_) => None,
        });
        names.collect()
    }
}

/// What JSONPath prints for the values found: text as it is, anything else as JSON, separated by spaces (P-05).
pub fn print(found: &[&Value]) -> String {
    let texts = found.iter().map(|value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    });
    texts.collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({:?})", self.text)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A walk over the text that writes both forms; `steps` is given up when something is not plain.
struct Translation<'a> {
    rest: &'a str,
    steps: Option<Vec<Step>>,
    query: String,
}

impl<'a> Translation<'a> {
    /// Reads segments until the end, or until `stop` says so of the next character (inside a filter).
    fn run(&mut self, stop: fn(char) -> bool) -> Result<(), String> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '.' => {
                    self.rest = &self.rest[1..];
                    if let Some(rest) = self.rest.strip_prefix('.') {
                        self.rest = rest;
                        self.steps = None;
                        self.query.push_str("..");
                        if !self.rest.starts_with('[') {
                            self.member(stop)?;
                        }
                    } else if self.rest.is_empty() && self.query == "$" {
                        // "." is the object itself.
                    } else if !self.rest.starts_with('[') {
                        self.member(stop)?;
                    }
                }
                '[' => self.bracket()?,
                c if stop(c) => return Ok(()),
                c => return Err(format!("expected '.' or '[' but found {c:?}")),
            }
        }
        Ok(())
    }

    /// A field after a dot. A backslash makes the next character part of the name.
    fn member(&mut self, stop: fn(char) -> bool) -> Result<(), String> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, c)) => name.push(c),
                    None => return Err("ends in a backslash".to_owned()),
                },
                '.' | '[' | ']' | '{' | '}' => {
                    end = i;
                    break;
                }
                c if c.is_whitespace() || stop(c) => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
        }
        let plain = &self.rest[..end];
        self.rest = &self.rest[end..];
        match name.as_str() {
            "" => Err("a field name is empty".to_owned()),
            "*" if plain == "*" => {
                self.steps = None;
                self.query.push_str("[*]");
                Ok(())
            }
            _ => {
                self.field(name);
                Ok(())
            }
        }
    }

    fn field(&mut self, name: String) {
        let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
        self.query.push_str(&format!("['{quoted}']"));
        if let Some(steps) = &mut self.steps {
            steps.push(Step::Field(name));
        }
    }

    fn bracket(&mut self) -> Result<(), String> {
        let inner_start = &self.rest[1..];
        let end = closing(inner_start).ok_or("a bracket is not closed")?;
        let inner = inner_start[..end].trim();
        self.rest = &inner_start[end + 1..];
        if let Some(filter) = inner.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
            self.steps = None;
            let expression = filter_expression(filter)?;
            self.query.push_str(&format!("[?({expression})]"));
        } else if let Some(name) = quoted(inner) {
            self.field(name);
        } else if let Ok(index) = inner.parse::<usize>() {
            self.query.push_str(&format!("[{index}]"));
            if let Some(steps) = &mut self.steps {
                steps.push(Step::Index(index));
            }
        } else if inner.is_empty() {
            return Err("brackets are empty".to_owned());
        } else {
            self.steps = None;
            self.query.push_str(&format!("[{inner}]"));
        }
        Ok(())
    }
}

/// The offset of the bracket that closes the one just opened, not counting those in quotes.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(i),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

/// The text between quotes, when `text` is exactly one quoted text.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            c if c == quote => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Rewrites the fields of a filter to the bracketed form; the rest means the same in both dialects.
fn filter_expression(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '@' => {
                let mut inner = Translation { rest: &rest[1..], steps: None, query: String::from("@") };
                inner.run(|c| matches!(c, '=' | '!' | '<' | '>' | '&' | '|' | ')' | '(') || c.is_whitespace())?;
                out.push_str(&inner.query);
                rest = inner.rest;
            }
            '\'' | '"' => {
                let end = rest[1..].find(c).ok_or("a quote is not closed")? + 2;
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_they_name() {
        let object = json!({
            "metadata": {"name": "n", "labels": {"foo.io/bar": "x", "a'b": "q"}},
            "spec": {"x": 1, "list": [{"n": "a", "v": 1}, {"n": "b", "v": 2}], "deep": {"x": 2}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "my-key": "1"}, {"type": "Synced", "status": "False"}]}
        });
        let cases = [
            (".spec.x", json!([1])),
            ("$.spec.x", json!([1])),
            ("{.spec.x}", json!([1])),
            (".spec.none.x", json!([])),
            (".spec.list[1].n", json!(["b"])),
            (".spec.list[9].n", json!([])),
            (".spec.list[-1].n", json!(["b"])),
            (".spec.list[0:1].n", json!(["a"])),
            (".spec.list[*].v", json!([1, 2])),
            (".spec['x']", json!([1])),
            (".spec[\"deep\"].x", json!([2])),
            (r".metadata.labels.foo\.io/bar", json!(["x"])),
            (".metadata.labels['foo.io/bar']", json!(["x"])),
            (r".metadata.labels['a\'b']", json!(["q"])),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (r".status.conditions[?(@.type == 'Synced')].status", json!(["False"])),
            (r#".status.conditions[?(@.my-key=="1")].type"#, json!(["Ready"])),
            (".status.conditions[?(@.my-key)].type", json!(["Ready"])),
            (".spec.list[?(@.v>1)].n", json!(["b"])),
            (r#".status.conditions[?(@.type=="]")].status"#, json!([])),
        ];
        for (text, want) in cases {
            let path = Path::parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(json!(path.find(&object)), want, "{text}");
        }
        assert_eq!(Path::parse("..x").unwrap().find(&object).len(), 2);
        assert_eq!(Path::parse(".").unwrap().find(&object), [&object]);
    }

    #[test]
    fn texts_that_are_no_paths() {
        for bad in ["spec.x", ".a[", ".a[]", ".a..", ".a b", ".a\\", ".a[?(@.b==\"]", "..", ".a[x]", ".a[?(]"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_paths_are_known_as_such() {
        assert_eq!(Path::parse(".spec.replicas").unwrap().fields(), Some(vec!["spec", "replicas"]));
        assert_eq!(Path::parse(".spec.l[0]").unwrap().fields(), None);
        assert!(Path::parse(".spec.l[*]").unwrap().steps().is_none());
    }

    #[test]
    fn found_values_print_as_text_p05() {
        let (a, b) = (json!("x"), json!({"y": [1]}));
        assert_eq!(print(&[&a, &b]), r#"x {"y":[1]}"#);
    }
}
