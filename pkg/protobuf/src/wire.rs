//! The wire format: tags, varints, fixed and length-delimited values. Nothing is copied, nothing is allocated but errors.

use crate::DecodeError;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A number in groups of seven bits.
    Varint = 0,
    /// Eight bytes.
    Fixed64 = 1,
    /// A length and as many bytes.
    Bytes = 2,
    /// The begin of a group, which ends with a tag of its own. Old, and never used by Kubernetes.
    Group = 3,
    /// The end of a group.
    EndGroup = 4,
    /// Four bytes.
    Fixed32 = 5,
}

/// Reads one message from the front.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// The message's name, for errors.
    message: &'static str,
}

const SHORT: &str = "unexpected EOF";
const WRONG_WIRE: &str = "wrong wire type";

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], message: &'static str) -> Self {
        Self { rest: bytes, message }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A refusal that names the message and the field.
    pub(crate) fn bad(&self, number: u32, why: &'static str) -> DecodeError {
        DecodeError::Malformed { field: format!("{} field {number}", self.message), why }
    }

    /// The next field, `None` at the end of the message.
    pub(crate) fn tag(&mut self) -> Result<Option<(u32, Wire)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.raw_varint(0)?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or_else(|| self.bad(0, "illegal tag"))?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            3 => Wire::Group,
            4 => Wire::EndGroup,
            5 => Wire::Fixed32,
            _ => return Err(self.bad(number, "illegal wire type")),
        };
        Ok(Some((number, wire)))
    }

    fn raw_varint(&mut self, number: u32) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().copied().enumerate().take(10) {
            // The tenth byte has room for one bit; what does not fit is cut, as Go does.
            value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32).unwrap_or_default();
            if byte < 0x80 {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(self.bad(number, if self.rest.len() < 10 { SHORT } else { "integer overflow" }))
    }

    fn take(&mut self, number: u32, length: u64) -> Result<&'a [u8], DecodeError> {
        match usize::try_from(length).ok().and_then(|n| self.rest.split_at_checked(n)) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.bad(number, SHORT)),
        }
    }

    /// A varint.
    pub(crate) fn varint(&mut self, number: u32, wire: Wire) -> Result<u64, DecodeError> {
        if wire == Wire::Varint { self.raw_varint(number) } else { Err(self.bad(number, WRONG_WIRE)) }
    }

    /// A double.
    pub(crate) fn double(&mut self, number: u32, wire: Wire) -> Result<f64, DecodeError> {
        if wire != Wire::Fixed64 {
            return Err(self.bad(number, WRONG_WIRE));
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(number, 8)?);
        Ok(f64::from_le_bytes(bytes))
    }

    /// Bytes with their length in front.
    pub(crate) fn bytes(&mut self, number: u32, wire: Wire) -> Result<&'a [u8], DecodeError> {
        if wire != Wire::Bytes {
            return Err(self.bad(number, WRONG_WIRE));
        }
        let length = self.raw_varint(number)?;
        self.take(number, length)
    }

    /// Text with its length in front.
    pub(crate) fn text(&mut self, number: u32, wire: Wire) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(number, wire)?;
        std::str::from_utf8(bytes).map_err(|_| self.bad(number, "invalid UTF-8"))
    }

    /// Passes over a field that nobody knows.
    pub(crate) fn skip(&mut self, number: u32, wire: Wire) -> Result<(), DecodeError> {
        let mut open = 0_usize;
        let (mut at, mut wire) = (number, wire);
        loop {
            match wire {
                Wire::Varint => drop(self.raw_varint(at)?),
                Wire::Fixed64 => drop(self.take(at, 8)?),
                Wire::Fixed32 => drop(self.take(at, 4)?),
                Wire::Bytes => drop(self.bytes(at, wire)?),
                Wire::Group => open += 1,
                Wire::EndGroup => {
                    open = open.checked_sub(1).ok_or_else(|| self.bad(at, "unexpected end of group"))?;
                }
            }
            if open == 0 {
                return Ok(());
            }
            (at, wire) = self.tag()?.ok_or_else(|| self.bad(number, SHORT))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_cut_like_in_go() {
        for (bytes, want) in [
            (&[0x00][..], Ok(0)),
            (&[0x96, 0x01], Ok(150)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(u64::MAX)),
            (&[0x80], Err(SHORT)),
            (&[], Err(SHORT)),
            (&[0xff; 11], Err("integer overflow")),
        ] {
            let got = Reader::new(bytes, "m").varint(1, Wire::Varint).map_err(|e| match e {
                DecodeError::Malformed { why, .. } => why,
                _ => "other",
            });
            assert_eq!(got, want, "{bytes:?}");
        }
    }

    #[test]
    fn unknown_fields_are_skipped() {
        for (bytes, fields) in [
            (&[0x08, 0x01, 0x12, 0x02, 7, 7, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4][..], Some(4)),
            // A group with a group and a number in it.
            (&[0x0b, 0x13, 0x14, 0x18, 0x05, 0x0c], Some(1)),
            (&[0x0b, 0x13], None),
            (&[0x0c], None),
            (&[0x12, 0x05, 1], None),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], None),
            (&[0x0e], None),
            (&[0x00, 0x00], None),
        ] {
            let count = || -> Result<usize, DecodeError> {
                let mut reader = Reader::new(bytes, "m");
                let mut count = 0;
                while let Some((number, wire)) = reader.tag()? {
                    reader.skip(number, wire)?;
                    count += 1;
                }
                Ok(count)
            };
            assert_eq!(count().ok(), fields, "{bytes:?}");
        }
    }
}
