//! Statuses and lists of queries for people.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use serde_json::Value;

use super::find::id_of;
use crate::link::Status;
use crate::session::{amount, duration};

/// Columns of a list that come first, where they are known.
const FIRST: [&str; 2] = ["query_id", "status"];
/// Characters of a statement in a list.
const STATEMENT: usize = 60;

/// A list of queries as rows: id and status, then what else the gateway says that is one value.
pub(super) fn list(queries: &[Value]) -> Result<RecordBatch, ArrowError> {
    let mut names: Vec<&str> = FIRST.to_vec();
    for query in queries {
        for (name, value) in query.as_object().into_iter().flatten() {
            let is_known = name == "id" || names.contains(&name.as_str());
            if !is_known && !value.is_object() && !value.is_array() {
                names.push(name);
            }
        }
    }
    let columns = names.into_iter().map(|name| {
        let cells: StringArray = queries.iter().map(|query| cell(query, name)).collect();
        (name, Arc::new(cells) as ArrayRef)
    });
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, cells)| (name, cells, true)))
}

fn cell(query: &Value, name: &str) -> Option<String> {
    if name == "query_id" {
        return id_of(query).map(str::to_owned);
    }
    match &query[name] {
        Value::Null => None,
        Value::String(text) => {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let short: String = line.chars().take(STATEMENT).collect();
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
    if let Some(receipt) = &status.receipt {
        if let Some(rows) = receipt.rows {
            lines.push(("rows", rows.to_string()));
        }
        lines.push(("time", duration(std::time::Duration::from_millis(receipt.wall_ms))));
        lines.push(("scanned", amount(receipt.bytes_scanned)));
        lines.push(("exchanged", amount(receipt.shuffle_bytes)));
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
            json!({"id": "01a", "status": "RUNNING", "links": {}, "sql": "select\n  1", "rows": null}),
            json!({"id": "01b", "status": "FAILED", "rows": 3}),
        ];
        let batch = list(&queries).unwrap();
        let names: Vec<String> =
            batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["query_id", "status", "rows", "sql"]);
        let mut cells = crate::print::Cells::new(&batch, true).unwrap();
        assert_eq!(cells.text(0, 3).unwrap().as_deref(), Some("select 1"));
        assert_eq!(cells.text(1, 0).unwrap().as_deref(), Some("01b"));
        assert_eq!(cells.text(1, 3).unwrap(), None);
        assert_eq!(list(&[]).unwrap().num_columns(), 2);
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
