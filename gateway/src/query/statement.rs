//! A statement as every protocol passes it in, checked before anything is planned.

use arrow::array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
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
        let known = parameters.iter().take(MAX_PARAMETERS + 1).map(exactly);
        let known = known.collect::<Result<Vec<_>, _>>();
        let known = known.map_err(|error| {
            CoreError::invalid_request(format!("a parameter cannot be used: {error}"))
        })?;
        let mut statement = Self::checked(sql, &known, settings)?;
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

/// A parameter with its type, as two are told apart: the date and the text 2026-01-01 are two. What is printed of a value may
/// be a part of it.
fn exactly(value: &ScalarValue) -> Result<Value, DataFusionError> {
    let column = RecordBatch::try_from_iter_with_nullable([("", value.to_array()?, true)])?;
    Ok(sha256_hex(&arrow_bytes(&column)?).into())
}

/// Parameters as Arrow writes them: their types, and all that their values are.
pub(crate) fn arrow_bytes(parameters: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &parameters.schema())?;
    writer.write(parameters)?;
    writer.into_inner()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn parameters_are_told_apart_by_all_that_they_are() {
        use ScalarValue as V;
        let long = |last: u8| V::Binary(Some((0..100).chain([last]).collect()));
        let values = [
            long(1),
            long(2),
            V::Date32(Some(0)),
            V::Utf8(Some("1970-01-01".to_owned())),
            V::Utf8(None),
            V::Null,
            V::Int64(Some(1)),
            V::Int32(Some(1)),
            V::Date32(Some(i32::MAX)),
            V::Date32(Some(i32::MIN)),
            V::Date64(Some(i64::MIN)),
            V::Float64(Some(f64::NAN)),
            V::Float64(Some(-0.0)),
            V::Float64(Some(0.0)),
        ];
        let print = |value: &V| {
            let statement = Statement::typed("select $1".into(), vec![value.clone()], Map::new());
            statement.unwrap().fingerprint
        };
        let prints: HashSet<String> = values.iter().map(print).collect();
        assert_eq!(prints.len(), values.len());
        assert_eq!(print(&long(7)), print(&long(7)));
    }

    #[test]
    fn too_many_parameters_are_refused() {
        let values = vec![ScalarValue::Null; MAX_PARAMETERS + 1];
        assert!(Statement::typed("select 1".into(), values, Map::new()).is_err());
    }
}
