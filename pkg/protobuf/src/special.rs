//! Messages that JSON writes as something else: times, quantities, `IntOrString`, raw JSON.

use kcp_apimachinery::time::Timestamp;
use serde_json::Value;

use crate::{DecodeError, wire::Reader};

/// Whole numbers up to here are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The first and the last second that RFC 3339 can write.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A double as Go writes it: without a fraction when there is none. `None` for what JSON has no number for.
pub(crate) fn number(value: f64) -> Option<Value> {
    if value.fract() == 0.0 && value.abs() < EXACT {
        return Some((value as i64).into());
    }
    serde_json::Number::from_f64(value).map(Value::Number)
}

/// A time: seconds and nanoseconds. The zero time is an empty message. Of a plain time the fraction is dropped, so that it is the
/// same through both encodings.
pub(crate) fn time(bytes: &[u8], micro: bool) -> Result<Option<Value>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes, "meta.v1.Timestamp");
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => seconds = reader.varint(number, wire)? as i64,
            2 => nanos = reader.varint(number, wire)? as u32 as i32,
            _ => reader.skip(number, wire)?,
        }
    }
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(reader.bad(1, "a time that cannot be written"));
    }
    let mut text = Timestamp::from_unix_seconds(seconds).rfc3339();
    if micro && text.pop().is_some() {
        text = format!("{text}.{:06}Z", nanos / 1000);
    }
    Ok(Some(text.into()))
}

/// A quantity: its text.
pub(crate) fn quantity(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes, "resource.Quantity");
    let mut text = "";
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => text = reader.text(number, wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    Ok(if text.is_empty() { "0" } else { text }.into())
}

/// A number or a text, and which of the two.
pub(crate) fn int_or_string(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes, "intstr.IntOrString");
    let (mut kind, mut int, mut text) = (0, 0_i32, "");
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => kind = reader.varint(number, wire)?,
            2 => int = reader.varint(number, wire)? as u32 as i32,
            3 => text = reader.text(number, wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    match kind {
        0 => Ok(int.into()),
        1 => Ok(text.into()),
        _ => Err(reader.bad(1, "neither a number nor a text")),
    }
}

/// JSON in bytes.
pub(crate) fn raw(bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    let mut reader = Reader::new(bytes, "runtime.RawExtension");
    let mut json: &[u8] = &[];
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => json = reader.bytes(number, wire)?,
            _ => reader.skip(number, wire)?,
        }
    }
    if json.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(json).map(Some).map_err(|_| reader.bad(1, "not JSON"))
}
