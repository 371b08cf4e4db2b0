//! Times of the API and the ages that people read.

use jiff::{
    Timestamp as Instant, Unit,
    fmt::temporal::{DateTimeParser, DateTimePrinter},
};

static PARSER: DateTimeParser = DateTimeParser::new();

/// A point in time. The clock is read in [`Timestamp::now`] and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Instant);

impl Timestamp {
    /// The time now.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// The time `seconds` after the epoch; the nearest one that can be written when there is none such.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        let clamped = seconds.clamp(Instant::MIN.as_second(), Instant::MAX.as_second());
        Self(Instant::from_second(clamped).unwrap_or(Instant::UNIX_EPOCH))
    }

    /// Seconds since the epoch, cut.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Milliseconds since the epoch, cut.
    pub fn unix_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// As `metav1.Time` is written: `2026-01-02T03:04:05Z`.
    pub fn rfc3339(self) -> String {
        self.print(0)
    }

    /// As `metav1.MicroTime` is written: `2026-01-02T03:04:05.000006Z`.
    pub fn micro(self) -> String {
        self.print(6)
    }

    fn print(self, digits: u8) -> String {
        // Cut, not rounded: an object must not seem created after the answer that shows it.
        let unit = if digits == 0 { Unit::Second } else { Unit::Microsecond };
        let round = jiff::TimestampRound::new().smallest(unit).mode(jiff::RoundMode::Floor);
        let cut = self.0.round(round).unwrap_or(self.0);
        DateTimePrinter::new().precision(Some(digits)).timestamp_to_string(&cut)
    }

    /// The time `seconds` later, or earlier when negative.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(self.0))
    }

    /// Whole seconds from `earlier` to this time, rounded towards zero.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.duration_since(earlier.0).as_secs()
    }
}

/// Reads an RFC 3339 time, with or without fraction, in any offset; `None` for anything else.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let b = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| b[range].iter().all(u8::is_ascii_digit);
    let shape = b.len() >= 20
        && b[4] == b'-'
        && b[7] == b'-'
        && b[10] == b'T'
        && b[13] == b':'
        && b[16] == b':'
        && [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits);
    if !shape {
        return None;
    }
    let rest = &text[19..];
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit())?;
            if end == 0 {
                return None;
            }
            &fraction[end..]
        }
    };
    let o = offset.as_bytes();
    let numeric = o.len() == 6
        && matches!(o[0], b'+' | b'-')
        && o[3] == b':'
        && [1, 2, 4, 5].into_iter().all(|i| o[i].is_ascii_digit());
    if offset != "Z" && !numeric {
        return None;
    }
    PARSER.parse_timestamp(text).ok().map(Timestamp)
}

/// A duration as kubectl prints ages: the two largest units that matter, such as `5m10s`, `3h`, `2d4h`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        // A clock may be a little off; more than that is not an age.
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, 'd', hours % 24, 'h'),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The age of something created at `time`, as a table cell: `<unknown>` without a time, `<invalid>` for a bad one (P-05).
pub fn age(time: &str, now: Timestamp) -> String {
    if time.is_empty() {
        return "<unknown>".to_owned();
    }
    match parse_rfc3339(time) {
        Some(then) => human_duration(now.seconds_since(then)),
        None => "<invalid>".to_owned(),
    }
}

/// Whether `text` is a `metav1.MicroTime` as Kubernetes accepts it: exactly six digits of fraction (N-09).
pub fn is_micro_time(text: &str) -> bool {
    let b = text.as_bytes();
    let exact = b.len() > 26 && b[19] == b'.' && b[20..26].iter().all(u8::is_ascii_digit) && !b[26].is_ascii_digit();
    exact && parse_rfc3339(text).is_some()
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        let (m, h, d, y) = (60, 3600, 86400, 365 * 86400);
        let cases = [
            (-5, "<invalid>"),
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * m, "2m"),
            (5 * m + 10, "5m10s"),
            (10 * m + 5, "10m"),
            (179 * m, "179m"),
            (3 * h, "3h"),
            (7 * h + 30 * m, "7h30m"),
            (8 * h + 30 * m, "8h"),
            (47 * h, "47h"),
            (2 * d, "2d"),
            (2 * d + 4 * h, "2d4h"),
            (8 * d + 3 * h, "8d"),
            (729 * d, "729d"),
            (2 * y, "2y"),
            (2 * y + 3 * d, "2y3d"),
            (8 * y + 3 * d, "8y"),
        ];
        for (seconds, want) in cases {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        let t = parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(t.rfc3339(), "2026-01-02T03:04:05Z");
        assert_eq!(t.micro(), "2026-01-02T03:04:05.000000Z");
        assert_eq!(parse_rfc3339("2026-01-02T05:04:05+02:00"), Some(t));
        let late = parse_rfc3339("2026-01-02T03:04:05.9999999Z").unwrap();
        assert_eq!(
            (late.rfc3339().as_str(), late.micro().as_str()),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.999999Z")
        );
        assert_eq!(Timestamp::from_unix_seconds(t.unix_seconds()), t);
        assert_eq!(t.plus_seconds(60).seconds_since(t), 60);
        for bad in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05+0200",
            "2026-01-02T03:04:05z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn micro_times_have_six_digits() {
        assert!(is_micro_time("2026-01-02T03:04:05.000001Z"));
        for bad in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.00001Z", "2026-01-02T03:04:05.0000001Z"] {
            assert!(!is_micro_time(bad), "{bad}");
        }
    }

    #[test]
    fn ages() {
        let now = parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(age("2026-01-02T03:03:55Z", now), "10s");
        assert_eq!(age("", now), "<unknown>");
        assert_eq!(age("yesterday", now), "<invalid>");
    }
}
