//! Days of UTC, as whole days after 1970: what quotas, costs and the audit log are kept by.

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The day of a time.
pub(crate) fn day_of(unix_ms: u64) -> u64 {
    unix_ms / DAY_MS
}
