//! The table and the JSON.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{args::Workload, histogram::Histogram, probe};

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", number(limit)),
            Self::AtLeast(limit) => format!("≥ {}", number(limit)),
        }
    }
}

/// One figure of a workload.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// What is to be reached now.
    goal: Option<Goal>,
    /// What is to be reached in the end.
    target: Option<Goal>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, goal: None, target: None }
    }
    #[must_use]
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }
    #[must_use]
    pub(crate) fn target(mut self, target: Goal) -> Self {
        self.target = Some(target);
        self
    }
    pub(crate) fn most(self, goal: f64, target: f64) -> Self {
        self.goal(Goal::AtMost(goal)).target(Goal::AtMost(target))
    }
}

/// A workload that this server cannot run, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Absent(pub(crate) String);

/// Says that a workload cannot run.
pub(crate) fn absent<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Absent(why.into()).into())
}

type Outcome = anyhow::Result<Vec<Figure>>;

/// All figures of a run.
pub(crate) struct Report {
    fsync: Histogram,
    dir: PathBuf,
    rows: Vec<(String, Workload, Outcome)>,
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v.fract() == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Report {
    /// Measures the disk below `dir`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { fsync: probe::fsync(dir)?, dir: dir.to_owned(), rows: Vec::new() })
    }

    /// The line that belongs above every figure.
    pub(crate) fn machine(&self) -> String {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        format!(
            "fsync of 2.3 KB in {}: p50 {} ms, p90 {} ms, p99 {} ms; {cpus} CPUs, shared by server and generator",
            self.dir.display(),
            number(self.fsync.ms(50.0)),
            number(self.fsync.ms(90.0)),
            number(self.fsync.ms(99.0)),
        )
    }

    pub(crate) fn add(&mut self, server: &str, workload: Workload, outcome: Outcome) {
        if let Err(error) = &outcome
            && !error.is::<Absent>()
        {
            eprintln!("{server}: {workload} failed: {error:#}");
        }
        self.rows.push((server.to_owned(), workload, outcome));
    }

    /// Whether a workload could not be carried out as it is defined. A figure that misses its goal is a result.
    pub(crate) fn failed(&self) -> bool {
        self.rows.iter().any(|(_, _, o)| o.as_ref().is_err_and(|e| !e.is::<Absent>()))
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        println!("\n| server | workload | figure | value | goal | target | |\n|---|---|---|---:|---:|---:|---|");
        for (server, workload, outcome) in &self.rows {
            let figures = match outcome {
                Ok(figures) => figures,
                Err(error) => {
                    let word = if error.is::<Absent>() { "absent" } else { "FAILED" };
                    println!("| {server} | {workload} | {word}: {error:#} | | | | |");
                    continue;
                }
            };
            for f in figures {
                let text = |goal: Option<Goal>| goal.map(Goal::text).unwrap_or_default();
                let verdict = match (f.goal.map(|g| g.met(f.value)), f.target.map(|t| t.met(f.value))) {
                    (_, Some(true)) => "target",
                    (Some(true), _) => "ok",
                    (Some(false), _) => "MISSED",
                    (None, Some(false)) => "below target",
                    (None, None) => "",
                };
                println!(
                    "| {server} | {workload} | {} | {} {} | {} | {} | {verdict} |",
                    f.name,
                    number(f.value),
                    f.unit,
                    text(f.goal),
                    text(f.target)
                );
            }
        }
        println!("\n{}", self.machine());
    }

    /// Writes everything to a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let limit = |goal: Option<Goal>| match goal {
            None => Value::Null,
            Some(Goal::AtMost(v)) => json!({"atMost": v}),
            Some(Goal::AtLeast(v)) => json!({"atLeast": v}),
        };
        let row = |(server, workload, outcome): &(String, Workload, Outcome)| {
            let mut row = json!({"server": server, "workload": workload.to_string()});
            match outcome {
                Ok(figures) => {
                    let figure = |f: &Figure| json!({"name": f.name, "value": f.value, "unit": f.unit, "goal": limit(f.goal), "target": limit(f.target)});
                    row["figures"] = figures.iter().map(figure).collect();
                }
                Err(error) if error.is::<Absent>() => row["absent"] = error.to_string().into(),
                Err(error) => row["error"] = format!("{error:#}").into(),
            }
            row
        };
        let all = json!({
            "fsyncMs": {"p50": self.fsync.ms(50.0), "p90": self.fsync.ms(90.0), "p99": self.fsync.ms(99.0)},
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        });
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
        Ok(())
    }
}
