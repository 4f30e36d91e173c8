//! Whether a schedule sweeps, where no gateway runs all the time.
//!
//! The sweeper leaves a mark in the store. A gateway that is a function cannot see otherwise that the schedule is off: it
//! sweeps by itself while it answers, so what the schedule would do is missed only when nobody asks.

use std::time::Duration;

/// A mark that is older tells that nobody sweeps. The sweeper renews it every 15 minutes, and clocks may differ by as much.
const MOST_AGE: Duration = Duration::from_secs(3_600);

/// What a user should know if the schedule seems to be off. `mark`: when the store has stamped the sweeper's mark; `now`: the
/// time of this process; both in milliseconds since 1970.
pub(super) fn note(mark: Option<i64>, now: u64) -> Option<String> {
    let since = match mark {
        Some(mark) => {
            let age = Duration::from_millis(now.saturating_sub(u64::try_from(mark).unwrap_or(0)));
            if age < MOST_AGE {
                return None;
            }
            format!("for {} h", age.as_secs() / 3_600)
        }
        None => "yet".to_owned(),
    };
    Some(format!(
        "no schedule has swept this state {since}: a query whose calls were lost waits until its client asks again, and nobody ends a query whose time is over; switch the sweeper's schedule on (Terraform: sweep), or read the sweeper's log"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_schedule_that_is_off_is_told_after_an_hour() {
        let now = 1_800_000_000_000_u64;
        let hours = |hours: i64| Some(1_800_000_000_000 - hours * 3_600_000 + 60_000);
        assert_eq!(note(hours(1), now), None);
        assert_eq!(note(hours(-1), now), None, "the store's clock is ahead");
        assert!(note(hours(4), now).unwrap().contains("swept this state for 3 h: "));
        assert!(note(None, now).unwrap().contains("swept this state yet: "));
    }
}
