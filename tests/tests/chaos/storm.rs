//! What the actors of a storm share: when it is over, what they have found, and a count of what has happened, so that a storm in
//! which nothing happens is no pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slipstream_tests::Event;

/// How many findings are kept: the first ones say what is wrong.
const FINDINGS_MAX: usize = 10;

#[derive(Clone, Default)]
pub struct Storm(Arc<Shared>);

#[derive(Default)]
struct Shared {
    over: Event,
    findings: Mutex<Vec<String>>,
    tally: Mutex<BTreeMap<String, u64>>,
    cookies: Mutex<BTreeSet<String>>,
}

impl Storm {
    pub fn is_over(&self) -> bool {
        self.0.over.is_raised()
    }

    pub fn end(&self) {
        self.0.over.raise();
    }

    /// Passes time; less of it where the storm ends.
    pub fn pause(&self, ms: usize) {
        self.0.over.raised_within(Duration::from_millis(ms as u64));
    }

    /// Passes what is left of the time to `until`.
    pub fn go_on(&self, until: Instant) {
        self.0.over.raised_within(until.saturating_duration_since(Instant::now()));
    }

    /// Something that must not be.
    pub fn finding(&self, what: String) {
        let mut findings = self.0.findings.lock().expect("nobody panics with it");
        if findings.len() < FINDINGS_MAX {
            findings.push(what);
        }
        drop(findings);
        self.count("findings");
    }

    pub fn findings(&self) -> Vec<String> {
        self.0.findings.lock().expect("nobody panics with it").clone()
    }

    /// An answer that is for one client has come to somebody; false: to somebody before.
    pub fn is_first_with(&self, cookie: &str) -> bool {
        self.0.cookies.lock().expect("nobody panics with it").insert(cookie.into())
    }

    pub fn count(&self, what: impl Into<String>) {
        *self.0.tally.lock().expect("nobody panics with it").entry(what.into()).or_default() += 1;
    }

    pub fn counted(&self, what: &str) -> u64 {
        self.0.tally.lock().expect("nobody panics with it").get(what).copied().unwrap_or(0)
    }

    pub fn tally(&self) -> String {
        let tally = self.0.tally.lock().expect("nobody panics with it");
        tally.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}
