//! `system.cost_by_day`: what the queries of each day used, summed up from their records.

use datafusion::common::ScalarValue;
use dunlin_planner::{SnapshotError, Wanted};

use super::columns::ZONE;
use super::facts::MOST;
use super::rows::{Row, Rows};
use super::state::Snapshot;
use super::told::{Facts, Found, Scan, What};
use crate::query::day::{DAY_MS, day_of};
use crate::query::status::Status;

/// The queries of one day.
#[derive(Debug, Default)]
struct Day {
    day: u64,
    queries: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    open: u64,
    rows: u64,
    bytes_scanned: u64,
    bytes_exchanged: u64,
    result_bytes: u64,
    wall_ms: u64,
    slot_us: u64,
    cost_usd: Option<f64>,
}

impl Day {
    fn add(&mut self, facts: &Facts) {
        self.queries += 1;
        match facts.status {
            Status::Succeeded => self.succeeded += 1,
            Status::Failed => self.failed += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Pending | Status::Running => self.open += 1,
        }
        if let Some(summary) = &facts.summary {
            if facts.status == Status::Succeeded {
                self.rows += summary.rows;
            }
            self.bytes_scanned += summary.bytes_scanned;
            self.bytes_exchanged += summary.shuffle_bytes;
            self.result_bytes += summary.result_bytes;
            self.wall_ms += summary.wall_ms;
            self.slot_us += summary.slot.total();
        }
        if let Some(cost) = facts.cost_usd {
            self.cost_usd = Some(self.cost_usd.unwrap_or(0.0) + cost);
        }
    }

    fn row(&self) -> Row {
        Row::default()
            .day(self.day)
            .int(self.queries)
            .int(self.succeeded)
            .int(self.failed)
            .int(self.cancelled)
            .int(self.open)
            .int(self.rows)
            .int(self.bytes_scanned)
            .int(self.bytes_exchanged)
            .int(self.result_bytes)
            .int(self.wall_ms)
            .int(self.slot_us / 1_000)
            .some_real(self.cost_usd)
    }
}

/// The conditions on days as conditions on the times of queries.
fn by_time(wanted: &Wanted) -> Wanted {
    let day = |bound: Option<&ScalarValue>| match bound {
        Some(ScalarValue::Date32(Some(day))) => u64::try_from(*day).ok(),
        _ => None,
    };
    let (since, until) = wanted.range("day");
    Wanted::between("submitted_at", day(since).map(start), day(until).map(|day| start(day + 1)))
}

/// The beginning of a day.
fn start(day: u64) -> ScalarValue {
    let micros = i64::try_from(day * DAY_MS * 1_000).unwrap_or(i64::MAX);
    ScalarValue::TimestampMicrosecond(Some(micros), Some(ZONE.into()))
}

impl Snapshot {
    pub(super) async fn costs(
        &self,
        wanted: &Wanted,
        rows: &mut Rows<'_>,
    ) -> Result<(), SnapshotError> {
        let times = by_time(wanted);
        let scan = Scan { table: "cost_by_day", wanted: &times, most: MOST };
        let mut day: Option<Day> = None;
        let mut take = |found: Found| -> Result<bool, SnapshotError> {
            let Found::Facts(facts) = found else { return Ok(true) };
            let number = day_of(facts.submitted_ms);
            // They come newest first, so a day is complete when an earlier one begins.
            if let Some(done) = day.take_if(|day| day.day != number) {
                rows.push(done.row())?;
            }
            if rows.is_full() {
                return Ok(false);
            }
            day.get_or_insert_with(|| Day { day: number, ..Day::default() }).add(&facts);
            Ok(true)
        };
        self.visit(scan, What::Facts, &mut take).await?;
        day.map_or(Ok(()), |day| rows.push(day.row()))
    }
}
