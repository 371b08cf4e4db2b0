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

/// One round of a workload on a server.
struct Round {
    server: String,
    workload: Workload,
    /// The disk just before, p50 in ms.
    fsync: f64,
    outcome: Outcome,
}

/// All figures of a run.
pub(crate) struct Report {
    fsync: Histogram,
    dir: PathBuf,
    rounds: Vec<Round>,
}

/// All rounds of a workload on a server.
struct Row<'a> {
    server: &'a str,
    workload: Workload,
    fsync: f64,
    /// Each figure with its median for a value, and the least and the most.
    figures: Vec<(Figure, f64, f64)>,
    errors: Vec<&'a anyhow::Error>,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values {
        [] => 0.0,
        all if all.len() % 2 == 1 => all[half],
        all => f64::midpoint(all[half - 1], all[half]),
    }
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
        Ok(Self { fsync: probe::fsync(dir)?, dir: dir.to_owned(), rounds: Vec::new() })
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

    pub(crate) fn add(&mut self, server: &str, workload: Workload, fsync: f64, outcome: Outcome) {
        if let Err(error) = &outcome
            && !error.is::<Absent>()
        {
            eprintln!("{server}: {workload} failed: {error:#}");
        }
        self.rounds.push(Round { server: server.to_owned(), workload, fsync, outcome });
    }

    /// Whether a workload could not be carried out as it is defined. A figure that misses its goal is a result.
    pub(crate) fn failed(&self) -> bool {
        self.rounds.iter().any(|r| r.outcome.as_ref().is_err_and(|e| !e.is::<Absent>()))
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let mut keys: Vec<(&str, Workload)> = Vec::new();
        for round in &self.rounds {
            let key = (round.server.as_str(), round.workload);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let row = |(server, workload): (&'_ str, Workload)| {
            let rounds: Vec<&Round> =
                self.rounds.iter().filter(|r| r.server == server && r.workload == workload).collect();
            let good: Vec<&Vec<Figure>> = rounds.iter().filter_map(|r| r.outcome.as_ref().ok()).collect();
            let figures = good.first().into_iter().flat_map(|f| f.iter()).map(|figure| {
                let of = |f: &&&Figure| f.name == figure.name;
                let mut values: Vec<f64> =
                    good.iter().filter_map(|f| f.iter().collect::<Vec<_>>().iter().find(of).map(|f| f.value)).collect();
                let value = median(&mut values);
                let (least, most) = (values.first().copied(), values.last().copied());
                (Figure { value, ..figure.clone() }, least.unwrap_or(value), most.unwrap_or(value))
            });
            Row {
                server: &rounds[0].server,
                workload,
                fsync: median(&mut rounds.iter().map(|r| r.fsync).collect::<Vec<_>>()),
                figures: figures.collect(),
                errors: rounds.iter().filter_map(|r| r.outcome.as_ref().err()).collect(),
            }
        };
        keys.into_iter().map(row).collect()
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        println!("\n| server | workload | figure | value | goal | target | |\n|---|---|---|---:|---:|---:|---|");
        for Row { server, workload, fsync, figures, errors } in self.rows() {
            for error in errors {
                let word = if error.is::<Absent>() { "absent" } else { "FAILED" };
                println!("| {server} | {workload} | {word}: {error:#} | | | | |");
            }
            if !figures.is_empty() {
                println!("| {server} | {workload} | *fsync p50 just before* | {} ms | | | |", number(fsync));
            }
            for (f, least, most) in figures {
                let text = |goal: Option<Goal>| goal.map(Goal::text).unwrap_or_default();
                let verdict = match (f.goal.map(|g| g.met(f.value)), f.target.map(|t| t.met(f.value))) {
                    (_, Some(true)) => "target",
                    (Some(true), _) => "ok",
                    (Some(false), _) => "MISSED",
                    (None, Some(false)) => "below target",
                    (None, None) => "",
                };
                let spread =
                    if least < most { format!(" ({} to {})", number(least), number(most)) } else { String::new() };
                let (value, goal, target) = (number(f.value), text(f.goal), text(f.target));
                println!(
                    "| {server} | {workload} | {} | {value} {}{spread} | {goal} | {target} | {verdict} |",
                    f.name, f.unit
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
        let row = |row: &Row<'_>| {
            let figure = |(f, least, most): &(Figure, f64, f64)| {
                json!({
                    "name": f.name, "value": f.value, "min": least, "max": most, "unit": f.unit,
                    "goal": limit(f.goal), "target": limit(f.target),
                })
            };
            let errors = |absent: bool| -> Vec<String> {
                row.errors.iter().filter(|e| e.is::<Absent>() == absent).map(|e| format!("{e:#}")).collect()
            };
            json!({
                "server": row.server, "workload": row.workload.to_string(), "fsyncMs": row.fsync,
                "figures": row.figures.iter().map(figure).collect::<Vec<_>>(),
                "absent": errors(true), "errors": errors(false),
            })
        };
        let all = json!({
            "fsyncMs": {"p50": self.fsync.ms(50.0), "p90": self.fsync.ms(90.0), "p99": self.fsync.ms(99.0)},
            "rows": self.rows().iter().map(row).collect::<Vec<_>>(),
        });
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_become_medians() {
        let mut report = Report { fsync: Histogram::default(), dir: PathBuf::new(), rounds: Vec::new() };
        for value in [3.0, 1.0, 2.0] {
            let figure = Figure::new("a", value, "ms").most(2.5, 1.5);
            report.add("kcp", Workload::W1, value, Ok(vec![figure]));
            report.add("peer", Workload::W1, value, absent("it has none"));
        }
        let rows = report.rows();
        assert_eq!(rows.len(), 2);
        let (figure, least, most) = &rows[0].figures[0];
        assert_eq!((figure.value, *least, *most, rows[0].fsync), (2.0, 1.0, 3.0, 2.0));
        assert_eq!((rows[1].figures.len(), rows[1].errors.len()), (0, 3));
        assert!(!report.failed());
        report.add("kcp", Workload::W2, 0.0, Err(anyhow::anyhow!("broken")));
        assert!(report.failed());
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (1234.5, "1234"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.012")] {
            assert_eq!(number(value), text);
        }
    }
}
