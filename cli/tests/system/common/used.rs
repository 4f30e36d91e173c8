//! What the queries of TPC-H use that does not depend on the machine, held against what they used when it was recorded.
//!
//! `UPDATE_PLANS=1 cargo test -p dunlin --test system 16_partitions` records it again.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

/// What a query used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    number: usize,
    /// Stages, tasks, bytes scanned, bytes exchanged.
    counts: [u64; 4],
}

const NAMES: [&str; 4] = ["stages", "tasks", "scanned", "exchanged"];

impl Used {
    /// Of a query with this number and `Dunlin-Summary`.
    pub fn of(number: usize, summary: &Value) -> Self {
        let fields = ["stages", "tasks", "bytes_scanned", "shuffle_bytes"];
        Self { number, counts: fields.map(|field| summary[field].as_u64().unwrap()) }
    }

    fn line(&self) -> String {
        let mut line = format!("Q{}", self.number);
        for (name, count) in NAMES.iter().zip(self.counts) {
            let _ = write!(line, " {name} {count}");
        }
        line
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let number = words.next()?.strip_prefix('Q')?.parse().ok()?;
        let counts: Vec<u64> = words.skip(1).step_by(2).map_while(|it| it.parse().ok()).collect();
        Some(Self { number, counts: counts.try_into().ok()? })
    }

    /// What it uses more than was recorded. Bytes may be a fiftieth more: names and addresses are in them.
    fn over(&self, budget: &Self) -> Option<String> {
        let [stages, tasks, scanned, exchanged] = budget.counts;
        let most = [stages, tasks, scanned + scanned / 50, exchanged + exchanged / 50 + 2_000];
        let is_over = self.counts.iter().zip(most).any(|(used, most)| *used > most);
        is_over.then(|| format!("  {}\n  budget: {}", self.line(), budget.line()))
    }
}

/// Fails if a query uses more than was recorded.
pub fn hold(all: &[Used]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/used.txt");
    if std::env::var_os("UPDATE_PLANS").is_some() {
        let lines: String = all.iter().map(|used| used.line() + "\n").collect();
        std::fs::write(file, lines).unwrap();
        return;
    }
    let text = std::fs::read_to_string(file).unwrap();
    let budgets: Vec<Used> = text.lines().filter_map(Used::parse).collect();
    assert_eq!(budgets.len(), all.len(), "a budget for each query");
    let over: Vec<String> =
        all.iter().zip(&budgets).filter_map(|(used, budget)| used.over(budget)).collect();
    assert!(
        over.is_empty(),
        "queries use more than was recorded; if that is meant, run with UPDATE_PLANS=1 and commit:\n{}",
        over.join("\n")
    );
}
