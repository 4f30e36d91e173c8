//! One line on standard error that tells how far a query is, where somebody looks at it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use dunlin_plan::words::{bytes, count, grouped};

use super::footer::{dollars, duration};
use crate::link::{Progress, Status};

/// A query that is shorter than this shows no progress.
const QUIET: Duration = Duration::from_millis(400);
/// Time between two changes of the line.
pub(super) const TICK: Duration = Duration::from_millis(200);
/// Columns of the bar.
const BAR: u64 = 20;

/// One line that is overwritten.
#[derive(Debug)]
pub(super) struct Meter {
    is_on: bool,
    is_drawn: bool,
    start: Instant,
    columns: usize,
    /// The last state, for the time between two answers.
    state: String,
}

impl Meter {
    /// A meter for a query that begins now; silent unless standard error is a terminal.
    pub(super) fn start(wanted: bool, columns: usize) -> Self {
        let is_on = wanted && std::io::stderr().is_terminal();
        let columns = if columns == 0 { 80 } else { columns };
        Self { is_on, is_drawn: false, start: Instant::now(), columns, state: "running".to_owned() }
    }

    /// Whether anybody sees it.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Shows the status of a query.
    pub(super) fn status(&mut self, status: &Status) {
        self.state = describe(status, self.elapsed());
        self.draw();
    }

    /// Shows how much has been received.
    pub(super) fn received(&mut self, rows: u64, size: u64) {
        self.state = format!("received {} · {}", count(rows, "row"), bytes(size));
        self.draw();
    }

    /// Shows a note instead of the state.
    pub(super) fn note(&mut self, text: &str) {
        text.clone_into(&mut self.state);
        self.draw();
    }

    /// Shows the state, and how long it has taken.
    pub(super) fn draw(&mut self) {
        let elapsed = self.elapsed();
        if !self.is_on || elapsed < QUIET {
            return;
        }
        let line = format!("{} · {}", self.state, duration(elapsed));
        let line: String = line.chars().take(self.columns.saturating_sub(1)).collect();
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r\u{1b}[2K{line}");
        let _ = stderr.flush();
        self.is_drawn = true;
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.is_drawn {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\u{1b}[2K");
            let _ = stderr.flush();
            self.is_drawn = false;
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}

fn describe(status: &Status, elapsed: Duration) -> String {
    let at = &status.progress;
    let mut parts = Vec::new();
    if at.tasks > 0 {
        parts.push(format!(
            "{} {}/{} tasks",
            bar(at.tasks_done, at.tasks),
            at.tasks_done,
            at.tasks
        ));
    } else {
        let phase = if status.phase.is_empty() { "running" } else { &status.phase };
        parts.push(phase.to_owned());
    }
    if at.stages > 1 {
        parts.push(format!("stage {}/{}", (at.stages_done + 1).min(at.stages), at.stages));
    }
    if let Some(rows) = at.rows {
        let rate = each_second(rows, elapsed)
            .map_or_else(String::new, |rate| format!(", {}/s", grouped(rate)));
        parts.push(format!("{}{rate}", count(rows, "row")));
    }
    if let Some(size) = at.bytes_scanned {
        let rate = each_second(size, elapsed)
            .map_or_else(String::new, |rate| format!(", {}/s", bytes(rate)));
        parts.push(format!("read {}{rate}", bytes(size)));
    }
    if let Some(cost) = status.cost_usd {
        parts.push(dollars(cost));
    }
    if let Some(left) = left(at, elapsed) {
        // An estimate has no hundredths.
        let left = match left.as_secs() {
            seconds @ 0..60 => format!("{} s", seconds.max(1)),
            seconds => duration(Duration::from_secs(seconds)),
        };
        parts.push(format!("about {left} left"));
    }
    parts.join(" · ")
}

/// How many of `total` came in a second; `None` while that would say little.
fn each_second(total: u64, elapsed: Duration) -> Option<u64> {
    let millis = u64::try_from(elapsed.as_millis()).ok().filter(|millis| *millis >= 500)?;
    Some(total.saturating_mul(1_000) / millis)
}

/// The time that is left, if the rest takes as long as what is done. Of later stages the tasks are not known yet, so each
/// stage counts the same, and nothing is said before a third is done.
#[allow(clippy::cast_precision_loss)] // an estimate
fn left(at: &Progress, elapsed: Duration) -> Option<Duration> {
    let stages = at.stages.max(1) as f64;
    let tasks = if at.tasks == 0 { 0.0 } else { at.tasks_done as f64 / at.tasks as f64 };
    let done = ((at.stages_done as f64 + tasks) / stages).min(1.0);
    let is_early = done < 1.0 / 3.0 || elapsed < Duration::from_secs(2);
    (!is_early && done < 1.0).then(|| elapsed.mul_f64((1.0 - done) / done))
}

fn bar(done: u64, all: u64) -> String {
    let full = done.min(all).saturating_mul(BAR) / all.max(1);
    let of = |text: &str, times: u64| text.repeat(usize::try_from(times).unwrap_or_default());
    format!("{}{}", of("█", full), of("░", BAR - full))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_says_what_the_gateway_knows() {
        let after = |value, seconds| {
            let time = Duration::from_secs(seconds);
            describe(&serde_json::from_value(value).unwrap_or_default(), time)
        };
        let read = |value| after(value, 0);
        let progress = json!({"stages_done": 1, "stages": 4, "tasks_done": 3, "tasks": 12});
        assert_eq!(
            read(json!({ "progress": progress })),
            "█████░░░░░░░░░░░░░░░ 3/12 tasks · stage 2/4"
        );
        let read_bytes = json!({"progress": {"tasks": 1, "bytes_scanned": 1_900_000}});
        assert!(read(read_bytes).ends_with(" · read 1.90 MB"));
        assert_eq!(read(json!({"phase": "queued"})), "queued");
        let half = json!({"cost_usd": 0.000_21, "progress": {"stages_done": 2, "stages": 4, "tasks_done": 5, "tasks": 10, "bytes_scanned": 20_000_000, "rows": 1_500_000}});
        let told = after(half, 10);
        assert!(
            told.ends_with(
                " · 1,500,000 rows, 150,000/s · read 20.0 MB, 2.00 MB/s · $0.00021 · about 6 s left"
            ),
            "{told}"
        );
    }
}
