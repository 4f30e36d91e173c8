//! `system.jdbc`: tables and columns as `java.sql.DatabaseMetaData` has them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;
use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA};

use super::listing::{Described, Listing, batch, empty, none, same, table, texts};
use super::system::SYSTEM;
use crate::catalog::Names;
use crate::trino::kind::Kind;

/// A text or a number.
const T: DataType = DataType::Utf8;
const N: DataType = DataType::Int64;

/// Tables that have columns here and no rows: Dunlin has no such things.
const EMPTY: &[(&str, &[(&str, DataType)])] = &[
    (
        "attributes",
        &[
            ("type_cat", T),
            ("type_schem", T),
            ("type_name", T),
            ("attr_name", T),
            ("data_type", N),
            ("attr_type_name", T),
            ("attr_size", N),
            ("decimal_digits", N),
            ("num_prec_radix", N),
            ("nullable", N),
            ("remarks", T),
            ("attr_def", T),
            ("sql_data_type", N),
            ("sql_datetime_sub", N),
            ("char_octet_length", N),
            ("ordinal_position", N),
            ("is_nullable", T),
            ("scope_catalog", T),
            ("scope_schema", T),
            ("scope_table", T),
            ("source_data_type", N),
        ],
    ),
    (
        "procedures",
        &[
            ("procedure_cat", T),
            ("procedure_schem", T),
            ("procedure_name", T),
            ("remarks", T),
            ("procedure_type", N),
            ("specific_name", T),
        ],
    ),
    (
        "procedure_columns",
        &[
            ("procedure_cat", T),
            ("procedure_schem", T),
            ("procedure_name", T),
            ("column_name", T),
            ("column_type", N),
            ("data_type", N),
            ("type_name", T),
            ("precision", N),
            ("length", N),
            ("scale", N),
            ("radix", N),
            ("nullable", N),
            ("remarks", T),
            ("column_def", T),
            ("sql_data_type", N),
            ("sql_datetime_sub", N),
            ("char_octet_length", N),
            ("ordinal_position", N),
            ("is_nullable", T),
            ("specific_name", T),
        ],
    ),
    (
        "pseudo_columns",
        &[
            ("table_cat", T),
            ("table_schem", T),
            ("table_name", T),
            ("column_name", T),
            ("data_type", N),
            ("column_size", N),
            ("decimal_digits", N),
            ("num_prec_radix", N),
            ("column_usage", T),
            ("remarks", T),
            ("char_octet_length", N),
            ("is_nullable", T),
        ],
    ),
    (
        "super_tables",
        &[("table_cat", T), ("table_schem", T), ("table_name", T), ("supertable_name", T)],
    ),
    (
        "super_types",
        &[
            ("type_cat", T),
            ("type_schem", T),
            ("type_name", T),
            ("supertype_cat", T),
            ("supertype_schem", T),
            ("supertype_name", T),
        ],
    ),
    (
        "udts",
        &[
            ("type_cat", T),
            ("type_schem", T),
            ("type_name", T),
            ("class_name", T),
            ("data_type", N),
            ("remarks", T),
            ("base_type", N),
        ],
    ),
];

/// The schema `jdbc`.
#[derive(Debug)]
pub(super) struct Jdbc(pub(super) Arc<Names>);

/// What `java.sql` knows of a type: its number, its size, and the digits behind the point.
fn known(kind: &Kind) -> (i64, Option<i64>, Option<i64>) {
    const ANY: i64 = 2_147_483_647;
    let with = |digits: u8, whole: i64| {
        let digits = i64::from(digits);
        (Some(if digits > 0 { whole + 1 + digits } else { whole }), Some(digits))
    };
    match kind {
        Kind::Boolean => (16, None, None),
        Kind::Tinyint => (-6, Some(3), None),
        Kind::Smallint => (5, Some(5), None),
        Kind::Integer => (4, Some(10), None),
        Kind::Bigint => (-5, Some(19), None),
        Kind::Real => (7, Some(24), None),
        Kind::Double => (8, Some(53), None),
        Kind::Decimal(precision, scale) => (3, Some((*precision).into()), Some((*scale).into())),
        Kind::Varchar => (12, Some(ANY), None),
        Kind::Varbinary => (-3, Some(ANY), None),
        Kind::Date => (91, Some(14), None),
        Kind::Time(digits) => {
            let (size, digits) = with(*digits, 8);
            (92, size, digits)
        }
        Kind::Timestamp(digits) => {
            let (size, digits) = with(*digits, 19);
            (93, size, digits)
        }
        Kind::TimestampTz(digits) => {
            let (size, digits) = with(*digits, 23);
            (2_014, size, digits)
        }
        Kind::Array(_) => (2_003, None, None),
        Kind::Unknown => (0, None, None),
        Kind::Uuid | Kind::YearToMonth | Kind::DayToSecond | Kind::Map(..) | Kind::Row(_) => {
            (2_000, None, None)
        }
    }
}

/// Whether the digits of a type are decimal ones; none if it has none.
fn radix(kind: &Kind) -> Option<i64> {
    match kind {
        Kind::Tinyint | Kind::Smallint | Kind::Integer | Kind::Bigint | Kind::Decimal(..) => {
            Some(10)
        }
        Kind::Real | Kind::Double => Some(2),
        _ => None,
    }
}

fn numbers(numbers: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(numbers.collect::<Int64Array>())
}

fn tables(described: &[Described]) -> Result<RecordBatch> {
    let rows = described.len();
    batch(vec![
        ("table_cat", same(DEFAULT_CATALOG, rows)),
        ("table_schem", same(DEFAULT_SCHEMA, rows)),
        ("table_name", texts(described.iter().map(|(name, _)| Some(name)))),
        ("table_type", same("TABLE", rows)),
        ("remarks", none(rows)),
        ("type_cat", none(rows)),
        ("type_schem", none(rows)),
        ("type_name", none(rows)),
        ("self_referencing_col_name", none(rows)),
        ("ref_generation", none(rows)),
    ])
}

/// A column of a table.
struct Row<'a> {
    table: &'a str,
    name: &'a str,
    kind: Kind,
    is_nullable: bool,
    at: i64,
}

fn columns(described: &[Described]) -> Result<RecordBatch> {
    let mut all = Vec::new();
    for (table, columns) in described {
        for (field, at) in columns.fields().iter().zip(1..) {
            let kind = Kind::of(field).unwrap_or(Kind::Unknown);
            let is_nullable = field.is_nullable();
            all.push(Row { table, name: field.name(), kind, is_nullable, at });
        }
    }
    let rows = all.len();
    let text = |of: &dyn Fn(&Row<'_>) -> String| texts(all.iter().map(|row| Some(of(row))));
    let number = |of: &dyn Fn(&Row<'_>) -> Option<i64>| numbers(all.iter().map(of));
    let no_number = || number(&|_| None);
    let octets = |row: &Row<'_>| match row.kind {
        Kind::Varchar | Kind::Varbinary => known(&row.kind).1,
        _ => None,
    };
    batch(vec![
        ("table_cat", same(DEFAULT_CATALOG, rows)),
        ("table_schem", same(DEFAULT_SCHEMA, rows)),
        ("table_name", text(&|row| row.table.to_owned())),
        ("column_name", text(&|row| row.name.to_owned())),
        ("data_type", number(&|row| Some(known(&row.kind).0))),
        ("type_name", text(&|row| row.kind.name(true))),
        ("column_size", number(&|row| known(&row.kind).1)),
        ("buffer_length", no_number()),
        ("decimal_digits", number(&|row| known(&row.kind).2)),
        ("num_prec_radix", number(&|row| radix(&row.kind))),
        ("nullable", number(&|row| Some(row.is_nullable.into()))),
        ("remarks", none(rows)),
        ("column_def", none(rows)),
        ("sql_data_type", no_number()),
        ("sql_datetime_sub", no_number()),
        ("char_octet_length", number(&octets)),
        ("ordinal_position", number(&|row| Some(row.at))),
        ("is_nullable", text(&|row| if row.is_nullable { "YES" } else { "NO" }.to_owned())),
        ("scope_catalog", none(rows)),
        ("scope_schema", none(rows)),
        ("scope_table", none(rows)),
        ("source_data_type", no_number()),
        ("is_autoincrement", same("NO", rows)),
        ("is_generatedcolumn", same("NO", rows)),
    ])
}

fn types() -> Result<Arc<dyn TableProvider>> {
    let kinds = [
        Kind::Boolean,
        Kind::Tinyint,
        Kind::Smallint,
        Kind::Integer,
        Kind::Bigint,
        Kind::Real,
        Kind::Double,
        Kind::Decimal(38, 0),
        Kind::Varchar,
        Kind::Varbinary,
        Kind::Date,
        Kind::Time(9),
        Kind::Timestamp(9),
        Kind::TimestampTz(9),
        Kind::Uuid,
        Kind::YearToMonth,
        Kind::DayToSecond,
    ];
    let rows = kinds.len();
    let number = |of: &dyn Fn(&Kind) -> Option<i64>| numbers(kinds.iter().map(of));
    let no = || Arc::new(BooleanArray::from(vec![false; rows])) as ArrayRef;
    let digits = |kind: &Kind| if matches!(kind, Kind::Decimal(..)) { Some(38) } else { None };
    let name = |kind: &Kind| {
        let name = kind.name(false);
        name.split_once('(').map_or(name.clone(), |(name, _)| name.to_owned())
    };
    table(vec![
        ("type_name", texts(kinds.iter().map(|kind| Some(name(kind))))),
        ("data_type", number(&|kind| Some(known(kind).0))),
        ("precision", number(&|kind| known(kind).1)),
        ("literal_prefix", none(rows)),
        ("literal_suffix", none(rows)),
        ("create_params", none(rows)),
        ("nullable", number(&|_| Some(1))),
        (
            "case_sensitive",
            Arc::new(BooleanArray::from_iter(
                kinds.iter().map(|kind| Some(*kind == Kind::Varchar)),
            )),
        ),
        ("searchable", number(&|_| Some(3))),
        ("unsigned_attribute", no()),
        ("fixed_prec_scale", no()),
        ("auto_increment", no()),
        ("local_type_name", none(rows)),
        ("minimum_scale", number(&|kind| digits(kind).map(|_| 0))),
        ("maximum_scale", number(&digits)),
        ("sql_data_type", number(&|_| None)),
        ("sql_datetime_sub", number(&|_| None)),
        ("num_prec_radix", number(&radix)),
    ])
}

fn schemas() -> Result<Arc<dyn TableProvider>> {
    let ours = ["information_schema", DEFAULT_SCHEMA].map(|name| (name, DEFAULT_CATALOG));
    let all: Vec<_> = ours.into_iter().chain(SYSTEM.iter().map(|name| (*name, "system"))).collect();
    table(vec![
        ("table_schem", texts(all.iter().map(|(schema, _)| Some(schema)))),
        ("table_catalog", texts(all.iter().map(|(_, catalog)| Some(catalog)))),
    ])
}

#[async_trait]
impl SchemaProvider for Jdbc {
    fn table_names(&self) -> Vec<String> {
        let own = ["catalogs", "schemas", "tables", "columns", "types", "table_types"];
        own.into_iter().chain(EMPTY.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(Some(match name {
            "catalogs" => {
                let names = [DEFAULT_CATALOG, "system"].into_iter().map(Some);
                table(vec![("table_cat", texts(names))])?
            }
            "schemas" => schemas()?,
            "table_types" => table(vec![("table_type", same("TABLE", 1))])?,
            "types" => types()?,
            "tables" => Listing::provider(&self.0, "table_name", false, tables)?,
            "columns" => Listing::provider(&self.0, "table_name", true, columns)?,
            other => match EMPTY.iter().find(|(name, _)| *name == other) {
                Some((_, columns)) => empty(columns)?,
                None => return Ok(None),
            },
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
