//! Whether a query has used more than it may.

use crate::model::error_code::ErrorCode;
use crate::model::records::{Limits, QueryError, SealTotals, Spend};

impl Spend {
    /// What this costs, in 10^-15 dollars. Slots are paid if no function is.
    #[must_use]
    pub fn of(&self, used: &SealTotals) -> u64 {
        let SealTotals { requests, usage, slot, .. } = used;
        let slots = if usage.is_zero() { slot.total() } else { 0 };
        [
            (requests.put + requests.list, self.put),
            (requests.get + requests.head, self.get),
            (usage.calls, self.call),
            (usage.mb_ms, self.mb_ms),
            (slots, self.slot_us),
        ]
        .into_iter()
        .fold(0, |sum, (count, each)| sum.saturating_add(count.saturating_mul(each)))
    }
}

/// The error of a query that has used more than it may; `None` if it has not. `used` is what its winners have used, as far
/// as a process knows.
#[must_use]
pub fn over_spent(limits: &Limits, used: &SealTotals) -> Option<QueryError> {
    let error =
        |message: String| QueryError { code: ErrorCode::LimitExceeded, message, retryable: false };
    if let Some(most) = limits.max_scan_bytes.filter(|most| used.scan_bytes > *most) {
        return Some(error(format!(
            "the query has scanned {} bytes, and limits.max_bytes_scanned is {most}",
            used.scan_bytes
        )));
    }
    let spend = limits.spend?;
    let cost = spend.of(used);
    (cost > spend.most).then(|| {
        error(format!(
            "the query has cost ${} so far, and limits.max_cost_usd is ${}",
            dollars(cost),
            dollars(spend.most)
        ))
    })
}

/// 10^-15 dollars as dollars, with eight decimals.
fn dollars(amount: u64) -> String {
    let parts = amount / 10_000_000;
    format!("{}.{:08}", parts / 100_000_000, parts % 100_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::records::{Requests, SlotTime, Usage};

    #[test]
    fn a_query_may_use_its_limit_and_no_more() {
        let spend = Spend {
            most: 10_000_000_000,
            put: 5_000_000_000,
            get: 400_000_000,
            ..Spend::default()
        };
        let limits = Limits { max_scan_bytes: Some(100), spend: Some(spend), ..Limits::default() };
        let of = |put, scan_bytes| SealTotals {
            requests: Requests { put, ..Requests::default() },
            scan_bytes,
            ..SealTotals::default()
        };
        assert_eq!(over_spent(&limits, &of(2, 100)), None);
        let over = over_spent(&limits, &of(3, 0)).unwrap();
        assert_eq!(over.code, ErrorCode::LimitExceeded);
        assert!(
            over.message.contains("$0.00001500 so far") && over.message.contains("is $0.00001000"),
            "{over:?}"
        );
        let over = over_spent(&limits, &of(0, 101)).unwrap();
        assert!(over.message.contains("scanned 101 bytes"), "{over:?}");
        assert_eq!(over_spent(&Limits::default(), &of(9, u64::MAX)), None);
    }

    #[test]
    fn slots_are_paid_where_no_function_is() {
        let spend = Spend { mb_ms: 10, slot_us: 7, call: 1, ..Spend::default() };
        let slot = SlotTime { compute: 2, wait: 1, ..SlotTime::default() };
        assert_eq!(spend.of(&SealTotals { slot, ..SealTotals::default() }), 21);
        let usage = Usage { calls: 1, mb_ms: 3, ..Usage::default() };
        assert_eq!(spend.of(&SealTotals { slot, usage, ..SealTotals::default() }), 31);
    }
}
