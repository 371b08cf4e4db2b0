//! Latencies in buckets that grow with the value: 64 for each power of two, so a percentile is right to within 1.6 %.

use std::time::Duration;

const BITS: u32 = 6;
const EACH: u64 = 1 << BITS;

/// A distribution of times, in microseconds inside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

fn bucket(value: u64) -> usize {
    let shift = (63 - (value | 1).leading_zeros()).saturating_sub(BITS);
    (u64::from(shift) * EACH + (value >> shift)) as usize
}

/// The middle of a bucket.
fn value(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * EACH {
        return bucket;
    }
    let shift = bucket / EACH - 1;
    let low = (bucket - shift * EACH) << shift;
    low + (1 << shift) / 2
}

impl Histogram {
    /// Adds a time.
    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = bucket(micros);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.total
    }

    /// The time below which `percent` of all lie, in milliseconds.
    pub(crate) fn ms(&self, percent: f64) -> f64 {
        let rank = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return value(at).min(self.max) as f64 / 1000.0;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        for v in (0..5000).chain((12..40).map(|s| 3u64 << s)) {
            let (at, middle) = (bucket(v), value(bucket(v)));
            assert!(middle.abs_diff(v) as f64 <= v as f64 * 0.016, "{v} became {middle}");
            assert!(at >= last);
            last = at;
        }
    }

    #[test]
    fn percentiles() {
        let mut h = Histogram::default();
        assert_eq!(h.ms(50.0), 0.0);
        for i in 1..=1000 {
            h.record(Duration::from_micros(i));
        }
        for (percent, want) in [(50.0, 0.5), (99.0, 0.99), (100.0, 1.0)] {
            let got = h.ms(percent);
            assert!((got - want).abs() / want < 0.016, "{percent}: {got}");
        }
        let mut other = Histogram::default();
        other.record(Duration::from_secs(1));
        h.merge(&other);
        assert_eq!((h.len(), h.ms(100.0)), (1001, 1000.0));
    }
}
