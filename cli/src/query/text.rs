//! Statuses and lists of queries for people.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::error::ArrowError;
use dunlin_plan::words::bytes;
use serde_json::Value;

use super::find::id_of;
use crate::link::Status;
use crate::session::duration;

/// Columns of a list in their order; what else the gateway says comes after them.
const FIRST: [&str; 8] =
    ["query_id", "status", "submitted_ms", "route", "rows", "wall_ms", "error_code", "sql_preview"];
/// Columns that are there even if no query has a value.
const ALWAYS: usize = 2;
/// What is not shown: the status says it.
const LEFT_OUT: [&str; 2] = ["id", "phase"];
/// Characters of a text in a list.
const LONGEST: usize = 60;

/// A list of queries as rows: id and status, then what else the gateway says that is one value.
pub(super) fn list(queries: &[Value]) -> Result<RecordBatch, ArrowError> {
    let mut others = BTreeSet::new();
    for (name, value) in queries.iter().filter_map(Value::as_object).flatten() {
        let is_value = !value.is_object() && !value.is_array() && !value.is_null();
        if is_value && !LEFT_OUT.contains(&name.as_str()) {
            others.insert(name.as_str());
        }
    }
    let mut names: Vec<&str> = FIRST[..ALWAYS].to_vec();
    names.extend(FIRST[ALWAYS..].iter().copied().filter(|name| others.contains(name)));
    names.extend(others.into_iter().filter(|name| !FIRST.contains(name)));
    let columns = names.into_iter().map(|name| match name {
        "submitted_ms" => ("submitted", times(queries, name), true),
        name => (name, cells(queries, name), true),
    });
    RecordBatch::try_from_iter_with_nullable(columns)
}

fn times(queries: &[Value], name: &str) -> ArrayRef {
    let times = queries.iter().map(|query| query[name].as_i64());
    Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("+00:00"))
}

fn cells(queries: &[Value], name: &str) -> ArrayRef {
    if queries.iter().all(|query| query[name].is_null() || query[name].is_i64())
        && name != "query_id"
    {
        return Arc::new(queries.iter().map(|query| query[name].as_i64()).collect::<Int64Array>());
    }
    Arc::new(queries.iter().map(|query| text(query, name)).collect::<StringArray>())
}

fn text(query: &Value, name: &str) -> Option<String> {
    if name == "query_id" {
        return id_of(query).map(str::to_owned);
    }
    match &query[name] {
        Value::Null => None,
        Value::String(text) => {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let short: String = line.chars().take(LONGEST).collect();
            Some(if short.len() < line.len() { format!("{short}…") } else { line })
        }
        other => Some(other.to_string()),
    }
}

/// A status in a few lines.
pub(super) fn status(status: &Status) -> String {
    let mut lines = vec![("query", status.query_id.clone()), ("status", status.status.clone())];
    if !status.has_ended() && !status.phase.is_empty() {
        lines.push(("phase", status.phase.clone()));
    }
    if let Some(route) = &status.route {
        let reason = status.route_reason.as_deref().map(|why| format!(" ({why})"));
        lines.push(("route", format!("{route}{}", reason.unwrap_or_default())));
    }
    let at = &status.progress;
    if at.stages > 0 {
        lines.push(("stages", format!("{} of {}", at.stages_done, at.stages)));
        lines.push(("tasks", format!("{} of {}", at.tasks_done, at.tasks)));
    }
    if status.status == "SUCCEEDED"
        && let Some(rows) = status.summary.and_then(|summary| summary.rows)
    {
        lines.push(("rows", rows.to_string()));
    }
    if let Some(receipt) = &status.receipt {
        lines.push(("time", duration(std::time::Duration::from_millis(receipt.wall_ms))));
        lines.push(("scanned", bytes(receipt.bytes_scanned)));
        lines.push(("exchanged", bytes(receipt.shuffle_bytes)));
        if let Some(cost) = receipt.cost_usd {
            lines.push(("cost", format!("${:.6}", cost.total)));
        }
    }
    if let Some(error) = &status.error {
        let again = if error.retryable { "; submitting it again may help" } else { "" };
        lines.push(("error", format!("[{}] {}{again}", error.code, error.message)));
    }
    lines.into_iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_has_what_the_gateway_says() {
        let queries = [
            json!({"query_id": "01a", "status": "RUNNING", "phase": "running", "tags": {}, "new": true,
                "submitted_ms": 1_700_000_000_000_u64, "sql_preview": "select\n  1"}),
            json!({"id": "01b", "status": "FAILED", "rows": 3, "route": null}),
        ];
        let batch = list(&queries).unwrap();
        let mut cells = crate::print::Cells::new(&batch, true).unwrap();
        let mut row = |row: usize| {
            let cells = (0..batch.num_columns()).map(|column| cells.text(row, column).unwrap());
            cells.map(|cell| cell.unwrap_or("-".to_owned())).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(row(0), "01a | RUNNING | 2023-11-14T22:13:20Z | - | select 1 | true");
        assert_eq!(row(1), "01b | FAILED | - | 3 | - | -");
        assert_eq!(list(&[]).unwrap().num_columns(), ALWAYS);
    }

    #[test]
    fn a_status_says_how_far_it_is_or_why_it_failed() {
        let running = json!({
            "query_id": "01a", "status": "RUNNING", "phase": "running", "route": "fleet", "route_reason": "asked for",
            "progress": {"stages_done": 1, "stages": 4, "tasks_done": 3, "tasks": 9},
        });
        assert_eq!(
            status(&serde_json::from_value(running).unwrap()),
            "query      01a\nstatus     RUNNING\nphase      running\nroute      fleet (asked for)\nstages     1 of 4\ntasks      3 of 9\n"
        );
        let failed = json!({
            "query_id": "01a", "status": "FAILED", "phase": "finished",
            "error": {"code": "TIMEOUT", "message": "too long", "retryable": true},
        });
        assert_eq!(
            status(&serde_json::from_value(failed).unwrap()),
            "query      01a\nstatus     FAILED\nerror      [TIMEOUT] too long; submitting it again may help\n"
        );
    }
}
