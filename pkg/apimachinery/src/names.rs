//! Names and ids that the server draws.

use rand::RngExt as _;

/// Letters and digits that form no words and cannot be mistaken for each other.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const LONGEST_BASE: usize = 63 - SUFFIX;

/// A name that starts with `base`, cut to 58 bytes, and ends in five random characters (C-04).
pub fn generate_name(base: &str) -> String {
    let mut end = base.len().min(LONGEST_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = String::with_capacity(end + SUFFIX);
    name.push_str(&base[..end]);
    name.push_str(&random_suffix(SUFFIX));
    name
}

/// `length` random characters of the alphabet of generated names.
pub fn random_suffix(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

/// A new unique id: a random UUID (C-01).
pub fn new_uid() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_keep_their_base_c04() {
        let name = generate_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert!(name.bytes().skip(4).all(|c| ALPHABET.contains(&c)), "{name}");
        assert_eq!(generate_name(&"a".repeat(80)).len(), 63);
        assert_ne!(generate_name("x"), generate_name("x"));
        assert_eq!(generate_name(&"ä".repeat(40)).chars().count(), 29 + 5);
    }

    #[test]
    fn uids_are_uuids() {
        let uid = new_uid();
        assert_eq!((uid.len(), uid.as_bytes()[14]), (36, b'4'));
        assert_ne!(uid, new_uid());
    }
}
