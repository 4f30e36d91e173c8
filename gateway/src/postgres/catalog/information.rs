//! `information_schema`: tables and columns in the words of the SQL standard, with the types that clients get.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result;
use dunlin_planner::SYSTEM_SCHEMA;

use super::who::DATABASE;
use crate::catalog::Names;
use crate::postgres::kind::Kind;
use crate::query::system::schemas;

/// Tables that have columns here and no rows: Dunlin has no such things.
const EMPTY: &[(&str, &[&str])] = &[
    (
        "views",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "view_definition",
            "check_option",
            "is_updatable",
        ],
    ),
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
    (
        "routines",
        &[
            "specific_catalog",
            "specific_schema",
            "specific_name",
            "routine_catalog",
            "routine_schema",
            "routine_name",
            "routine_type",
            "data_type",
        ],
    ),
    ("sequences", &["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]),
    ("triggers", &["trigger_catalog", "trigger_schema", "trigger_name", "event_object_table"]),
    (
        "table_privileges",
        &[
            "grantor",
            "grantee",
            "table_catalog",
            "table_schema",
            "table_name",
            "privilege_type",
            "is_grantable",
        ],
    ),
    (
        "column_privileges",
        &[
            "grantor",
            "grantee",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "privilege_type",
            "is_grantable",
        ],
    ),
];

/// The schemas of the database.
const SCHEMAS: [&str; 4] = ["pg_catalog", "information_schema", PUBLIC, SYSTEM_SCHEMA];
/// The schema of the tables of the configuration.
const PUBLIC: &str = "public";

/// The schema `information_schema`.
#[derive(Debug)]
pub(super) struct Information {
    pub(super) names: Arc<Names>,
}

/// A table of texts.
fn texts(columns: &[(&str, Vec<Option<String>>)]) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<_> =
        columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns
        .iter()
        .map(|(_, values)| Arc::new(StringArray::from_iter(values.iter())) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

fn all(text: &str, count: usize) -> Vec<Option<String>> {
    vec![Some(text.to_owned()); count]
}

impl Information {
    fn schemata(&self) -> Result<Arc<dyn TableProvider>> {
        let count = SCHEMAS.len();
        texts(&[
            ("catalog_name", all(DATABASE, count)),
            ("schema_name", SCHEMAS.iter().map(|name| Some((*name).to_owned())).collect()),
            ("schema_owner", all(DATABASE, count)),
            ("default_character_set_catalog", vec![None; count]),
            ("default_character_set_schema", vec![None; count]),
            ("default_character_set_name", vec![None; count]),
            ("sql_path", vec![None; count]),
        ])
    }

    fn tables(&self) -> Result<Arc<dyn TableProvider>> {
        let own = self.names.table_names().into_iter().map(|name| (PUBLIC, name));
        let of_system = schemas().iter().map(|table| (SYSTEM_SCHEMA, table.name.to_owned()));
        let (of, names): (Vec<_>, Vec<_>) = own.chain(of_system).unzip();
        let count = names.len();
        texts(&[
            ("table_catalog", all(DATABASE, count)),
            ("table_schema", of.into_iter().map(|name| Some(name.to_owned())).collect()),
            ("table_name", names.into_iter().map(Some).collect()),
            ("table_type", all("BASE TABLE", count)),
            ("self_referencing_column_name", vec![None; count]),
            ("reference_generation", vec![None; count]),
            ("user_defined_type_catalog", vec![None; count]),
            ("user_defined_type_schema", vec![None; count]),
            ("user_defined_type_name", vec![None; count]),
            ("is_insertable_into", all("NO", count)),
            ("is_typed", all("NO", count)),
            ("commit_action", vec![None; count]),
        ])
    }

    async fn columns(&self) -> Result<Arc<dyn TableProvider>> {
        let text = |name| Field::new(name, DataType::Utf8, true);
        let number = |name| Field::new(name, DataType::Int32, true);
        let schema = Arc::new(Schema::new(vec![
            text("table_catalog"),
            text("table_schema"),
            text("table_name"),
            text("column_name"),
            number("ordinal_position"),
            text("column_default"),
            text("is_nullable"),
            text("data_type"),
            number("character_maximum_length"),
            number("character_octet_length"),
            number("numeric_precision"),
            number("numeric_precision_radix"),
            number("numeric_scale"),
            number("datetime_precision"),
            text("interval_type"),
            text("udt_catalog"),
            text("udt_schema"),
            text("udt_name"),
            text("is_identity"),
            text("is_generated"),
            text("generation_expression"),
            text("is_updatable"),
        ]));
        let mut rows: Vec<Row> = Vec::new();
        let mut add = |schema, table: &str, columns: &Schema| {
            let fields = columns.fields().iter().zip(1..);
            rows.extend(fields.map(|(field, at)| Row::new(schema, table, field, at)));
        };
        for table in self.names.table_names() {
            add(PUBLIC, &table, self.names.columns(&table).await.as_ref());
        }
        for table in schemas() {
            add(SYSTEM_SCHEMA, table.name, &table.columns);
        }
        let texts = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        };
        let numbers = |of: &dyn Fn(&Row) -> Option<i32>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Int32Array>())
        };
        let same = |text: &'static str| texts(&|_| Some(text.to_owned()));
        let (no_text, no_number) = (texts(&|_| None), numbers(&|_| None));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                same(DATABASE),
                texts(&|row| Some(row.schema.to_owned())),
                texts(&|row| Some(row.table.clone())),
                texts(&|row| Some(row.column.clone())),
                numbers(&|row| Some(row.at)),
                Arc::clone(&no_text),
                texts(&|row| Some(if row.nullable { "YES" } else { "NO" }.to_owned())),
                texts(&|row| Some(row.kind.clone())),
                Arc::clone(&no_number),
                Arc::clone(&no_number),
                numbers(&|row| row.precision),
                numbers(&|row| row.precision.map(|_| if row.decimal { 10 } else { 2 })),
                numbers(&|row| row.scale),
                numbers(&|row| row.time),
                Arc::clone(&no_text),
                same(DATABASE),
                same("pg_catalog"),
                texts(&|row| Some(row.short.to_owned())),
                same("NO"),
                same("NEVER"),
                no_text,
                same("NO"),
            ],
        )?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}

/// A column of a table.
struct Row {
    schema: &'static str,
    table: String,
    column: String,
    at: i32,
    nullable: bool,
    kind: String,
    short: &'static str,
    decimal: bool,
    precision: Option<i32>,
    scale: Option<i32>,
    time: Option<i32>,
}

impl Row {
    fn new(schema: &'static str, table: &str, field: &Field, at: i32) -> Self {
        let kind = Kind::of(field).unwrap_or(Kind::Text);
        let (precision, scale) = match (field.data_type(), &kind) {
            (DataType::Decimal32(p, s) | DataType::Decimal64(p, s), _)
            | (DataType::Decimal128(p, s) | DataType::Decimal256(p, s), _) => {
                (Some(i32::from(*p)), Some(i32::from(*s)))
            }
            (_, Kind::Int2) => (Some(16), Some(0)),
            (_, Kind::Int4) => (Some(32), Some(0)),
            (_, Kind::Int8) => (Some(64), Some(0)),
            (_, Kind::Float4) => (Some(24), None),
            (_, Kind::Float8) => (Some(53), None),
            _ => (None, None),
        };
        let time = match kind {
            Kind::Date => Some(0),
            Kind::Time | Kind::Timestamp | Kind::TimestampTz | Kind::Interval => Some(6),
            _ => None,
        };
        let name = match &kind {
            Kind::Array(_) => "ARRAY".to_owned(),
            kind => kind.name(),
        };
        Self {
            schema,
            table: table.to_owned(),
            column: field.name().clone(),
            at,
            nullable: field.is_nullable(),
            kind: name,
            short: short(&kind),
            decimal: kind == Kind::Numeric,
            precision,
            scale,
            time,
        }
    }
}

/// The name of a type in `pg_type`.
fn short(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Int2 => "int2",
        Kind::Int4 => "int4",
        Kind::Int8 => "int8",
        Kind::Float4 => "float4",
        Kind::Float8 => "float8",
        Kind::Numeric => "numeric",
        Kind::Text => "text",
        Kind::Uuid => "uuid",
        Kind::Jsonb => "jsonb",
        Kind::Bytea => "bytea",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Timestamp => "timestamp",
        Kind::TimestampTz => "timestamptz",
        Kind::Interval => "interval",
        Kind::Oid => "oid",
        Kind::Record(_) => "record",
        Kind::Array(item) => match item.as_ref() {
            Kind::Bool => "_bool",
            Kind::Int2 => "_int2",
            Kind::Int4 => "_int4",
            Kind::Int8 => "_int8",
            Kind::Float4 => "_float4",
            Kind::Float8 => "_float8",
            Kind::Numeric => "_numeric",
            Kind::Date => "_date",
            Kind::Timestamp => "_timestamp",
            Kind::TimestampTz => "_timestamptz",
            Kind::Record(_) => "_record",
            _ => "_text",
        },
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let own = ["schemata", "tables", "columns"];
        own.into_iter().chain(EMPTY.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(Some(match name {
            "schemata" => self.schemata()?,
            "tables" => self.tables()?,
            "columns" => self.columns().await?,
            other => match EMPTY.iter().find(|(name, _)| *name == other) {
                Some((_, columns)) => {
                    texts(&columns.iter().map(|name| (*name, Vec::new())).collect::<Vec<_>>())?
                }
                None => return Ok(None),
            },
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
