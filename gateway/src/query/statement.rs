//! A statement as every protocol passes it in, checked before anything is planned.

use datafusion::common::ScalarValue;
use dunlin_planner::{MOST_PARAMETERS, QuerySettings, parameter_of_json};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::asked::Remarks;
use super::error::{CoreError, ErrorKind};
use super::origin::Origin;
use crate::options::{MAX_SQL_BYTES, Most};

/// Most parameters of a statement.
pub(crate) const MAX_PARAMETERS: usize = MOST_PARAMETERS;

/// A statement to plan, with everything that changes its answer.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// SQL text.
    pub(crate) sql: String,
    /// Values of `$1`, `$2`, …
    pub(crate) parameters: Vec<ScalarValue>,
    /// The connection that asks, if its queries are to be found by it.
    pub(crate) origin: Option<Origin>,
    /// Planner settings.
    pub(crate) settings: QuerySettings,
    /// The most that it may use.
    pub(crate) most: Most,
    /// What the client says of it that changes nothing about how it runs.
    pub(crate) remarks: Remarks,
    /// The trace of the request, as [`TraceContext`](dunlin_manifest::model::trace::TraceContext) writes it.
    pub(crate) trace: Option<String>,
    /// SHA-256 of the canonical request, in hex: equal requests have equal fingerprints.
    pub(crate) fingerprint: String,
}

impl Statement {
    /// Checks a statement whose parameters came as JSON. A setting that is null counts as not set.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `INVALID_SETTING` or `SQL_TOO_LARGE`.
    pub(crate) fn new(
        sql: String,
        parameters: Vec<Value>,
        settings: Map<String, Value>,
    ) -> Result<Self, CoreError> {
        let values = parameters.iter().map(parameter_of_json).collect::<Result<Vec<_>, _>>();
        let mut statement = Self::checked(sql, &parameters, settings)?;
        statement.parameters = values?;
        Ok(statement)
    }

    /// Checks a statement whose parameters have their types already.
    ///
    /// # Errors
    /// As [`Statement::new`].
    pub(crate) fn typed(
        sql: String,
        parameters: Vec<ScalarValue>,
        settings: Map<String, Value>,
    ) -> Result<Self, CoreError> {
        // The type belongs to the value: the date and the text 2026-01-01 are two parameters.
        let texts = parameters.iter().map(|value| {
            serde_json::json!([value.data_type().to_string(), value.is_null(), value.to_string()])
        });
        let mut statement = Self::checked(sql, &texts.collect::<Vec<_>>(), settings)?;
        statement.parameters = parameters;
        Ok(statement)
    }

    /// A statement without its parameters, of which only their number and their texts are looked at.
    fn checked(
        sql: String,
        parameters: &[Value],
        mut settings: Map<String, Value>,
    ) -> Result<Self, CoreError> {
        if sql.len() > MAX_SQL_BYTES {
            return Err(ErrorKind::SqlTooLarge(sql.len()).into());
        }
        if sql.trim().is_empty() {
            return Err(CoreError::invalid_request("the request holds no SQL statement"));
        }
        if parameters.len() > MAX_PARAMETERS {
            return Err(CoreError::invalid_request(format!(
                "{} parameters were given, at most {MAX_PARAMETERS} are allowed",
                parameters.len()
            )));
        }
        settings.retain(|_, value| !value.is_null());
        let fingerprint = fingerprint(&sql, parameters, &settings);
        let settings = serde_json::from_value(Value::Object(settings))
            .map_err(|error| CoreError::invalid_setting(error.to_string()))?;
        Ok(Self {
            sql,
            parameters: Vec::new(),
            origin: None,
            settings,
            most: Most::default(),
            remarks: Remarks::default(),
            trace: None,
            fingerprint,
        })
    }
}

/// SHA-256 of `{sql, parameters, settings}` with sorted keys.
fn fingerprint(sql: &str, parameters: &[Value], settings: &Map<String, Value>) -> String {
    let request = serde_json::json!({
        "sql": sql,
        "parameters": parameters,
        "settings": settings,
    });
    let mut text = String::new();
    canonical(&request, &mut text);
    sha256_hex(text.as_bytes())
}

/// Writes `value` with the keys of every object sorted, independent of the order that the client sent.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, inner)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(inner, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, inner) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(inner, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// SHA-256 in lower-case hex.
#[must_use]
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
