//! The results of a run: counts for the summary, lists for the report.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The result of one query.
#[derive(Debug)]
pub(crate) enum Verdict {
    Same,
    /// Dunlin's typed refusal.
    Refused {
        operator: String,
        reason: String,
    },
    /// Left out: the reason, and more details.
    Skipped(String, String),
    /// Dunlin answers a query for which the engine fails. This is allowed: Dunlin plans with other settings, and it
    /// is not fixed for which rows an expression is evaluated.
    Lenient(String),
    Wrong(String),
}

impl Verdict {
    /// Left out for a reason that needs no details.
    pub(crate) fn skipped(reason: &str) -> Self {
        Self::Skipped(reason.to_owned(), String::new())
    }
}

/// Counts and lists.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) files: usize,
    pub(crate) run: usize,
    pub(crate) same: usize,
    pub(crate) fleet: usize,
    pub(crate) lenient: Vec<String>,
    refused: BTreeMap<String, Vec<String>>,
    skipped: BTreeMap<String, Vec<String>>,
    pub(crate) wrong: BTreeMap<String, String>,
}

impl Tally {
    /// Counts the verdict on the query at a place.
    pub(crate) fn add(&mut self, at: &str, sql: &str, verdict: Verdict) {
        if !matches!(verdict, Verdict::Skipped(..)) {
            self.run += 1;
        }
        match verdict {
            Verdict::Same => self.same += 1,
            Verdict::Refused { operator, reason } => {
                let list = self.refused.entry(operator).or_default();
                list.push(format!("{at}: {reason}\n{}", indented(sql)));
            }
            Verdict::Skipped(reason, detail) => {
                self.skipped.entry(reason).or_default().push(format!("{at} {detail}"));
            }
            Verdict::Lenient(error) => {
                self.lenient.push(format!("{at}: {error}\n{}", indented(sql)));
            }
            Verdict::Wrong(difference) => {
                self.wrong.insert(at.to_owned(), format!("{difference}\n{}", indented(sql)));
            }
        }
    }

    /// Adds another tally.
    pub(crate) fn merge(&mut self, other: Self) {
        self.files += other.files;
        self.run += other.run;
        self.same += other.same;
        self.fleet += other.fleet;
        self.lenient.extend(other.lenient);
        for (into, from) in [(&mut self.refused, other.refused), (&mut self.skipped, other.skipped)]
        {
            for (key, list) in from {
                into.entry(key).or_default().extend(list);
            }
        }
        self.wrong.extend(other.wrong);
    }

    /// One line.
    pub(crate) fn summary(&self) -> String {
        let counts = |lists: &BTreeMap<String, Vec<String>>| {
            let total: usize = lists.values().map(Vec::len).sum();
            let each: Vec<String> =
                lists.iter().map(|(key, list)| format!("{key} {}", list.len())).collect();
            (total, each.join(", "))
        };
        let ((refused, operators), (skipped, reasons)) =
            (counts(&self.refused), counts(&self.skipped));
        format!(
            "sqllogictest: {} files, {} queries run ({} also by the fleet), {} same, {refused} refused (by operator: {operators}), {} answered where the engine fails, {skipped} skipped (by reason: {reasons}), {} failures",
            self.files,
            self.run,
            self.fleet,
            self.same,
            self.lenient.len(),
            self.wrong.len()
        )
    }

    /// The summary with every query that it counts, except those that are the same.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("{}\n", self.summary());
        for (at, difference) in &self.wrong {
            let _ = writeln!(text, "\nfailure: {at}: {difference}");
        }
        for (operator, list) in &self.refused {
            for refusal in list {
                let _ = writeln!(text, "\nrefused: {operator}: {refusal}");
            }
        }
        for error in &self.lenient {
            let _ = writeln!(text, "\nlenient: {error}");
        }
        for (reason, list) in &self.skipped {
            let _ = writeln!(text, "\nskipped: {reason}:\n    {}", list.join("\n    "));
        }
        text
    }
}

fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
