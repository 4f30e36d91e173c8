//! What a call says beside its command, in its metadata.
//!
//! | metadata | what |
//! |---|---|
//! | `dunlin-settings` | settings of the statement as JSON, for example `{"route": "fleet"}` |
//! | `dunlin-wait` | seconds that GetFlightInfo waits for the end, to tell the parts of the answer |
//! | `idempotency-key` | a statement that is sent again with it is the same query |
//! | `traceparent` | the trace of the client |

use std::time::Duration;

use datafusion::common::ScalarValue;
use dunlin_manifest::model::trace::TraceContext;
use serde_json::{Map, Value};
use tonic::Request;

use super::error::FlightError;
use super::guard::{Caller, idempotency_key};
use crate::query::error::CoreError;
use crate::query::statement::Statement;
use crate::text::numbered;

/// Longest wait of one call for the end of a query, after which it waits again or answers.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(600);
/// What a statement may choose.
const SETTINGS: [&str; 4] = ["route", "pool", "target_partitions", "task_bytes"];

/// What a call says.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) caller: Caller,
    /// The hash of the idempotency key.
    pub(super) key: Option<String>,
    /// How long GetFlightInfo waits for the end.
    pub(super) wait: Duration,
    settings: Map<String, Value>,
    trace: Option<String>,
}

impl Asked {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, FlightError> {
        let text = |name: &str| {
            let value = request.metadata().get(name);
            value.map(|value| value.to_str().unwrap_or_default())
        };
        let trace = text("traceparent").and_then(TraceContext::parse);
        Ok(Self {
            caller: Caller::of(request)?,
            key: idempotency_key(request)?,
            wait: text("dunlin-wait").map(seconds).transpose()?.unwrap_or_default(),
            settings: text("dunlin-settings").map(settings).transpose()?.unwrap_or_default(),
            trace: trace.map(|trace| trace.to_string()),
        })
    }

    /// A statement of this call.
    pub(super) fn statement(
        &self,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<Statement, FlightError> {
        let sql = numbered(sql).0.into_owned();
        let mut statement = Statement::typed(sql, parameters, self.settings.clone())?;
        statement.trace.clone_from(&self.trace);
        Ok(statement)
    }
}

fn seconds(text: &str) -> Result<Duration, FlightError> {
    let number = text.trim().trim_end_matches('s').parse::<u64>().ok();
    let wait = number.map(Duration::from_secs).filter(|wait| *wait <= MAX_WAIT);
    wait.ok_or_else(|| {
        let most = MAX_WAIT.as_secs();
        FlightError::invalid(format!("dunlin-wait is a number of seconds from 0 to {most}"))
    })
}

fn settings(text: &str) -> Result<Map<String, Value>, FlightError> {
    let refused = |detail: String| FlightError::from(CoreError::invalid_setting(detail));
    let Ok(Value::Object(settings)) = serde_json::from_str(text) else {
        return Err(refused(
            "dunlin-settings is a JSON object, like {\"route\": \"fleet\"}".into(),
        ));
    };
    if let Some(name) = settings.keys().find(|name| !SETTINGS.contains(&name.as_str())) {
        let name: String = name.chars().take(32).collect();
        let known = SETTINGS.join(", ");
        return Err(refused(format!("dunlin-settings has no '{name}'; known are {known}")));
    }
    Ok(settings)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn waits_and_settings_are_read_and_refused() {
        assert_eq!(seconds("30").unwrap(), Duration::from_secs(30));
        assert_eq!(seconds(" 5s").unwrap(), Duration::from_secs(5));
        for wrong in ["", "soon", "-1", "601", "1.5", "99999999999999999999"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(settings("{\"route\":\"fleet\"}").unwrap()["route"], "fleet");
        for wrong in ["", "[]", "{", "{\"durable\":true}"] {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }
}
