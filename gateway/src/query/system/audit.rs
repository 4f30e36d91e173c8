//! `system.audit` and `system.workgroups`: what clients did, and what their groups have used.

use datafusion::common::ScalarValue;
use dunlin_planner::{SnapshotError, Wanted};

use super::rows::{Row, Rows};
use super::state::{Snapshot, unread};
use crate::auth::Scope;
use crate::query::audit::events;
use crate::query::day::day_of;

/// Objects that one scan reads at most. A busy gateway writes 720 an hour.
const MOST: usize = 20_000;
/// Days that are listed one by one. More of them are listed together.
const MOST_DAYS: u64 = 62;

impl Snapshot {
    pub(super) async fn audit(
        &self,
        wanted: &Wanted,
        rows: &mut Rows<'_>,
    ) -> Result<(), SnapshotError> {
        let store = self.system.queries.handles.store();
        let days = days(wanted, self.system.queries.env().clock.wall_ms());
        let events = events(store, days, MOST).await.map_err(unread)?;
        let events = events.ok_or_else(|| {
            SnapshotError::TooMuch(format!(
                "the statement reads over {MOST} objects of system.audit, which is the most: add a condition on at, as at > now() - interval '1 day'"
            ))
        })?;
        for event in events {
            if rows.is_full() {
                break;
            }
            let row = Row::default()
                .time(event.at_ms)
                .text(event.action.as_str())
                .flag(event.is_allowed)
                .some_text(event.error_code.map(String::from))
                .some_text(event.principal)
                .some_text(event.owner)
                .some_text(event.workgroup)
                .some_text(event.protocol)
                .some_text(event.address.map(|address| address.to_string()))
                .some_text(event.query_id)
                .some_text(event.sql)
                .text(event.gateway);
            rows.push(row)?;
        }
        Ok(())
    }

    pub(super) async fn workgroups(&self, rows: &mut Rows<'_>) -> Result<(), SnapshotError> {
        let is_admin = self.caller.scopes.has(Scope::Admin);
        for group in self.system.current.now().keyring.workgroups() {
            if !is_admin && self.caller.workgroup.as_ref() != Some(&group) {
                continue;
            }
            let today = match group.day.is_none() {
                true => None,
                false => Some(self.system.workgroups.today(&group).await.map_err(unread)?),
            };
            let row = Row::default()
                .text(&*group.name)
                .some_text(group.tables.patterns().map(|tables| tables.join(", ")))
                .some_int(group.running.map(|most| most as u64))
                .some_int(group.most.max_bytes_scanned)
                .some_real(group.most.max_cost_usd)
                .some_int(group.day.bytes)
                .some_int(today.map(|today| today.bytes))
                .some_real(group.day.cost_usd)
                .some_real(today.map(|today| today.cost_usd()))
                .some_int(today.map(|today| today.queries));
            rows.push(row)?;
        }
        Ok(())
    }
}

/// The days on which events may be wanted, if the statement bounds them.
fn days(wanted: &Wanted, now_ms: u64) -> Option<std::ops::RangeInclusive<u64>> {
    let day = |bound: Option<&ScalarValue>| match bound {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
            u64::try_from(micros.div_euclid(1_000)).ok().map(day_of)
        }
        _ => None,
    };
    let (since, until) = wanted.range("at");
    let since = day(since)?;
    // Objects are named by the time at which they are written, which is later than that of their events.
    let tomorrow = day_of(now_ms) + 1;
    let until = day(until).map_or(tomorrow, |day| day + 1).min(tomorrow);
    (until.saturating_sub(since) <= MOST_DAYS).then_some(since..=until)
}

#[cfg(test)]
mod tests {
    use super::super::columns::ZONE;
    use super::*;

    fn at(day: i64) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(Some(day * 86_400_000_000 + 5), Some(ZONE.into()))
    }

    #[test]
    fn bounds_of_time_are_days_and_the_day_after() {
        let now_ms = 20_000 * 86_400_000;
        let of = |since, until| days(&Wanted::between("at", since, until), now_ms);
        assert_eq!(of(Some(at(19_990)), Some(at(19_991))), Some(19_990..=19_992));
        assert_eq!(of(Some(at(19_990)), None), Some(19_990..=20_001));
        assert_eq!(of(None, Some(at(19_991))), None);
        assert_eq!(of(Some(at(1)), None), None);
        // Nothing is listed of the future.
        assert_eq!(of(Some(at(19_999)), Some(at(90_000))), Some(19_999..=20_001));
    }
}
