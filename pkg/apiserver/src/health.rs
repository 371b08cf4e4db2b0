//! `/healthz`, `/livez`, `/readyz`: named checks, verbose output, exclusion (V-03).

use std::{fmt, sync::Arc};

use http::StatusCode;
use parking_lot::RwLock;

use crate::respond::{self, Reply};

/// One of the three endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`, the old one: every check.
    Healthz,
    /// `/livez`: should the process be restarted?
    Livez,
    /// `/readyz`: should it get requests?
    Readyz,
}

impl Probe {
    /// The endpoint at the start of a canonical path, and what follows it.
    pub(crate) fn of_path(path: &str) -> Option<(Self, Option<&str>)> {
        let rest = path.strip_prefix('/')?;
        let (first, check) = rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b)));
        let probe = match first {
            "healthz" => Self::Healthz,
            "livez" => Self::Livez,
            "readyz" => Self::Readyz,
            _ => return None,
        };
        Some((probe, check))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }
}

type CheckFn = dyn Fn() -> Result<(), String> + Send + Sync;

#[derive(Clone)]
struct Check {
    name: Arc<str>,
    readiness_only: bool,
    run: Arc<CheckFn>,
}

/// The checks. More can be added while serving; `ping` is always there.
pub struct Health {
    checks: RwLock<Vec<Check>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.read().iter().map(|c| Arc::clone(&c.name))).finish()
    }
}

impl Default for Health {
    fn default() -> Self {
        let ping = Check { name: "ping".into(), readiness_only: false, run: Arc::new(|| Ok(())) };
        Self { checks: RwLock::new(vec![ping]) }
    }
}

impl Health {
    /// Adds a check to all three endpoints. It must not block. Its error is logged, not shown.
    pub fn add(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.push(name, false, check);
    }

    /// Adds a check that says only whether the server is ready.
    pub fn add_readiness(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.push(name, true, check);
    }

    fn push(&self, name: &str, readiness_only: bool, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.write().push(Check { name: name.into(), readiness_only, run: Arc::new(check) });
    }

    /// The paths of the single checks, for `/`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        for probe in [Probe::Healthz, Probe::Livez, Probe::Readyz] {
            out.push(format!("/{}", probe.name()));
            out.extend(self.of(probe).iter().map(|c| format!("/{}/{}", probe.name(), c.name)));
        }
        out
    }

    fn of(&self, probe: Probe) -> Vec<Check> {
        self.checks.read().iter().filter(|c| probe == Probe::Readyz || !c.readiness_only).cloned().collect()
    }

    /// Whether `probe` passes.
    pub fn passes(&self, probe: Probe) -> bool {
        self.of(probe).iter().all(|c| (c.run)().is_ok())
    }

    /// Answers a probe: all checks, or the one that is named.
    pub(crate) fn answer(&self, probe: Probe, only: Option<&str>, verbose: bool, exclude: &[&str]) -> Reply {
        let checks = self.of(probe);
        if let Some(only) = only {
            return match checks.iter().find(|c| *c.name == *only) {
                None => respond::page_not_found(),
                Some(check) => match (check.run)() {
                    Ok(()) => respond::text(StatusCode::OK, "ok"),
                    Err(why) => {
                        tracing::warn!(check = %check.name, %why, "health check failed");
                        respond::text(
                            StatusCode::INTERNAL_SERVER_ERROR,
                            format!("internal server error: {}\n", "reason withheld"),
                        )
                    }
                },
            };
        }
        let (mut out, mut failed) = (String::new(), false);
        for check in &checks {
            if exclude.contains(&&*check.name) {
                out.push_str(&format!("[+]{} excluded: ok\n", check.name));
            } else if let Err(why) = (check.run)() {
                tracing::warn!(check = %check.name, %why, "health check failed");
                failed = true;
                out.push_str(&format!("[-]{} failed: reason withheld\n", check.name));
            } else {
                out.push_str(&format!("[+]{} ok\n", check.name));
            }
        }
        let unknown: Vec<String> =
            exclude.iter().filter(|e| !checks.iter().any(|c| *c.name == ***e)).map(|e| format!("{e:?}")).collect();
        if !unknown.is_empty() {
            out.push_str(&format!(
                "warn: some health checks cannot be excluded: no matches for {}\n",
                unknown.join(",")
            ));
        }
        let name = probe.name();
        if failed {
            respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{out}{name} check failed\n"))
        } else if verbose {
            respond::text(StatusCode::OK, format!("{out}{name} check passed\n"))
        } else {
            respond::text(StatusCode::OK, "ok")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_say_what_kubernetes_says() {
        // V-03
        let health = Health::default();
        health.add_readiness("cache", || Err("cold".into()));
        let ask = |probe, only, verbose, exclude: &[&str]| {
            let reply = health.answer(probe, only, verbose, exclude);
            (reply.status().as_u16(), String::from_utf8_lossy(reply.body().as_full().unwrap()).into_owned())
        };
        assert_eq!(ask(Probe::Livez, None, false, &[]), (200, "ok".into()));
        assert_eq!(ask(Probe::Livez, None, true, &[]), (200, "[+]ping ok\nlivez check passed\n".into()));
        let (code, text) = ask(Probe::Readyz, None, false, &[]);
        assert_eq!((code, text.as_str()), (500, "[+]ping ok\n[-]cache failed: reason withheld\nreadyz check failed\n"));
        assert_eq!(ask(Probe::Readyz, None, false, &["cache"]), (200, "ok".into()));
        assert_eq!(ask(Probe::Readyz, Some("ping"), false, &[]), (200, "ok".into()));
        assert_eq!(ask(Probe::Readyz, Some("cache"), false, &[]).0, 500);
        assert_eq!(ask(Probe::Livez, Some("cache"), false, &[]).0, 404);
        assert!(ask(Probe::Livez, None, true, &["nope"]).1.contains("no matches for \"nope\""));
    }
}
