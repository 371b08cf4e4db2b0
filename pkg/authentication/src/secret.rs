//! Texts that must not be printed.

use std::fmt;

use ring::digest;

/// A token or password. `Debug` shows that there is one, not which; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A new random one: a UUID, 122 bits from the system's generator.
    pub fn generate() -> Self {
        Self(kcp_apimachinery::names::new_uid())
    }

    /// The text itself, to be sent or stored; never to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the text: what may be stored and compared.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let s = Secret::new("hunter2");
        assert_eq!(format!("{s:?}"), "Secret(…)");
        assert_ne!(Secret::generate(), Secret::generate());
    }
}
