//! The walk that validates a value against a node.
//!
//! Nothing is allocated while all is well, except for the growth of one path buffer.

use kcp_apimachinery::field::go_quote;
use kcp_apimachinery::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
use serde_json::{Map, Number, Value};
use std::fmt::Write as _;

use super::golang::{display, equal, float};
use super::rules::Rules;
use crate::node::{Additional, ListType, MAX_DEPTH, NodeRef, ValueKind};

/// Findings, and how many checks ran: the branch of an anyOf that got furthest tells its errors.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    errors: Vec<FieldError>,
    matches: usize,
}

impl Outcome {
    pub(crate) fn into_errors(self) -> FieldErrors {
        self.errors
    }

    fn add(&mut self, error: FieldError) {
        // Branches of junctors may find the same twice.
        if !self.errors.iter().any(|known| known.path == error.path && known.message == error.message) {
            self.errors.push(error);
        }
    }

    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        for error in other.errors {
            self.add(error);
        }
    }

    fn valid(&self) -> bool {
        self.errors.is_empty()
    }
}

pub(crate) struct Checker<'p> {
    at: &'p FieldPath,
    path: String,
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

    fn invalid(&self, value: &Value, detail: &str) -> FieldError {
        self.finding(FieldErrorKind::Invalid, &display(value), &format!("{} in body {detail}", self.path))
    }

    fn finding(&self, kind: FieldErrorKind, shown: &str, detail: &str) -> FieldError {
        FieldError::plain(kind, &self.location(None), &format!("Invalid value: {shown}"), detail)
    }

    /// A finding that carries its place in the text only.
    fn loose(&self, detail: &str) -> FieldError {
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

    fn unratcheted(&mut self, node: NodeRef<'_>, value: &Value, old: Option<&Value>, depth: usize) -> Outcome {
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
        if rules.values.iter().any(|allowed| equal(allowed, value) && !allowed.is_null()) {
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

    fn number(&self, node: NodeRef<'_>, rules: Option<&Rules>, number: &Number, value: &Value, outcome: &mut Outcome) {
        if let Some(error) = self.range("Checked value", node, number) {
            outcome.add(error);
        }
        let Some(rules) = rules else { return };
        // Integers are compared as integers, as far as the bounds themselves are whole numbers of the type.
        let integer = number.as_i64();
        let as_float = number.as_f64().unwrap_or(f64::NAN);
        if let Some(factor) = rules.multiple_of {
            self.multiple(node, integer, as_float, factor, value, outcome);
        }
        if let Some(bound) = rules.maximum {
            let native = self.bound_range("Maximum boundary value", node, bound.value, outcome);
            let broken = match integer.filter(|_| native) {
                Some(i) if bound.exclusive => i >= bound.value as i64,
                Some(i) => i > bound.value as i64,
                None if bound.exclusive => as_float >= bound.value,
                None => as_float > bound.value,
            };
            if broken {
                let words = if bound.exclusive { "less than" } else { "less than or equal to" };
                outcome.add(self.invalid(value, &format!("should be {words} {}", limit(bound.value, integer, native))));
            }
        }
        if let Some(bound) = rules.minimum {
            let native = self.bound_range("Minimum boundary value", node, bound.value, outcome);
            let broken = match integer.filter(|_| native) {
                Some(i) if bound.exclusive => i <= bound.value as i64,
                Some(i) => i < bound.value as i64,
                None if bound.exclusive => as_float <= bound.value,
                None => as_float < bound.value,
            };
            if broken {
                let words = if bound.exclusive { "greater than" } else { "greater than or equal to" };
                outcome.add(self.invalid(value, &format!("should be {words} {}", limit(bound.value, integer, native))));
            }
        }
    }

    fn multiple(
        &self,
        node: NodeRef<'_>,
        integer: Option<i64>,
        as_float: f64,
        factor: f64,
        value: &Value,
        outcome: &mut Outcome,
    ) {
        let native = self.bound_range("MultipleOf value", node, factor, outcome);
        let (positive, multiple, shown) = match integer.filter(|_| native) {
            Some(i) => {
                // The factor of an integer is cut to an integer, and 0 is none.
                let factor = factor as i64;
                (factor > 0, factor > 0 && i % factor == 0, factor.to_string())
            }
            None => {
                let quotient = if factor < 1.0 { 1.0 / factor * as_float } else { as_float / factor };
                (factor > 0.0, whole(quotient), float(factor))
            }
        };
        if !positive {
            let detail = format!("factor MultipleOf declared for {} must be positive: {shown}", self.path);
            outcome.add(self.finding(FieldErrorKind::Invalid, &shown, &detail));
        } else if !multiple {
            outcome.add(self.invalid(value, &format!("should be a multiple of {shown}")));
        }
    }

    /// Whether a bound is a number of the node's type; says so when it is not.
    fn bound_range(&self, what: &str, node: NodeRef<'_>, bound: f64, outcome: &mut Outcome) -> bool {
        let number = if whole(bound) && bound.abs() < 9.2e18 {
            Some(Number::from(bound as i64))
        } else {
            Number::from_f64(bound)
        };
        match number.and_then(|number| self.range(what, node, &number)) {
            Some(error) => {
                outcome.add(error);
                false
            }
            None => true,
        }
    }

    /// Whether a number fits the node's type and format.
    fn range(&self, what: &str, node: NodeRef<'_>, number: &Number) -> Option<FieldError> {
        let format = node.format();
        let integer = match number.as_i64() {
            Some(integer) => Some(integer),
            None => number.as_f64().filter(|f| whole(*f) && f.abs() < 1e17).map(|f| f as i64),
        };
        let fits = match (node.value_kind(), format) {
            (ValueKind::Integer, "int32") => integer.is_some_and(|i| i32::try_from(i).is_ok()),
            (ValueKind::Integer, "uint32") => integer.is_some_and(|i| u32::try_from(i).is_ok()),
            (ValueKind::Integer, "uint64") => number.as_u64().is_some() || integer.is_some_and(|i| i >= 0),
            (ValueKind::Integer, _) => integer.is_some(),
            (_, "float" | "float32") => number.as_f64().is_some_and(|f| f.abs() <= f64::from(f32::MAX)),
            _ => true,
        };
        if fits {
            return None;
        }
        let kind = node.type_name();
        let form = if format.is_empty() { "(default format)".to_owned() } else { format!("with format {format}") };
        Some(self.loose(&format!("{what} must be of type {kind} {form} in {}", self.path)))
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

    fn junctors(
        &mut self,
        node: NodeRef<'_>,
        rules: &Rules,
        value: &Value,
        old: Option<&Value>,
        depth: usize,
        outcome: &mut Outcome,
    ) {
        if !rules.any_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut success = false;
            for branch in &rules.any_of {
                let result = self.unratcheted(node.at(*branch), value, old, depth + 1);
                if result.valid() {
                    outcome.merge(result);
                    success = true;
                    break;
                }
                if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                    best = Some(result);
                }
            }
            if !success {
                let detail = format!("{} must validate at least one schema (anyOf)", go_quote(&self.path));
                outcome.add(self.loose(&detail));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !rules.one_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut first: Option<Outcome> = None;
            let mut valid = 0;
            for branch in &rules.one_of {
                let result = self.unratcheted(node.at(*branch), value, old, depth + 1);
                if result.valid() {
                    valid += 1;
                    best = None;
                    first.get_or_insert(result);
                } else if valid == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
                    best = Some(result);
                }
            }
            if valid == 1 {
                outcome.merge(first.unwrap_or_default());
            } else {
                let found = if valid == 0 { "none valid".to_owned() } else { format!("{valid} valid alternatives") };
                let path = go_quote(&self.path);
                outcome
                    .add(self.loose(&format!("{path} must validate one and only one schema (oneOf). Found {found}")));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !rules.all_of.is_empty() {
            let mut valid = 0;
            for branch in &rules.all_of {
                let result = self.unratcheted(node.at(*branch), value, old, depth + 1);
                valid += usize::from(result.valid());
                outcome.merge(result);
            }
            if valid != rules.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                let detail = format!("{} must validate all the schemas (allOf){none}", go_quote(&self.path));
                outcome.add(self.loose(&detail));
            }
        }
        if let Some(not) = rules.not {
            if self.unratcheted(node.at(not), value, old, depth + 1).valid() {
                let detail = format!("{} must not validate the schema (not)", go_quote(&self.path));
                outcome.add(self.loose(&detail));
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

fn whole(value: f64) -> bool {
    value.is_finite() && (value.fract() == 0.0 || (value - value.round()).abs() < value.abs() * 1e-9)
}

/// Whether a number is an integer; `5.0` is one (SC-12).
fn is_integer(number: &Number) -> bool {
    number.is_i64()
        || number.is_u64()
        || number.as_f64().is_some_and(|f| whole(f) && f.abs() <= 9_007_199_254_740_991.0)
}

/// A bound as the text shows it: an integer when it is compared as one.
fn limit(bound: f64, integer: Option<i64>, native: bool) -> String {
    if integer.is_some() && native { (bound as i64).to_string() } else { float(bound) }
}
