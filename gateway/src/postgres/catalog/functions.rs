//! Functions of Postgres that tell of the session, and those that tell of things that Dunlin has not.
//!
//! The second kind has the same answer for every object: there is no comment, no index, no default. Clients call them for
//! each table and column, and expect NULL there.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::who::{DATABASE, Who};
use crate::catalog::Constant;
use crate::postgres::settings::VERSION;

/// Functions with the same answer for every object.
fn constants() -> Vec<(&'static str, ScalarValue)> {
    let no_text = ScalarValue::Utf8(None);
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let (yes, no) = (ScalarValue::Boolean(Some(true)), ScalarValue::Boolean(Some(false)));
    let number = |number| ScalarValue::Int32(Some(number));
    let mut all = vec![
        ("version", text(&format!("PostgreSQL {VERSION}, compiled by rustc"))),
        ("pg_is_in_recovery", no.clone()),
        ("pg_is_wal_replay_paused", no.clone()),
        ("pg_advisory_unlock_all", no_text.clone()),
        ("pg_my_temp_schema", number(0)),
        ("pg_backend_memory_contexts", no_text.clone()),
        ("pg_tablespace_location", no_text.clone()),
        ("pg_encoding_max_length", number(4)),
        ("pg_char_to_encoding", number(6)),
        ("pg_function_is_visible", yes.clone()),
        ("pg_type_is_visible", yes.clone()),
        ("pg_operator_is_visible", yes.clone()),
        ("pg_opclass_is_visible", yes.clone()),
        ("pg_collation_is_visible", yes.clone()),
        ("pg_conversion_is_visible", yes.clone()),
        ("pg_ts_config_is_visible", yes.clone()),
        ("pg_ts_dict_is_visible", yes.clone()),
        ("pg_ts_parser_is_visible", yes.clone()),
        ("pg_ts_template_is_visible", yes.clone()),
        ("pg_statistics_obj_is_visible", yes.clone()),
        ("inet_server_port", ScalarValue::Int32(None)),
        ("inet_client_port", ScalarValue::Int32(None)),
        ("txid_current", ScalarValue::Int64(Some(1))),
        ("pg_relation_filenode", ScalarValue::Int32(None)),
        ("pg_table_size", ScalarValue::Int64(Some(0))),
        ("pg_indexes_size", ScalarValue::Int64(Some(0))),
        ("pg_database_size", ScalarValue::Int64(Some(0))),
        ("pg_relation_is_updatable", number(0)),
        ("pg_column_is_updatable", no),
        ("pg_stat_get_live_tuples", ScalarValue::Int64(Some(0))),
    ];
    let nothing = [
        "obj_description",
        "shobj_description",
        "col_description",
        "pg_get_indexdef",
        "pg_get_viewdef",
        "pg_get_ruledef",
        "pg_get_triggerdef",
        "pg_get_functiondef",
        "pg_get_function_sqlbody",
        "pg_get_function_result",
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
        "pg_get_function_arg_default",
        "pg_get_serial_sequence",
        "json_build_object",
        "pg_get_statisticsobjdef",
        "pg_get_partition_constraintdef",
        "inet_server_addr",
        "inet_client_addr",
    ];
    all.extend(nothing.map(|name| (name, no_text.clone())));
    all
}

/// Adds the functions that know the client and its settings to a session.
pub(super) fn add(registry: &mut dyn FunctionRegistry, who: &Who) -> Result<()> {
    let own = |name: &str| ScalarValue::Utf8(Some(name.to_owned()));
    let user = own(&who.user);
    let process = ScalarValue::Int32(Some(i32::try_from(who.process).unwrap_or(0)));
    let mut all = constants();
    all.extend([
        ("session_user", user.clone()),
        ("current_user", user.clone()),
        ("current_role", user.clone()),
        ("user", user),
        ("current_catalog", own(DATABASE)),
        ("pg_backend_pid", process),
        ("pg_get_userbyid", own(DATABASE)),
        (
            "pg_postmaster_start_time",
            ScalarValue::TimestampMicrosecond(Some(0), Some("+00:00".into())),
        ),
        ("pg_conf_load_time", ScalarValue::TimestampMicrosecond(Some(0), Some("+00:00".into()))),
    ]);
    for (name, value) in all {
        registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Constant::new(name, value))))?;
    }
    let settings = Arc::clone(&who.settings);
    let setting = Setting { signature: Constant::any(), settings: Same(settings) };
    registry.register_udf(Arc::new(ScalarUDF::new_from_impl(setting)))?;
    let types = Regtype { signature: Constant::any() };
    registry.register_udf(Arc::new(ScalarUDF::new_from_impl(types)))?;
    Ok(())
}

/// Settings, which are compared by where they are.
#[derive(Clone, Debug)]
struct Same(Arc<BTreeMap<String, String>>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Same {}

impl std::hash::Hash for Same {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// `current_setting(name)` and `current_setting(name, missing_ok)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Setting {
    signature: Signature,
    settings: Same,
}

impl ScalarUDFImpl for Setting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(names) = arrays.first() else {
            return Err(DataFusionError::Plan("current_setting needs a name".to_owned()));
        };
        let names = cast(names, &DataType::Utf8)?;
        let missing_ok = arrays.len() > 1;
        let found = names.as_string::<i32>().iter().map(|name| {
            let Some(name) = name else { return Ok(None) };
            match self.settings.0.get(&name.to_lowercase()) {
                Some(value) => Ok(Some(value.clone())),
                None if missing_ok => Ok(None),
                None => Err(DataFusionError::Plan(format!(
                    "unrecognized configuration parameter \"{name}\""
                ))),
            }
        });
        let found = found.collect::<Result<StringArray>>()?;
        if found.len() == 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(found) as ArrayRef))
    }
}

/// `to_regtype(name)`: the number of a type, or NULL if there is none of this name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Regtype {
    signature: Signature,
}

/// The number of a type of Postgres.
fn type_number(name: &str) -> Option<i32> {
    Some(match name.trim().to_lowercase().as_str() {
        "bool" | "boolean" => 16,
        "bytea" => 17,
        "int8" | "bigint" => 20,
        "int2" | "smallint" => 21,
        "int4" | "int" | "integer" => 23,
        "text" => 25,
        "oid" => 26,
        "json" => 114,
        "float4" | "real" => 700,
        "float8" | "double precision" => 701,
        "bpchar" | "character" => 1042,
        "varchar" | "character varying" => 1043,
        "date" => 1082,
        "time" | "time without time zone" => 1083,
        "timestamp" | "timestamp without time zone" => 1114,
        "timestamptz" | "timestamp with time zone" => 1184,
        "interval" => 1186,
        "numeric" | "decimal" => 1700,
        "record" => 2249,
        "uuid" => 2950,
        "jsonb" => 3802,
        _ => return None,
    })
}

impl ScalarUDFImpl for Regtype {
    fn name(&self) -> &'static str {
        "to_regtype"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(names) = arrays.first() else {
            return Err(DataFusionError::Plan("to_regtype needs a name".to_owned()));
        };
        let names = cast(names, &DataType::Utf8)?;
        let numbers: Int32Array =
            names.as_string::<i32>().iter().map(|name| name.and_then(type_number)).collect();
        Ok(ColumnarValue::Array(Arc::new(numbers) as ArrayRef))
    }
}
