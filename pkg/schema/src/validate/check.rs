//! The walk that validates a value against a node.
//!
//! Nothing is allocated while all is well, except for the growth of one path buffer.

use kcp_apimachinery::field::go_quote;
use kcp_apimachinery::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
use serde_json::{Map, Value};
use std::fmt::Write as _;

use super::golang::{display, equal};
use super::numeric::is_integer;
use super::rules::Rules;
use crate::node::{Additional, ListType, MAX_DEPTH, NodeRef, ValueKind};

/// How many findings are reported at most: nobody reads more, and a body could be made to have a million.
pub(crate) const MAX_FINDINGS: usize = 100;

/// Findings, and how many checks ran: the branch of an anyOf that got furthest tells its errors.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    errors: Vec<FieldError>,
    pub(crate) matches: usize,
}

impl Outcome {
    pub(crate) fn into_errors(self) -> FieldErrors {
        self.errors
    }

    pub(crate) fn add(&mut self, error: FieldError) {
        if self.errors.len() >= MAX_FINDINGS {
            return;
        }
        // Branches of junctors may find the same twice.
        if !self.errors.iter().any(|known| known.path == error.path && known.message == error.message) {
            self.errors.push(error);
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        for error in other.errors {
            self.add(error);
        }
    }

    pub(crate) fn valid(&self) -> bool {
        self.errors.is_empty()
    }
}

pub(crate) struct Checker<'p> {
    at: &'p FieldPath,
    pub(crate) path: String,
}

impl<'p> Checker<'p> {
    pub(crate) fn new(at: &'p FieldPath) -> Self {
        Self { at, path: String::new() }
    }

    /// The full path of the current value, or of the field `name` below it.
    fn location(&self, name: Option<&str>) -> FieldPath {
        let mut path = self.at.as_str().to_owned();
        for part in [Some(self.path.as_str()), name].into_iter().flatten() {
            if !path.is_empty() && !part.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
        FieldPath::new(path)
    }

    pub(crate) fn invalid(&self, value: &Value, detail: &str) -> FieldError {
        self.finding(FieldErrorKind::Invalid, &display(value), &format!("{} in body {detail}", self.path))
    }

    pub(crate) fn finding(&self, kind: FieldErrorKind, shown: &str, detail: &str) -> FieldError {
        FieldError::plain(kind, &self.location(None), &format!("Invalid value: {shown}"), detail)
    }

    /// A finding that carries its place in the text only.
    pub(crate) fn loose(&self, detail: &str) -> FieldError {
        FieldError::plain(FieldErrorKind::Invalid, self.at, "Invalid value: \"\"", detail)
    }

    fn type_error(&self, expected: &str, found: &str) -> FieldError {
        let found = go_quote(found);
        let detail = format!("{} in body must be of type {expected}: {found}", self.path);
        self.finding(FieldErrorKind::TypeInvalid, &found, &detail)
    }

    /// Validates `value`; findings are dropped when it equals the value it replaces.
    pub(crate) fn value(&mut self, node: NodeRef<'_>, value: &Value, old: Option<&Value>, depth: usize) -> Outcome {
        if node.is_meta() {
            return Outcome::default();
        }
        let outcome = self.unratcheted(node, value, old, depth);
        match old {
            Some(old) if !outcome.valid() && equal(value, old) => {
                Outcome { errors: Vec::new(), matches: outcome.matches }
            }
            _ => outcome,
        }
    }

    /// Validates `value` whatever it replaces.
    pub(crate) fn unratcheted(
        &mut self,
        node: NodeRef<'_>,
        value: &Value,
        old: Option<&Value>,
        depth: usize,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if depth > MAX_DEPTH {
            outcome.add(self.loose("the value is nested too deeply"));
            return outcome;
        }
        let data = node.node();
        let rules = data.rules.as_deref();
        self.kind(node, value, &mut outcome);
        if value.is_null() {
            self.allowed_values(rules, value, &mut outcome);
            return outcome;
        }
        if let Some(rules) = rules {
            self.junctors(node, rules, value, old, depth, &mut outcome);
        }
        outcome.matches += 2;
        match value {
            Value::String(text) => self.text(node, rules, text, &mut outcome),
            Value::Number(number) => {
                self.number(node, rules, number, value, &mut outcome);
                outcome.matches += 2;
            }
            Value::Array(items) => {
                self.list(node, rules, items, old, depth, &mut outcome);
                outcome.matches += 2;
            }
            _ => {}
        }
        self.allowed_values(rules, value, &mut outcome);
        outcome.matches += 1;
        if let Value::Object(map) = value {
            self.map(node, rules, map, old, depth, &mut outcome);
            outcome.matches += 1;
        }
        outcome.matches += 1;
        outcome
    }

    /// The type that the node demands.
    fn kind(&self, node: NodeRef<'_>, value: &Value, outcome: &mut Outcome) {
        let expected = node.value_kind();
        if node.is_int_or_string() {
            let fits = match value {
                Value::String(_) => true,
                Value::Number(n) => is_integer(n),
                Value::Null => node.nullable(),
                _ => false,
            };
            if fits {
                outcome.matches += 1;
            } else {
                outcome.add(self.type_error("integer,string", type_of(value)));
            }
            return;
        }
        let format = node.format();
        if expected == ValueKind::Any && format.is_empty() {
            return;
        }
        let found = type_of(value);
        let fits = match value {
            Value::Null => expected == ValueKind::Any || node.nullable(),
            // With a format, texts and lists are left to the format's check.
            Value::String(_) | Value::Array(_)
                if !format.is_empty() && !matches!(expected, ValueKind::Number | ValueKind::Integer) =>
            {
                true
            }
            Value::Number(n) => match expected {
                ValueKind::Number => true,
                ValueKind::Integer => is_integer(n),
                _ => false,
            },
            _ => expected.name() == found,
        };
        if fits {
            outcome.matches += if value.is_null() { 1 } else { 2 };
        } else if !format.is_empty() && !value.is_null() && !value.is_string() && !value.is_array() {
            let kind = match value {
                Value::Number(n) if n.is_i64() || n.is_u64() => "int64",
                Value::Number(_) => "float64",
                _ => "",
            };
            outcome.add(self.type_error(format, kind));
            outcome.matches += 1;
        } else {
            outcome.add(self.type_error(expected.name(), found));
            outcome.matches += 1;
        }
    }

    fn allowed_values(&self, rules: Option<&Rules>, value: &Value, outcome: &mut Outcome) {
        let Some(rules) = rules.filter(|r| !r.values.is_empty()) else { return };
        if rules.values.iter().any(|allowed| equal(allowed, value)) {
            return;
        }
        let supported: Vec<String> = rules
            .values
            .iter()
            .map(|allowed| allowed.as_str().map_or_else(|| super::golang::json(allowed), str::to_owned))
            .map(|allowed| go_quote(&allowed))
            .collect();
        let label = format!("Unsupported value: {}", display(value));
        let detail = format!("supported values: {}", supported.join(", "));
        outcome.add(FieldError::plain(FieldErrorKind::NotSupported, &self.location(None), &label, &detail));
    }

    fn text(&self, node: NodeRef<'_>, rules: Option<&Rules>, text: &str, outcome: &mut Outcome) {
        outcome.matches += 1;
        let Some(rules) = rules else { return };
        if let Some(error) = self.text_rules(rules, text) {
            outcome.add(error);
        }
        if let Some(format) = &rules.format {
            if !format.matches(text) {
                outcome.add(self.type_error(node.format(), text));
            }
            outcome.matches += 1;
        }
    }

    /// The first rule of texts that is broken; the others are not looked at.
    fn text_rules(&self, rules: &Rules, text: &str) -> Option<FieldError> {
        let shown = || Value::String(text.to_owned());
        let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = rules.max_length.filter(|max| length() > *max) {
            let detail = format!("may not be more than {max} bytes");
            return Some(FieldError::plain(FieldErrorKind::TooLong, &self.location(None), "Too long", &detail));
        }
        if let Some(min) = rules.min_length.filter(|min| length() < *min) {
            return Some(self.invalid(&shown(), &format!("should be at least {min} chars long")));
        }
        let pattern = rules.pattern.as_ref().filter(|pattern| !pattern.is_match(text))?;
        Some(self.invalid(&shown(), &format!("should match '{}'", pattern.source())))
    }

    fn list(
        &mut self,
        node: NodeRef<'_>,
        rules: Option<&Rules>,
        items: &[Value],
        old: Option<&Value>,
        depth: usize,
        outcome: &mut Outcome,
    ) {
        if let Some(below) = node.items() {
            let mark = self.path.len();
            for (index, item) in items.iter().enumerate() {
                let _ = write!(self.path, "[{index}]");
                let before = correlate(node, old, index, item);
                outcome.merge(self.value(below, item, before, depth + 1));
                self.path.truncate(mark);
            }
        }
        let Some(rules) = rules else { return };
        let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(min) = rules.min_items.filter(|min| size < *min) {
            outcome.add(self.invalid(&size.into(), &format!("should have at least {min} items")));
        }
        if let Some(max) = rules.max_items.filter(|max| size > *max) {
            outcome.add(self.too_many(size, max));
        }
        if rules.unique
            && (1..items.len())
                .any(|i| items.iter().take(i).any(|earlier| items.get(i).is_some_and(|item| equal(earlier, item))))
        {
            let detail = format!("{} in body shouldn't contain duplicates", self.path);
            outcome.add(self.finding(FieldErrorKind::Invalid, "\"\"", &detail));
        }
    }

    fn too_many(&self, size: i64, max: i64) -> FieldError {
        let label = format!("Too many: {size}");
        let detail = format!("must have at most {max} items");
        FieldError::plain(FieldErrorKind::TooMany, &self.location(None), &label, &detail)
    }

    fn map(
        &mut self,
        node: NodeRef<'_>,
        rules: Option<&Rules>,
        map: &Map<String, Value>,
        old: Option<&Value>,
        depth: usize,
        outcome: &mut Outcome,
    ) {
        let size = i64::try_from(map.len()).unwrap_or(i64::MAX);
        if let Some(min) = rules.and_then(|r| r.min_properties).filter(|min| size < *min) {
            outcome.add(self.invalid(&size.into(), &format!("should have at least {min} properties")));
            return;
        }
        if let Some(max) = rules.and_then(|r| r.max_properties).filter(|max| size > *max) {
            outcome.add(self.too_many(size, max));
            return;
        }
        let additional = node.node().additional;
        let closed = rules.is_some_and(|r| r.closed);
        let mark = self.path.len();
        for (name, field) in map {
            let below = match node.property(name) {
                Some(property) => property,
                None if closed => {
                    let detail = format!("{}.{name} in body is a forbidden property", self.path);
                    outcome.add(self.finding(FieldErrorKind::Invalid, &go_quote(name), &detail));
                    continue;
                }
                None => match (additional, node.additional()) {
                    (Additional::Node(_), Some(values)) => values,
                    _ => continue,
                },
            };
            if mark > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
            let before = old.and_then(|old| old.get(name));
            outcome.merge(self.value(below, field, before, depth + 1));
            self.path.truncate(mark);
        }
        for name in rules.map(|r| r.required.as_slice()).unwrap_or_default() {
            if !map.contains_key(&**name) {
                outcome.add(FieldError::required(&self.location(Some(name)), ""));
            }
        }
    }
}

/// The value that item `index` replaces, if the list's type lets it be known.
fn correlate<'v>(node: NodeRef<'_>, old: Option<&'v Value>, index: usize, item: &Value) -> Option<&'v Value> {
    let old = old?.as_array()?;
    match node.list_type() {
        ListType::Map(keys) => old
            .iter()
            .find(|candidate| candidate.is_object() && keys.iter().all(|key| candidate.get(key) == item.get(key))),
        ListType::Set => None,
        ListType::Atomic if node.node().flags.list_declared => None,
        ListType::Atomic => old.get(index),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
