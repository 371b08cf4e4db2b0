//! Metrics with label sets that are fixed when the program is compiled: nothing a client, a tenant or a type sends or
//! does makes a new series (CVE-2020-8552, kcp#1666's sibling: `/metrics` names no workspace).

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// What kind of thing a request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// A path that is no resource.
    None,
    /// A built-in type.
    BuiltIn,
    /// A type that a CRD defines.
    Custom,
}

const GROUPS: [&str; 3] = ["none", "built-in", "custom"];
/// The verbs that are told apart; the last stands for every other.
const VERBS: [&str; 10] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "path", "other"];
/// The codes that are told apart; the last stands for every other.
const CODES: [u16; 21] =
    [200, 201, 202, 301, 304, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503, 504, 0];

/// The kinds of requests that are in work.
const KINDS: [&str; 2] = ["readOnly", "mutating"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    code: u32,
    group: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    request_kind: &'static str,
}

/// The metrics of the server. Others add theirs through [`Metrics::with_registry`].
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// By kind of type, verb and code. All are made at the start, so that their number says nothing about what the
    /// server was asked and never changes.
    requests: Vec<Counter>,
    durations: [Histogram; VERBS.len()],
    in_flight: [Gauge; 2],
    /// Watches that are open.
    pub watches: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new([0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        let durations: Family<VerbLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds);
        let in_flight = Family::<KindLabels, Gauge>::default();
        let (watches, connections) = (Gauge::default(), Gauge::default());
        registry.register("apiserver_request", "Requests answered, by verb, code and kind of type", requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time from head to answer, watches left out",
            durations.clone(),
        );
        registry.register("apiserver_longrunning_requests", "Watches that are open", watches.clone());
        registry.register("apiserver_connections", "Connections that are open", connections.clone());
        registry.register("apiserver_current_inflight_requests", "Requests in work", in_flight.clone());
        let mut series = Vec::with_capacity(GROUPS.len() * VERBS.len() * CODES.len());
        for group in GROUPS {
            for verb in VERBS {
                let labels = CODES.map(|code| RequestLabels { verb, code: code.into(), group });
                series.extend(labels.iter().map(|labels| requests.get_or_create(labels).clone()));
            }
        }
        Self {
            registry: Mutex::new(registry),
            requests: series,
            durations: VERBS.map(|verb| durations.get_or_create(&VerbLabels { verb }).clone()),
            in_flight: KINDS.map(|request_kind| in_flight.get_or_create(&KindLabels { request_kind }).clone()),
            watches,
            connections,
        }
    }
}

impl Metrics {
    /// Lets another part of the program register its metrics. Label sets must be fixed there too.
    pub fn with_registry<T>(&self, f: impl FnOnce(&mut Registry) -> T) -> T {
        f(&mut self.registry.lock())
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, verb: &str, code: u16, group: Group, took: Option<std::time::Duration>) {
        let v = VERBS.iter().position(|x| *x == verb).unwrap_or(VERBS.len() - 1);
        let c = CODES.iter().position(|x| *x == code).unwrap_or(CODES.len() - 1);
        let index = (group as usize * VERBS.len() + v) * CODES.len() + c;
        if let Some(counter) = self.requests.get(index) {
            counter.inc();
        }
        if let Some(took) = took {
            self.durations[v].observe(took.as_secs_f64());
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self, read_only: usize, mutating: usize) -> String {
        for (gauge, value) in self.in_flight.iter().zip([read_only, mutating]) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut out, &self.registry.lock());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded_whatever_is_asked() {
        // CVE-2020-8552
        let metrics = Metrics::default();
        let series = |text: &str| text.lines().filter(|l| !l.starts_with('#')).count();
        let at_first = series(&metrics.text(0, 0));
        for i in 0..1000u16 {
            metrics.answered(&format!("verb{i}"), i, Group::Custom, Some(std::time::Duration::from_millis(1)));
        }
        metrics.answered("get", 200, Group::BuiltIn, None);
        let text = metrics.text(1, 2);
        assert_eq!(series(&text), at_first);
        assert!(text.contains(r#"apiserver_request_total{verb="get",code="200",group="built-in"} 1"#), "{text}");
    }
}
