//! Formats the numbers of an analysis for people.

use dunlin_manifest::records::{Requests, SlotTime};
pub(super) use dunlin_plan::words::{bytes, count, grouped};

/// Ascending numbers as `0-3,7`.
pub(super) fn ranges(numbers: &[u32]) -> String {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => found.push((number, number)),
        }
    }
    let texts: Vec<String> = found
        .into_iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    if texts.is_empty() { "?".to_owned() } else { texts.join(",") }
}

/// Microseconds as milliseconds, without the unit: one decimal below ten.
pub(super) fn millis(us: u64) -> String {
    let tenths = us.saturating_add(50) / 100;
    if tenths < 100 {
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        grouped(us.saturating_add(500) / 1_000)
    }
}

/// The request classes that are not zero.
pub(super) fn requests(counted: &Requests) -> String {
    let Requests { put, get, list, head, delete, hedged } = *counted;
    let classes = [("PUT", put), ("GET", get), ("LIST", list), ("HEAD", head), ("DELETE", delete)];
    let named: Vec<String> = classes
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(class, number)| format!("{} {class}", grouped(*number)))
        .collect();
    match (named.is_empty(), hedged) {
        (true, _) => "no requests".to_owned(),
        (false, 0) => named.join(" "),
        (false, hedged) => format!("{} ({} sent again)", named.join(" "), grouped(hedged)),
    }
}

/// How slots spent their time.
pub(super) fn slot(time: &SlotTime) -> String {
    let SlotTime { compute, wait, claim, commit, idle } = *time;
    format!(
        "slots computed {} ms, waited {} ms for rows, {} ms for claims, {} ms for commits, {} ms for a task",
        millis(compute),
        millis(wait),
        millis(claim),
        millis(commit),
        millis(idle)
    )
}

/// Largest over mean; `None` for fewer than two, or if all are zero.
pub(super) fn skew(of: impl Iterator<Item = u64>) -> Option<f64> {
    let all: Vec<u64> = of.collect();
    let (most, sum) = (*all.iter().max()?, all.iter().sum::<u64>());
    #[allow(clippy::cast_precision_loss)] // shown with one digit
    match all.len() {
        0 | 1 => None,
        _ if sum == 0 => Some(1.0),
        tasks => Some(most as f64 * tasks as f64 / sum as f64),
    }
}
