//! Quantities such as `500m`, `1Gi` or `2e3`.
//!
//! A quantity is held in nano units, as fine as Kubernetes allows; finer digits are rounded away from zero, larger
//! magnitudes than an `i64` of whole units are capped, both as Kubernetes does.

use std::{cmp::Ordering, fmt};

const NANO: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANO;

/// How a quantity was written, and so how it is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// A number with a suffix. Equal quantities may be written differently: `0.5` equals `500m`.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    /// Reads a quantity: a signed decimal number and one of the suffixes of Kubernetes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let (format, factor, exponent) = if let Some(power) = BINARY.iter().position(|s| *s == suffix && !s.is_empty())
        {
            (Format::Binary, 1i128 << (10 * power), 0)
        } else if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
            (Format::Decimal, 1, *exponent)
        } else {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let plain = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            if plain.is_empty() || !plain.bytes().all(|c| c.is_ascii_digit()) {
                return None;
            }
            (Format::Exponent, 1, digits.parse().ok()?)
        };
        let nanos = scale(whole, fraction, factor, exponent);
        Some(Self { nanos: if negative { -nanos } else { nanos }, format })
    }

    /// A whole number.
    pub fn from_i64(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO, format: Format::Decimal }
    }

    /// The value in whole units, rounded up.
    pub fn value(&self) -> i64 {
        let up = self.nanos.div_euclid(NANO) + i128::from(self.nanos.rem_euclid(NANO) != 0);
        i64::try_from(up).unwrap_or(i64::MAX)
    }

    /// The value in thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        let unit = NANO / 1000;
        let up = self.nanos.div_euclid(unit) + i128::from(self.nanos.rem_euclid(unit) != 0);
        i64::try_from(up).unwrap_or(i64::MAX)
    }

    /// Whether the value is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The sum, written as `self` is.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { nanos: (self.nanos + other.nanos).clamp(-MAX, MAX), format: self.format }
    }

    /// The difference, written as `self` is.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self { nanos: (self.nanos - other.nanos).clamp(-MAX, MAX), format: self.format }
    }
}

/// The number `whole.fraction × factor × 10^exponent` in nano units, rounded away from zero and capped. Either `factor`
/// is 1 or `exponent` is 0; `factor` is at most 2^60.
fn scale(whole: &str, fraction: &str, factor: i128, exponent: i32) -> i128 {
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|c| c - b'0').collect();
    let Some(first) = digits.iter().position(|d| *d != 0) else { return 0 };
    let point = whole.len() as i64 + i64::from(exponent);
    if point - first as i64 > 20 {
        return MAX;
    }
    let digit = |at: i64| usize::try_from(at).ok().and_then(|i| digits.get(i)).map_or(0, |d| i128::from(*d));
    // At most 20 digits before the point (the rest are zeros) and 18 after it: below 2^67 and 2^60, so that neither
    // product with the factor overflows.
    let ahead = (point.min(first as i64)..point).fold(0i128, |n, at| n * 10 + digit(at));
    let behind = (point..point + 18).fold(0i128, |n, at| n * 10 + digit(at));
    let tail = digits.iter().skip(usize::try_from(point + 18).unwrap_or(0)).any(|d| *d != 0);
    let Some(value) = ahead.checked_mul(factor).and_then(|v| v.checked_mul(NANO)) else { return MAX };
    let small = behind * factor;
    let up = i128::from(small % NANO != 0 || tail);
    (value + small / NANO + up).min(MAX)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical form: no fraction, and the largest suffix that allows that.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos / NANO;
        let binary = self.format == Format::Binary && self.nanos % NANO == 0 && whole.abs() >= 1024;
        if binary {
            let power = (whole.trailing_zeros() / 10).min(6);
            return write!(f, "{}{}", whole >> (10 * power), BINARY[power as usize]);
        }
        let (mut value, mut exponent) = (self.nanos, -9);
        while value % 1000 == 0 && exponent < 18 {
            value /= 1000;
            exponent += 3;
        }
        if self.format == Format::Exponent {
            return if exponent == 0 { write!(f, "{value}") } else { write!(f, "{value}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s);
        write!(f, "{value}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_one_canonical_form() {
        let cases = [
            ("0", "0"),
            ("1", "1"),
            ("-1", "-1"),
            ("+5", "5"),
            ("500m", "500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1.5k", "1500"),
            ("1Ki", "1Ki"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("12E2", "1200"),
            ("1E", "1E"),
            ("1e-3", "1e-3"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("0.0000000001", "1n"),
            ("100Mi", "100Mi"),
            ("9223372036854775808", "9223372036854775807"),
            ("1000E", "9223372036854775807"),
            ("1e400", "9223372036854775807"),
        ];
        for (text, want) in cases {
            let q = Quantity::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(q.to_string(), want, "{text}");
            assert_eq!(Quantity::parse(&q.to_string()), Some(q), "{text}");
        }
        for bad in ["", "-", "a", "1Xi", "1.2.3", "1ki", "1K", "1e", "1e+", "1 Gi", "0x1", ".", "1e99999999999"] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn quantities_compare_by_value() {
        let q = |t: &str| Quantity::parse(t).unwrap();
        assert_eq!(q("0.5"), q("500m"));
        assert!(q("1Gi") > q("1G"));
        assert!(q("-1") < q("0"));
        assert_eq!(q("1Gi").plus(&q("1Gi")).to_string(), "2Gi");
        assert_eq!(q("2").minus(&q("500m")).to_string(), "1500m");
        assert_eq!((q("1500m").value(), q("1500m").milli_value(), q("-1500m").value()), (2, 1500, -1));
    }
}
