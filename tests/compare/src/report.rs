//! The Markdown that a run leaves: a table for each case, the goals beside what was reached, and the counts that must agree.
//!
//! In: the samples of all rounds. Out: text, and the problems that make the run fail. No timing is ever a problem.

use std::fmt::Write;

use crate::cases::{Case, Compared, Goal};
use crate::contestants::Contestant;
use crate::measure::Sample;
use crate::stats::{self, Spread};

/// All that a case gave.
pub struct CaseResult {
    pub case: Case,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub contestant: Contestant,
    pub outcome: RowOutcome,
}

pub enum RowOutcome {
    /// The program is not there.
    Missing,
    Ran {
        /// One for each round, or why there is none.
        rounds: Vec<Result<Sample, String>>,
        /// For a request, or why it was not measured.
        syscalls: Result<f64, String>,
    },
}

impl CaseResult {
    /// What was not right: failures and counts that do not agree.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for row in &self.rows {
            let RowOutcome::Ran { rounds, .. } = &row.outcome else { continue };
            for (round, result) in rounds.iter().enumerate() {
                let problem = match result {
                    Ok(sample) => sample.checks.problem(),
                    Err(error) => Some(error.clone()),
                };
                let place = format!("{}, {}, round {}", self.case.name(), row.contestant.name(), round + 1);
                problems.extend(problem.map(|problem| format!("{place}: {problem}")));
            }
        }
        problems
    }

    pub fn markdown(&self) -> String {
        let mut out = format!("### `{}`: {}\n\n", self.case.name(), self.case.shape().title);
        out += &self.table();
        out += &self.goals();
        out
    }

    fn table(&self) -> String {
        let names: Vec<&str> =
            self.rows.iter().find_map(Row::any_sample).map_or(Vec::new(), |s| s.figures.iter().map(|f| f.0).collect());
        let mut header = vec!["contestant"];
        header.extend(&names);
        header.extend(["syscalls/request", "requests", "upstream requests", "not 200", "wrong bodies", "errors"]);
        let mut out = line(&header.iter().map(ToString::to_string).collect::<Vec<_>>());
        out += &line(&vec!["---".to_string(); header.len()]);
        for row in &self.rows {
            out += &row.markdown(&names);
        }
        out
    }

    /// For each driver of Slipstream that ran, what it reached beside each goal.
    fn goals(&self) -> String {
        let mut out = String::new();
        for driver in [Contestant::Epoll, Contestant::IoUring] {
            for goal in self.case.goals() {
                if let Some((what, spread)) = self.reached(driver, goal) {
                    let at_most = goal.at_most.map_or("–".to_string(), |most| format!("at most {most}"));
                    out += &line(&[format!("{}: {what}", driver.name()), shown(spread), at_most]);
                }
            }
        }
        if out.is_empty() {
            return out;
        }
        format!(
            "\n{}{}{out}",
            line(&["by round".into(), "median (min–max)".into(), "goal".into()]),
            line(&["---"; 3].map(String::from))
        )
    }

    fn reached(&self, driver: Contestant, goal: Goal) -> Option<(String, Spread)> {
        let lead = self.case.lead();
        let ours = self.by_round(driver, lead);
        let (what, values) = match goal.compared {
            Compared::Ratio([other]) if *other == driver => return None,
            Compared::Ratio(others) => {
                let theirs: Vec<_> = others.iter().map(|other| self.by_round(*other, lead)).collect();
                let theirs: Vec<_> = theirs.iter().map(Vec::as_slice).collect();
                let names: Vec<_> = others.iter().map(|other| other.name()).collect();
                let better = if names.len() > 1 { "the better of " } else { "" };
                (format!("{lead} / {better}{}", names.join(" and ")), stats::ratios(&ours, &theirs))
            }
            Compared::Above(other) => {
                (format!("{lead} − {}", other.name()), stats::differences(&ours, &self.by_round(other, lead)))
            }
            Compared::RingSyscalls if driver != Contestant::IoUring => return None,
            Compared::RingSyscalls => ("syscalls/request".to_string(), self.syscalls(driver).into_iter().collect()),
            Compared::Itself(figure) => {
                (figure.to_string(), self.by_round(driver, figure).into_iter().flatten().collect())
            }
        };
        Some((what, stats::spread(&values)?))
    }

    fn syscalls(&self, contestant: Contestant) -> Option<f64> {
        match &self.rows.iter().find(|row| row.contestant == contestant)?.outcome {
            RowOutcome::Ran { syscalls: Ok(count), .. } => Some(*count),
            RowOutcome::Ran { .. } | RowOutcome::Missing => None,
        }
    }

    fn by_round(&self, contestant: Contestant, figure: &str) -> Vec<Option<f64>> {
        let row = self.rows.iter().find(|row| row.contestant == contestant);
        row.map_or(Vec::new(), |row| row.by_round(figure))
    }
}

impl Row {
    fn rounds(&self) -> &[Result<Sample, String>] {
        match &self.outcome {
            RowOutcome::Missing => &[],
            RowOutcome::Ran { rounds, .. } => rounds,
        }
    }

    fn any_sample(&self) -> Option<&Sample> {
        self.rounds().iter().find_map(|round| round.as_ref().ok())
    }

    fn by_round(&self, figure: &str) -> Vec<Option<f64>> {
        let value = |sample: &Sample| sample.figures.iter().find(|(name, _)| *name == figure).map(|(_, value)| *value);
        self.rounds().iter().map(|round| round.as_ref().ok().and_then(value)).collect()
    }

    fn markdown(&self, names: &[&str]) -> String {
        let mut cells = vec![self.contestant.name().to_string()];
        let RowOutcome::Ran { rounds, syscalls } = &self.outcome else {
            cells.push("**missing**".to_string());
            cells.extend(vec![String::new(); names.len() + 5]);
            return line(&cells);
        };
        for name in names {
            let values: Vec<f64> = self.by_round(name).into_iter().flatten().collect();
            cells.push(stats::spread(&values).map_or("**failed**".to_string(), shown));
        }
        cells.push(syscalls.as_ref().map_or("–".to_string(), |count| format!("{count:.2}")));
        let checks: Vec<_> = rounds.iter().flatten().map(|sample| &sample.checks).collect();
        let sum = |of: fn(&crate::measure::Checks) -> u64| checks.iter().map(|c| of(c)).sum::<u64>().to_string();
        cells.extend([
            sum(|c| c.counts.requests),
            sum(|c| c.upstream),
            sum(|c| c.counts.not_ok),
            sum(|c| c.counts.wrong_bodies),
            sum(|c| c.counts.errors),
        ]);
        line(&cells)
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Median and extremes, with as many digits as the figure has worth.
fn shown(spread: Spread) -> String {
    let digits = match spread.median.abs() {
        median if median < 10.0 => 2,
        median if median < 100.0 => 1,
        _ => 0,
    };
    let Spread { median, min, max } = spread;
    if min == max {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

/// The list under the tables: what was not right, or that all was.
pub fn problems_markdown(problems: &[String]) -> String {
    if problems.is_empty() {
        return "Every answer was 200 with the right bytes, and the origin saw each request once.\n".to_string();
    }
    let mut out = String::from("**Not right:**\n\n");
    for problem in problems {
        writeln!(out, "- {}", problem.replace('\n', " ")).expect("a String takes every write");
    }
    out
}
