//! Looking into stored bytes without parsing them: members of an object, by skipping over the rest.
//!
//! Works on JSON that this crate wrote, so it is compact and well-formed; on anything else the answer is `None`, never
//! a panic. A list with a label selector reads only the beginning of each object this way.

use std::cmp::Ordering;

/// The raw value at the beginning of `bytes`.
pub(crate) fn value(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..value_end(bytes)?)
}

/// The raw value of `key` in the object that starts at the beginning of `object`.
pub(crate) fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    entries(object)?.find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
}

/// The metadata of a stored object and all that follows it: where it ends is not looked for, because nearly all of it
/// is managed fields that nobody wants to see.
pub(crate) fn metadata(object: &[u8]) -> Option<&[u8]> {
    let mut all = entries(object)?;
    loop {
        let (name, rest) = all.name()?;
        if name == b"metadata" {
            return Some(rest);
        }
        all.rest = rest.get(value_end(rest)?..)?;
    }
}

/// The raw value of a member of the metadata, whose members are sorted by name.
pub(crate) fn of_metadata<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut all = entries(metadata(object)?)?;
    loop {
        let (name, rest) = all.name()?;
        match name.cmp(key.as_bytes()) {
            Ordering::Less => all.rest = rest.get(value_end(rest)?..)?,
            Ordering::Equal => return rest.get(..value_end(rest)?),
            Ordering::Greater => return None,
        }
    }
}

/// The content of a raw string without escapes.
pub(crate) fn text(raw: &[u8]) -> Option<&str> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') { None } else { std::str::from_utf8(inner).ok() }
}

/// The members of an object: names without quotes (escapes untouched), raw values.
pub(crate) fn entries(object: &[u8]) -> Option<Entries<'_>> {
    object.strip_prefix(b"{").map(|rest| Entries { rest })
}

/// The labels of a stored object.
pub(crate) fn labels(object: &[u8]) -> Vec<(&str, &str)> {
    let found = of_metadata(object, "labels").and_then(entries);
    found.into_iter().flatten().filter_map(|(k, v)| Some((std::str::from_utf8(k).ok()?, text(v)?))).collect()
}

/// Whether a stored object has a deletion timestamp.
pub(crate) fn is_deleting(object: &[u8]) -> bool {
    of_metadata(object, "deletionTimestamp").is_some_and(|v| v != b"null")
}

/// The iterator of [`entries`].
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// The name of the next member, and what follows its colon.
    fn name(&self) -> Option<(&'a [u8], &'a [u8])> {
        let rest = self.rest.strip_prefix(b",").unwrap_or(self.rest);
        if rest.first() != Some(&b'"') {
            return None;
        }
        let end = string_end(rest)?;
        let name = rest.get(1..end.checked_sub(1)?)?;
        Some((name, rest.get(end..)?.strip_prefix(b":")?))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.name()?;
        let (value, rest) = rest.split_at_checked(value_end(rest)?)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// The length of the string at the beginning, quotes included.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The length of the value at the beginning.
fn value_end(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => string_end(bytes),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = 0;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at += string_end(bytes.get(at..)?)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => Some(bytes.iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found() {
        let o = br#"{"kind":"K","metadata":{"annotations":{"a\"}":"x{\\"},"labels":{"l":"1","m":""},"n":1,"z":null},"spec":[{"}":1}]}"#;
        assert_eq!(labels(o), [("l", "1"), ("m", "")]);
        let meta = metadata(o).unwrap();
        assert_eq!(member(meta, "n"), Some(&b"1"[..]));
        assert_eq!(member(meta, "z"), Some(&b"null"[..]));
        assert_eq!(member(meta, "q"), None);
        assert_eq!((of_metadata(o, "n"), of_metadata(o, "b"), of_metadata(o, "zz")), (Some(&b"1"[..]), None, None));
        assert_eq!(member(o, "spec"), Some(&br#"[{"}":1}]"#[..]));
        assert!(!is_deleting(o) && is_deleting(br#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}"#));
    }

    #[test]
    fn broken_bytes_are_nothing() {
        for bad in
            ["", "{", "{\"", "{\"a", "{\"a\":", "{\"a\":{", "{\"a\":\"\\", "[1]", "{\"metadata\":{\"labels\":{\"a"]
        {
            for key in ["a", "labels", "metadata"] {
                assert_eq!((member(bad.as_bytes(), key), of_metadata(bad.as_bytes(), key)), (None, None), "{bad}");
            }
            assert!(labels(bad.as_bytes()).is_empty() && !is_deleting(bad.as_bytes()), "{bad}");
        }
    }
}
