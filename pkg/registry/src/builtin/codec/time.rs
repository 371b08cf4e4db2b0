//! Times as Go reads and writes them (N-09), and its texts when it cannot.

use kcp_apimachinery::time::{is_micro_time, parse_rfc3339};

/// `metav1.Time`: RFC 3339, written in UTC with whole seconds.
pub(crate) fn canonical_time(text: &str) -> Result<String, String> {
    parse_rfc3339(text).map(|t| t.rfc3339()).ok_or_else(|| refusal(text, "2006-01-02T15:04:05Z07:00", text, "2006"))
}

/// `metav1.MicroTime`: exactly six fraction digits.
pub(crate) fn canonical_micro(text: &str) -> Result<String, String> {
    const LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
    match parse_rfc3339(text) {
        Some(time) if is_micro_time(text) => Ok(time.micro()),
        Some(_) => Err(refusal(text, LAYOUT, text.get(19..).unwrap_or_default(), ".000000")),
        None => Err(refusal(text, LAYOUT, text, "2006")),
    }
}

fn refusal(text: &str, layout: &str, at: &str, element: &str) -> String {
    format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{at}\" as \"{element}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N-09: whole seconds in UTC, six digits for `MicroTime`.
    #[test]
    fn times_are_canonical() {
        for (given, want) in [
            ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"),
            ("2024-05-06T07:08:09.987Z", "2024-05-06T07:08:09Z"),
            ("2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00Z"),
        ] {
            assert_eq!(canonical_time(given).as_deref(), Ok(want));
        }
        assert_eq!(canonical_micro("2024-05-06T07:08:09.000001+02:00").as_deref(), Ok("2024-05-06T05:08:09.000001Z"));
        assert_eq!(
            canonical_micro("2024-05-06T07:08:09.5Z").unwrap_err(),
            "parsing time \"2024-05-06T07:08:09.5Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \".5Z\" as \".000000\""
        );
        for bad in ["soon", "2024-05-06", "2024-02-30T00:00:00Z", "2024-05-06T07:08:09"] {
            assert!(canonical_time(bad).is_err(), "{bad}");
        }
    }
}
