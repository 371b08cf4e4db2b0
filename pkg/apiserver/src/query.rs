//! Query parameters and the options of the verbs that they hold, decoded with Kubernetes' rules and texts.

use std::{borrow::Cow, time::Duration};

use kcp_apimachinery::Status;
use kcp_registry::{DeleteOptions, ListOptions, WriteOptions};
use serde_json::Value;

/// More parameters than any client has reason to send.
const MAX_PARAMETERS: usize = 1000;

/// The parameters of a request, decoded.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Decodes what follows the question mark.
    ///
    /// # Errors
    /// 400 when there are absurdly many parameters.
    pub(crate) fn parse(query: Option<&'a str>) -> Result<Self, Status> {
        let Some(query) = query.filter(|q| !q.is_empty()) else { return Ok(Self::default()) };
        let mut all = Vec::new();
        for pair in form_urlencoded::parse(query.as_bytes()) {
            if all.len() == MAX_PARAMETERS {
                return Err(Status::bad_request(format!("more than {MAX_PARAMETERS} query parameters")));
            }
            all.push(pair);
        }
        Ok(Self(all))
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_ref())
    }

    /// All values of a parameter.
    pub(crate) fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_ref())
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// A switch: there at all means on, `0` and `false` mean off (T-04).
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|v| !(v == "0" || v.eq_ignore_ascii_case("false")))
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 with Go's text.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|e: std::num::ParseIntError| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why =
                if matches!(e.kind(), PosOverflow | NegOverflow) { "value out of range" } else { "invalid syntax" };
            Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", kcp_apimachinery::field::go_quote(text)))
        })
    }

    /// The options of list and watch.
    ///
    /// # Errors
    /// 400 for numbers that are none. Everything else is refused by the registry.
    pub(crate) fn list_options(&self) -> Result<ListOptions, Status> {
        if self.0.is_empty() {
            return Ok(ListOptions::default());
        }
        Ok(ListOptions {
            label_selector: self.text("labelSelector"),
            field_selector: self.text("fieldSelector"),
            limit: self.number("limit")?.unwrap_or_default(),
            continue_token: self.text("continue"),
            resource_version: self.text("resourceVersion"),
            resource_version_match: self.text("resourceVersionMatch"),
            send_initial_events: self.flag("sendInitialEvents"),
            allow_watch_bookmarks: self.flag("allowWatchBookmarks").unwrap_or_default(),
        })
    }

    /// The options of create, update and patch.
    pub(crate) fn write_options(&self, user_agent: Option<&str>) -> WriteOptions {
        WriteOptions {
            dry_run: self.all("dryRun").map(str::to_owned).collect(),
            field_manager: self.text("fieldManager"),
            field_validation: self.text("fieldValidation"),
            force: self.flag("force"),
            user_agent: user_agent.unwrap_or_default().to_owned(),
        }
    }

    /// The options of delete: those of the body if there is one, else those of the query (X-01).
    ///
    /// # Errors
    /// 400 when the body is no `DeleteOptions`, or a number is none.
    pub(crate) fn delete_options(&self, body: &[u8]) -> Result<DeleteOptions, Status> {
        if body.is_empty() {
            return Ok(DeleteOptions {
                dry_run: self.all("dryRun").map(str::to_owned).collect(),
                propagation_policy: self.text("propagationPolicy"),
                orphan_dependents: self.flag("orphanDependents"),
                grace_period_seconds: self.number("gracePeriodSeconds")?,
                uid: None,
                resource_version: None,
            });
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| Status::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
        let bad = |what: &str| Status::bad_request(format!("DeleteOptions cannot be decoded: {what}"));
        let Value::Object(map) = value else { return Err(bad("not an object")) };
        let kind = map.get("kind").and_then(Value::as_str).unwrap_or("DeleteOptions");
        if kind != "DeleteOptions" {
            let version = map.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
            return Err(Status::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
            )));
        }
        let text = |value: Option<&Value>, what: &str| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(s)) => Ok(Some(s.clone())),
            Some(_) => Err(bad(what)),
        };
        let preconditions = map.get("preconditions").filter(|p| !p.is_null());
        if preconditions.is_some_and(|p| !p.is_object()) {
            return Err(bad("preconditions"));
        }
        let dry_run = match map.get("dryRun") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(all)) => all
                .iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| bad("dryRun")))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(bad("dryRun")),
        };
        Ok(DeleteOptions {
            dry_run,
            propagation_policy: text(map.get("propagationPolicy"), "propagationPolicy")?.unwrap_or_default(),
            orphan_dependents: match map.get("orphanDependents") {
                None | Some(Value::Null) => None,
                Some(Value::Bool(b)) => Some(*b),
                Some(_) => return Err(bad("orphanDependents")),
            },
            grace_period_seconds: match map.get("gracePeriodSeconds") {
                None | Some(Value::Null) => None,
                Some(v) => Some(v.as_i64().ok_or_else(|| bad("gracePeriodSeconds"))?),
            },
            uid: text(preconditions.and_then(|p| p.get("uid")), "preconditions.uid")?,
            resource_version: text(
                preconditions.and_then(|p| p.get("resourceVersion")),
                "preconditions.resourceVersion",
            )?,
        })
    }

    /// The `timeout` parameter (T-06).
    ///
    /// # Errors
    /// 400 when it is no duration.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Status> {
        match self.get("timeout").filter(|t| !t.is_empty()) {
            None => Ok(None),
            Some(text) => go_duration(text)
                .map(|d| Some(d).filter(|d| !d.is_zero()))
                .map_err(|e| Status::bad_request(format!("invalid timeout specified in the request URL - {e}"))),
        }
    }
}

/// Parses a duration as Go writes it (`1h2m3.5s`); negative ones are zero.
fn go_duration(text: &str) -> Result<Duration, String> {
    let quoted = || kcp_apimachinery::field::go_quote(text);
    let invalid = || format!("time: invalid duration {}", quoted());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let value: f64 = if number == "." { return Err(invalid()) } else { number.parse().map_err(|_| invalid())? };
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        seconds += value
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => return Err(format!("time: missing unit in duration {}", quoted())),
                unit => {
                    return Err(format!(
                        "time: unknown unit {} in duration {}",
                        kcp_apimachinery::field::go_quote(unit),
                        quoted()
                    ));
                }
            };
        rest = next;
    }
    if negative { Ok(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).map_err(|_| invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_in_go() {
        // T-06
        for (text, want) in [
            ("32s", Ok(32_000)),
            ("1m30s", Ok(90_000)),
            ("1.5h", Ok(5_400_000)),
            ("500ms", Ok(500)),
            ("0", Ok(0)),
            ("-5s", Ok(0)),
            ("abc", Err("time: invalid duration \"abc\"")),
            ("10", Err("time: missing unit in duration \"10\"")),
            ("1x", Err("time: unknown unit \"x\" in duration \"1x\"")),
            ("1..5s", Err("time: invalid duration \"1..5s\"")),
            ("-", Err("time: invalid duration \"-\"")),
        ] {
            assert_eq!(go_duration(text).map(|d| d.as_millis()), want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn switches_and_numbers() {
        for (query, want) in [
            ("watch", Some(true)),
            ("watch=", Some(true)),
            ("watch=1", Some(true)),
            ("watch=0", Some(false)),
            ("watch=False", Some(false)),
            ("x=1", None),
        ] {
            assert_eq!(Query::parse(Some(query)).unwrap().flag("watch"), want, "{query}");
        }
        let limit =
            |q: &'static str| Query::parse(Some(q)).unwrap().list_options().map(|o| o.limit).map_err(|s| s.message);
        assert_eq!(limit("limit=5"), Ok(5));
        assert_eq!(limit("limit=many"), Err("strconv.ParseInt: parsing \"many\": invalid syntax".into()));
        assert_eq!(
            limit("limit=99999999999999999999"),
            Err("strconv.ParseInt: parsing \"99999999999999999999\": value out of range".into())
        );
        assert!(Query::parse(Some(&"a=1&".repeat(100_000))).is_err());
    }

    #[test]
    fn delete_options_come_from_the_body_first() {
        // X-01
        let query = Query::parse(Some("propagationPolicy=Orphan&dryRun=All")).unwrap();
        let options = query.delete_options(b"").unwrap();
        assert_eq!((options.propagation_policy.as_str(), options.dry_run.len()), ("Orphan", 1));
        let body = br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background","preconditions":{"uid":"u"}}"#;
        let options = query.delete_options(body).unwrap();
        assert_eq!(
            (options.propagation_policy.as_str(), options.dry_run.len(), options.uid.as_deref()),
            ("Background", 0, Some("u"))
        );
        for bad in [
            &b"{nope"[..],
            b"[]",
            br#"{"kind":"ConfigMap","apiVersion":"v1"}"#,
            br#"{"gracePeriodSeconds":"x"}"#,
            br#"{"preconditions":3}"#,
        ] {
            assert_eq!(query.delete_options(bad).unwrap_err().code, 400, "{}", String::from_utf8_lossy(bad));
        }
    }
}
