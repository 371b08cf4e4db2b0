//! Numbers in the one form in which they are stored and served.
//!
//! JSON knows one kind of number, Rust and Go two. A float without a fraction is the integer of that value: `5.0`
//! and `5e0` are served as `5` (SC-12).

use serde_json::{Number, Value};

use crate::node::MAX_DEPTH;

/// Turns floats with integral values into integers, everywhere in `value`.
pub fn normalize(value: &mut Value) {
    walk(value, 0);
}

fn walk(value: &mut Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Number(number) if number.is_f64() => {
            // The largest range in which every float is exactly one integer.
            let float = number.as_f64().unwrap_or(f64::NAN);
            if float.fract() == 0.0 && float.abs() < 9.2e18 {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, depth + 1)),
        Value::Object(map) => map.values_mut().for_each(|field| walk(field, depth + 1)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integral_floats_become_integers() {
        let mut value = json!({"a": 5.0, "b": [1e3, 0.1, -0.0], "c": 1e30, "d": i64::MAX});
        normalize(&mut value);
        assert_eq!(value, json!({"a": 5, "b": [1000, 0.1, 0], "c": 1e30, "d": i64::MAX}));
        assert!(value["a"].is_i64() && value["b"][0].is_i64() && value["c"].is_f64());
    }
}
