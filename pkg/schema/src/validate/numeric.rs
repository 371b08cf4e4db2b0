//! Numbers: their types' ranges, bounds and factors.

use kcp_apimachinery::{FieldError, FieldErrorKind};
use serde_json::{Number, Value};

use super::check::{Checker, Outcome};
use super::golang::float;
use super::rules::Rules;
use crate::node::{NodeRef, ValueKind};

impl Checker<'_> {
    /// Checks a number against its type and rules.
    pub(crate) fn number(
        &self,
        node: NodeRef<'_>,
        rules: Option<&Rules>,
        number: &Number,
        value: &Value,
        outcome: &mut Outcome,
    ) {
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
}

fn whole(value: f64) -> bool {
    value.is_finite() && (value.fract() == 0.0 || (value - value.round()).abs() < value.abs() * 1e-9)
}

/// Whether a number is an integer; `5.0` is one (SC-12).
pub(crate) fn is_integer(number: &Number) -> bool {
    number.is_i64()
        || number.is_u64()
        || number.as_f64().is_some_and(|f| whole(f) && f.abs() <= 9_007_199_254_740_991.0)
}

/// A bound as the text shows it: an integer when it is compared as one.
fn limit(bound: f64, integer: Option<i64>, native: bool) -> String {
    if integer.is_some() && native { (bound as i64).to_string() } else { float(bound) }
}
