//! The Markdown that a run leaves: a table for each case, the goals beside what was reached, and the counts that must agree.
//!
//! In: the samples of all rounds. Out: text, and the problems that make the run fail. No timing is ever a problem.

use std::fmt::Write;

use crate::cases::{self, Bound, Case, Compared, Goal};
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
    /// The program is not there; what to do to have it.
    Missing(String),
    Ran {
        /// One for each round, or why there is none.
        rounds: Vec<Result<Sample, String>>,
        /// For a request, or why it was not measured.
        syscalls: Result<f64, String>,
    },
}

impl CaseResult {
    /// Latencies of a case in which the direct way takes part also stand as what each contestant added to it in that round; and CPU as what
    /// tracing added.
    pub fn new(case: Case, mut rows: Vec<Row>) -> Self {
        if case.lead() == cases::P50
            && let Some(direct) = rows.iter().find(|row| row.contestant == Contestant::Direct)
        {
            let direct = direct.by_round(cases::P50);
            rows.iter_mut().for_each(|row| row.add_differences(cases::P50, &direct, cases::P50_ADDED));
        }
        for number in 0..rows.len() {
            let untraced = rows[number].contestant.untraced();
            if let Some(base) = rows.iter().find(|row| Some(row.contestant) == untraced) {
                let base = base.by_round(cases::CPU_PER_REQUEST);
                rows[number].add_differences(cases::CPU_PER_REQUEST, &base, cases::CPU_ADDED);
            }
        }
        Self { case, rows }
    }

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
        let samples = self.rows.iter().flat_map(Row::samples);
        let fullest = samples.max_by_key(|sample| sample.figures.len());
        let names: Vec<&str> = fullest.map_or(Vec::new(), |sample| sample.figures.iter().map(|f| f.0).collect());
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
        let took_part = |driver: &Contestant| self.rows.iter().any(|row| row.contestant == *driver);
        let ours = [Contestant::Epoll, Contestant::IoUring, Contestant::EpollSome, Contestant::EpollAll];
        for driver in ours.into_iter().filter(took_part) {
            for goal in self.case.goals() {
                if let Some((what, values)) = self.reached(driver, goal) {
                    let bound = match goal.bound {
                        Bound::AtMost(most) => format!("at most {most}"),
                        Bound::AtLeast(least) => format!("at least {least}"),
                        Bound::None => "–".to_string(),
                    };
                    out += &line(&[format!("{}: {what}", driver.name()), judged(&values), bound]);
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

    /// What is judged, and its value in each round; no value: not measured, for want of the one or the other. `None`: the goal is not this
    /// driver's.
    fn reached(&self, driver: Contestant, goal: Goal) -> Option<(String, Vec<f64>)> {
        if goal.driver.is_some_and(|only| only != driver) {
            return None;
        }
        let figure = goal.figure;
        let ours = self.by_round(driver, figure);
        match goal.compared {
            Compared::Ratio([other]) if *other == driver => None,
            Compared::Ratio(others) => {
                let theirs: Vec<_> = others.iter().map(|other| self.by_round(*other, figure)).collect();
                let theirs: Vec<_> = theirs.iter().map(Vec::as_slice).collect();
                let names: Vec<_> = others.iter().map(|other| other.name()).collect();
                let better = if names.len() > 1 { "the better of " } else { "" };
                Some((format!("{figure} / {better}{}", names.join(" and ")), stats::ratios(&ours, &theirs)))
            }
            Compared::Above(other) => {
                Some((format!("{figure} − {}", other.name()), stats::differences(&ours, &self.by_round(other, figure))))
            }
            Compared::Syscalls => Some((figure.to_string(), self.syscalls(driver).into_iter().collect())),
            Compared::Itself => Some((figure.to_string(), ours.into_iter().flatten().collect())),
        }
    }

    fn syscalls(&self, contestant: Contestant) -> Option<f64> {
        match &self.rows.iter().find(|row| row.contestant == contestant)?.outcome {
            RowOutcome::Ran { syscalls: Ok(count), .. } => Some(*count),
            RowOutcome::Ran { .. } | RowOutcome::Missing(_) => None,
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
            RowOutcome::Missing(_) => &[],
            RowOutcome::Ran { rounds, .. } => rounds,
        }
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.rounds().iter().flatten()
    }

    /// Gives each round the figure `added` behind its first one: `figure` less what `under` has in that round.
    fn add_differences(&mut self, figure: &str, under: &[Option<f64>], added: &'static str) {
        let ours = self.by_round(figure);
        let RowOutcome::Ran { rounds, .. } = &mut self.outcome else { return };
        for ((round, ours), under) in rounds.iter_mut().zip(ours).zip(under) {
            if let (Ok(sample), Some(ours), Some(under)) = (round, ours, under) {
                sample.figures.insert(1, (added, ours - under));
            }
        }
    }

    fn by_round(&self, figure: &str) -> Vec<Option<f64>> {
        let value = |sample: &Sample| sample.figures.iter().find(|(name, _)| *name == figure).map(|(_, value)| *value);
        self.rounds().iter().map(|round| round.as_ref().ok().and_then(value)).collect()
    }

    fn markdown(&self, names: &[&str]) -> String {
        let mut cells = vec![self.contestant.name().to_string()];
        let syscalls = match &self.outcome {
            RowOutcome::Missing(cure) => {
                cells.push(format!("**missing**: {cure}"));
                cells.extend(vec![String::new(); names.len() + 5]);
                return line(&cells);
            }
            RowOutcome::Ran { syscalls, .. } => syscalls,
        };
        let failed = if self.samples().next().is_some() { "–" } else { "**failed**" };
        for name in names {
            let values: Vec<f64> = self.by_round(name).into_iter().flatten().collect();
            cells.push(stats::spread(&values).map_or(failed.to_string(), shown));
        }
        cells.push(syscalls.as_ref().map_or("–".to_string(), |count| format!("{count:.2}")));
        let checks: Vec<_> = self.samples().map(|sample| &sample.checks).collect();
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
    shown_with(spread, digits)
}

fn shown_with(spread: Spread, digits: usize) -> String {
    let Spread { median, min, max } = spread;
    if min == max {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

/// What stands beside a goal. Many rounds tell a small ratio to a further digit, and where their middle half lies.
fn judged(values: &[f64]) -> String {
    let Some(spread) = stats::spread(values) else { return "**not measured**".to_string() };
    match stats::middle_half(values) {
        Some((low, high)) if spread.median < 10.0 => {
            format!("{}, the middle half {low:.3}–{high:.3}", shown_with(spread, 3))
        }
        Some(_) | None => shown(spread),
    }
}

/// The list under the tables: what was not right, or that all was.
pub fn problems_markdown(problems: &[String]) -> String {
    if problems.is_empty() {
        return "Every answer was 200 with the right bytes, and the origin saw as many requests as it should.\n"
            .to_string();
    }
    let mut out = String::from("**Not right:**\n\n");
    for problem in problems {
        writeln!(out, "- {}", problem.replace('\n', " ")).expect("a String takes every write");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Counts;
    use crate::measure::Checks;

    fn ran(contestant: Contestant, rounds: Vec<Result<Sample, String>>) -> Row {
        Row { contestant, outcome: RowOutcome::Ran { rounds, syscalls: Ok(2.0) } }
    }

    fn sample(figure: &'static str, value: f64) -> Result<Sample, String> {
        let counts = Counts { requests: 10, answers: 10, ..Counts::default() };
        Ok(Sample {
            figures: vec![(figure, value)],
            checks: Checks { counts, upstream: 10, upstream_min: 10, upstream_max: 10 },
        })
    }

    fn lines(result: &CaseResult) -> Vec<String> {
        result.markdown().lines().map(str::to_owned).collect()
    }

    #[test]
    fn missing_contestant_says_how_to_have_it_and_its_goal_that_it_was_not_measured() {
        let missing = Row { contestant: Contestant::Envoy, outcome: RowOutcome::Missing("`just envoy`".to_string()) };
        let rows = vec![ran(Contestant::Epoll, vec![sample(cases::CPU_PER_REQUEST, 150.0)]), missing];
        let lines = lines(&CaseResult::new(Case::Handshake, rows));
        assert!(lines.iter().any(|line| line.starts_with("| Envoy | **missing**: `just envoy` |")), "{lines:#?}");
        let goal = "| Slipstream, epoll: CPU µs/request / Envoy | **not measured** | at most 1 |";
        assert!(lines.iter().any(|line| line == goal), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("io_uring")), "who took no part has no goal: {lines:#?}");
    }

    #[test]
    fn added_latency_is_the_difference_to_the_direct_way_in_each_round() {
        let rows = vec![
            ran(Contestant::Epoll, [150.0, 280.0, 190.0].map(|value| sample(cases::P50, value)).into()),
            ran(Contestant::Floor, vec![sample(cases::P50, 140.0), sample(cases::P50, 260.0), Err("gone".to_string())]),
            ran(Contestant::Direct, [100.0, 200.0, 120.0].map(|value| sample(cases::P50, value)).into()),
        ];
        let result = CaseResult::new(Case::Pace, rows);
        let added = |n: usize| result.rows[n].by_round(cases::P50_ADDED);
        assert_eq!(added(0), [Some(50.0), Some(80.0), Some(70.0)]);
        assert_eq!(added(1), [Some(40.0), Some(60.0), None]);
        assert_eq!(added(2), [Some(0.0); 3]);
        let goal = "| Slipstream, epoll: p50 µs − floor | 15.0 (10.0–20.0) | at most 15 |";
        assert!(lines(&result).iter().any(|line| line == goal), "{:#?}", lines(&result));
        assert_eq!(result.problems(), ["pace, floor, round 3: gone"]);
    }

    #[test]
    fn answer_that_went_missing_is_a_problem() {
        let mut short = sample(cases::P50, 1.0);
        if let Ok(sample) = &mut short {
            sample.checks.counts.answers = 9;
        }
        let result = CaseResult::new(Case::Beside, vec![ran(Contestant::Nginx, vec![sample(cases::P50, 1.0), short])]);
        let problems = result.problems();
        assert!(problems.len() == 1 && problems[0].starts_with("beside, nginx, round 2: 10 requests, 9 answers"));
    }
}
