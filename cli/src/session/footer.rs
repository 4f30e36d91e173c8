//! The line after an answer: what it was and what it took.

use std::time::Duration;

use dunlin_plan::words::{bytes, count};

use crate::client::{RequestCounts, Summary};

/// `12 rows · 1.84 s · fleet · 38 tasks · scanned 214 MB · exchanged 61 MB · 143 requests · $0.0021 · query 01a1…`.
pub(super) fn footer(rows: u64, took: Duration, summary: &Summary, query: &str) -> String {
    let mut parts = vec![count(rows, "row"), duration(took)];
    if !summary.route.is_empty() {
        parts.push(summary.route.clone());
    }
    if summary.tasks > 0 {
        let mut notes = Vec::new();
        let again = summary.attempts.saturating_sub(summary.tasks);
        if again > 0 {
            notes.push(format!("{} more", count(again, "attempt")));
        }
        if summary.functions.cold > 0 {
            notes.push(format!("{} cold", summary.functions.cold));
        }
        let notes =
            if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        parts.push(format!("{}{notes}", count(summary.tasks, "task")));
    }
    if summary.bytes_scanned > 0 {
        parts.push(format!("scanned {}", bytes(summary.bytes_scanned)));
    }
    if summary.shuffle_bytes > 0 {
        parts.push(format!("exchanged {}", bytes(summary.shuffle_bytes)));
    }
    let requests = all(&summary.requests) + all(&summary.requests_gateway);
    if requests > 0 {
        parts.push(count(requests, "request"));
    }
    if let Some(cost) = summary.cost_usd {
        parts.push(dollars(cost.total));
    }
    if !query.is_empty() {
        parts.push(format!("query {query}"));
    }
    parts.join(" · ")
}

fn all(requests: &RequestCounts) -> u64 {
    requests.put + requests.get + requests.list + requests.head + requests.delete
}

/// Dollars with two figures that count, also where they are few.
pub(super) fn dollars(total: f64) -> String {
    if total <= 0.0 {
        return "$0".to_owned();
    }
    if total >= 1.0 {
        return format!("${total:.2}");
    }
    let mut digits = 2;
    while digits < 12 && total * 10f64.powi(digits - 1) < 1.0 {
        digits += 1;
    }
    format!("${total:.0$}", usize::try_from(digits).unwrap_or(2))
}

/// A time for people: `812 ms`, `1.84 s`, `2 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 59.95 {
        format!("{seconds:.*} s", if seconds < 9.995 { 2 } else { 1 })
    } else {
        let whole = time.as_secs();
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Dollars;

    #[test]
    fn the_line_has_what_is_known() {
        let summary = Summary {
            route: "fleet".to_owned(),
            tasks: 38,
            attempts: 40,
            bytes_scanned: 214_000_000,
            shuffle_bytes: 61_400_000,
            requests: RequestCounts { put: 40, get: 100, ..RequestCounts::default() },
            requests_gateway: RequestCounts { list: 3, ..RequestCounts::default() },
            cost_usd: Some(Dollars { total: 0.002_134 }),
            ..Summary::default()
        };
        assert_eq!(
            footer(1_234, Duration::from_millis(1_840), &summary, "q"),
            "1,234 rows · 1.84 s · fleet · 38 tasks (2 attempts more) · scanned 214 MB · exchanged 61.4 MB · 143 requests · $0.0021 · query q"
        );
        assert_eq!(footer(1, Duration::from_millis(4), &Summary::default(), ""), "1 row · 4 ms");
    }

    #[test]
    fn numbers_have_the_figures_that_count() {
        assert_eq!(
            [0.0, 0.000_009_16, 0.25, 12.345].map(dollars),
            ["$0", "$0.0000092", "$0.25", "$12.35"]
        );
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(duration(Duration::from_millis(999)), "999 ms");
    }
}
