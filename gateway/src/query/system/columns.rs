//! The tables and their columns. docs/system-tables.md has the same text; a test compares them.
//!
//! Names and types are stable: a column may be added, and none is renamed or removed.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use dunlin_planner::SnapshotSchema;

/// The zone of all times.
pub(super) const ZONE: &str = "UTC";

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Real,
    Flag,
    Time,
    Day,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Flag => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(ZONE.into())),
            Self::Day => DataType::Date32,
        }
    }

    /// As the documentation names it.
    #[cfg(test)]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "bigint",
            Self::Real => "double",
            Self::Flag => "boolean",
            Self::Time => "timestamp(us, UTC)",
            Self::Day => "date",
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    /// What it says, and in which unit.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(super) about: &'static str,
}

/// A column that always has a value.
const fn key(name: &'static str, kind: Kind, about: &'static str) -> Column {
    Column { name, kind, nullable: false, about }
}

/// A column that is NULL where nothing is known.
const fn col(name: &'static str, kind: Kind, about: &'static str) -> Column {
    Column { name, kind, nullable: true, about }
}

use Kind::{Day, Flag, Int, Real, Text, Time};

const QUERY_ID: Column = key("query_id", Text, "the query");
const SUBMITTED_AT: Column =
    key("submitted_at", Time, "when the query was submitted, by the clock of its gateway");
const STAGE: Column = key("stage", Int, "number of the stage in its query");
const TASK: Column = key("task", Int, "number of the task in its stage");

pub(super) const QUERIES: &[Column] = &[
    QUERY_ID,
    SUBMITTED_AT,
    key("status", Text, "PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED"),
    key("phase", Text, "planning, queued, starting, running, finishing or finished"),
    col(
        "owner",
        Text,
        "whose it is: digits made from the hash of the key, as `GET /v1/queries` shows them",
    ),
    col("workgroup", Text, "the workgroup of its owner"),
    key("sql", Text, "the statement"),
    key("route", Text, "inline or fleet"),
    key("route_reason", Text, "why this route"),
    col("pool", Text, "the pool whose workers run it, if it is for one"),
    key("is_write", Flag, "whether it writes files"),
    col("tags", Text, "what its client named it by, as a JSON object"),
    col("error_code", Text, "the code of its error"),
    col("error_message", Text, "what went wrong"),
    col("is_retryable", Flag, "whether submitting it again may help"),
    key("stages", Int, "stages"),
    key("stages_done", Int, "sealed stages"),
    key("tasks", Int, "tasks, as far as they are known"),
    key("tasks_done", Int, "committed tasks"),
    key("attempts", Int, "attempts that were claimed, as far as they are known"),
    col("rows", Int, "rows of the answer"),
    col("wall_ms", Int, "milliseconds from submit to end, by the store's clock"),
    col("slot_ms", Int, "milliseconds of slots of workers"),
    col("bytes_scanned", Int, "bytes read from tables"),
    col("bytes_exchanged", Int, "bytes written to the exchange"),
    col("result_bytes", Int, "bytes of the answer in the store"),
    key("input_files", Int, "files that it reads"),
    key("input_bytes", Int, "bytes of these files"),
    col("requests_put", Int, "writing requests of its workers to the store"),
    col("requests_get", Int, "reading requests of its workers to the store"),
    col("requests_list", Int, "listing requests of its workers to the store"),
    col("cost_usd", Real, "dollars by list prices; while it runs: so far"),
    key("engine", Text, "version of Dunlin and of the engine"),
    key("build", Text, "the build whose workers run it"),
    col("trace", Text, "the trace of its client's request"),
];

pub(super) const STAGES: &[Column] = &[
    QUERY_ID,
    SUBMITTED_AT,
    STAGE,
    key("name", Text, "what the stage does"),
    key("state", Text, "waiting, open, running or sealed"),
    key("partitions", Int, "partitions of its plan"),
    key("inputs", Text, "the stages that it reads, with commas between them"),
    col("decided", Text, "what the sizes of its inputs changed about it"),
    col("tasks", Int, "tasks, once they are known"),
    key("tasks_done", Int, "committed tasks"),
    key("attempts", Int, "attempts that were claimed, as far as they are known"),
    key(
        "attempts_failed",
        Int,
        "attempts that failed or were given back, as far as they are listed",
    ),
    col("rows", Int, "rows that it wrote"),
    col("bytes", Int, "bytes that it wrote"),
    col("bytes_scanned", Int, "bytes read from tables"),
    col("bytes_exchanged", Int, "bytes read from the exchange"),
    col("bytes_spilled", Int, "bytes spilled to local disk"),
    col("peak_memory_bytes", Int, "the most memory that one of its tasks reserved"),
    col("compute_ms", Int, "milliseconds in which operators computed"),
    col("wall_ms_min", Int, "milliseconds of its shortest task"),
    col("wall_ms_median", Int, "milliseconds of its median task"),
    col("wall_ms_max", Int, "milliseconds of its longest task"),
];

pub(super) const TASKS: &[Column] = &[
    QUERY_ID,
    SUBMITTED_AT,
    STAGE,
    TASK,
    key("state", Text, "open, running or committed"),
    col("attempt", Int, "the attempt that won, or the newest one"),
    col("worker", Text, "the worker that won"),
    col("partitions", Text, "the partitions that it runs, with commas between them"),
    col("rows", Int, "rows that it wrote"),
    col("bytes", Int, "bytes that it wrote"),
    col("input_rows", Int, "rows read from tables and from the exchange"),
    col("bytes_scanned", Int, "bytes read from tables"),
    col("bytes_exchanged", Int, "bytes read from the exchange"),
    col("bytes_spilled", Int, "bytes spilled to local disk"),
    col("peak_memory_bytes", Int, "the most memory that it reserved"),
    col("wall_ms", Int, "milliseconds from claim to commit"),
    col("compute_ms", Int, "milliseconds in which operators computed"),
    col("ended_at", Time, "when it ended, by its worker's clock"),
];

pub(super) const ATTEMPTS: &[Column] = &[
    QUERY_ID,
    SUBMITTED_AT,
    STAGE,
    TASK,
    key("attempt", Int, "number of the attempt, from 0"),
    key("state", Text, "running, won, failed, given_back, or lost: it told nothing, and will not"),
    col("worker", Text, "the worker that claimed it"),
    col(
        "claimed_at",
        Time,
        "when it was claimed, by the store's clock; NULL if its claim is deleted",
    ),
    col("ended_at", Time, "when it ended, by its worker's clock"),
    col("wall_ms", Int, "milliseconds that it took, by its worker's clock"),
    col("error_class", Text, "RETRY, STORE, FATAL or GIVE_BACK"),
    col("error_code", Text, "the code of its error"),
    col("error_message", Text, "what went wrong"),
];

pub(super) const GATEWAYS: &[Column] = &[
    key("gateway", Text, "its name, a new one each time it starts"),
    key("url", Text, "where workers reach it"),
    key("seen_at", Time, "when it last wrote this, by the store's clock; it does so every minute"),
];

pub(super) const WORKERS: &[Column] = &[
    key("worker", Text, "its name"),
    key("is_listening", Flag, "whether it waits for news at the gateway that answers"),
    key("running_attempts", Int, "attempts of queries that have not ended, without an outcome yet"),
];

pub(super) const TABLES: &[Column] =
    &[key("table_name", Text, "its name in SQL"), key("format", Text, "the format of its files")];

pub(super) const SETTINGS: &[Column] = &[
    key("name", Text, "path of the key in `dunlin.toml`"),
    col("value", Text, "its value; credentials are masked"),
    key("is_default", Flag, "whether nothing sets it"),
    col("source", Text, "where it is set: file and line, variable or flag"),
];

pub(super) const COST_BY_DAY: &[Column] = &[
    key("day", Day, "the day in UTC on which the queries were submitted"),
    key("queries", Int, "queries"),
    key("succeeded", Int, "queries with an answer"),
    key("failed", Int, "queries that failed"),
    key("cancelled", Int, "queries that were cancelled"),
    key("open", Int, "queries that have not ended"),
    key("rows", Int, "rows of their answers"),
    key("bytes_scanned", Int, "bytes read from tables"),
    key("bytes_exchanged", Int, "bytes written to the exchange"),
    key("result_bytes", Int, "bytes of their answers in the store"),
    key("wall_ms", Int, "milliseconds of all of them"),
    key("slot_ms", Int, "milliseconds of slots of workers"),
    col("cost_usd", Real, "dollars by list prices"),
];

pub(super) const WORKGROUPS: &[Column] = &[
    key("workgroup", Text, "its name"),
    col("tables", Text, "the tables that it may name; NULL: all"),
    col("max_running", Int, "queries of the fleet at a time"),
    col("max_bytes_scanned", Int, "bytes that a query may read from tables"),
    col("max_cost_usd", Real, "dollars that a query may cost"),
    col("bytes_per_day", Int, "bytes that the queries of a day may read from tables"),
    col("bytes_today", Int, "bytes that those of today have read, or are expected to"),
    col("cost_per_day_usd", Real, "dollars that the queries of a day may cost"),
    col("cost_today_usd", Real, "dollars that those of today cost, or are expected to"),
    col("queries_today", Int, "queries of today that read tables; NULL where there is no quota"),
];

pub(super) const AUDIT: &[Column] = &[
    key("at", Time, "when, by the gateway's clock"),
    key("action", Text, "login, statement, cancel, or read: the answer of another one's query"),
    key("is_allowed", Flag, "whether it was done"),
    col("error_code", Text, "the code of the refusal"),
    col("principal", Text, "the name of the key; of a refused login, what it called itself"),
    col("owner", Text, "whose queries are its own, as in `system.queries`"),
    col("workgroup", Text, "its workgroup"),
    col("protocol", Text, "http, trino, flight_sql or postgres"),
    col("address", Text, "where it came from: the client, or the proxy before the gateway"),
    col("query_id", Text, "the query"),
    col("sql", Text, "the statement, of which at most 16 kB are kept"),
    key("gateway", Text, "the gateway, a new name each time it starts"),
];

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// The column by which its rows come, the greatest first.
    greatest_first: Option<&'static str>,
}

/// All tables.
pub(super) const ALL: &[Table] = &[
    Table { name: "queries", columns: QUERIES, greatest_first: Some("submitted_at") },
    Table { name: "stages", columns: STAGES, greatest_first: Some("submitted_at") },
    Table { name: "tasks", columns: TASKS, greatest_first: Some("submitted_at") },
    Table { name: "attempts", columns: ATTEMPTS, greatest_first: Some("submitted_at") },
    Table { name: "gateways", columns: GATEWAYS, greatest_first: None },
    Table { name: "workers", columns: WORKERS, greatest_first: None },
    Table { name: "tables", columns: TABLES, greatest_first: None },
    Table { name: "settings", columns: SETTINGS, greatest_first: None },
    Table { name: "cost_by_day", columns: COST_BY_DAY, greatest_first: Some("day") },
    Table { name: "workgroups", columns: WORKGROUPS, greatest_first: None },
    Table { name: "audit", columns: AUDIT, greatest_first: Some("at") },
];

static SCHEMAS: LazyLock<Vec<SnapshotSchema>> = LazyLock::new(|| {
    let schema = |table: &Table| {
        let field =
            |column: &Column| Field::new(column.name, column.kind.data_type(), column.nullable);
        SnapshotSchema {
            name: table.name,
            columns: Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>())),
            greatest_first: table.greatest_first,
        }
    };
    ALL.iter().map(schema).collect()
});

/// The tables, as clients see them.
pub(crate) fn schemas() -> &'static [SnapshotSchema] {
    &SCHEMAS
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_column_with_its_type() {
        let text = include_str!("../../../../docs/system-tables.md");
        for Table { name, columns, .. } in ALL {
            let head = format!("\n### `system.{name}`\n");
            let (_, section) = text.split_once(&head).unwrap_or_else(|| panic!("no{head}"));
            let section = section.split("\n#").next().unwrap();
            let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
            let told: Vec<String> = columns
                .iter()
                .map(|it| format!("| `{}` | {} | {} |", it.name, it.kind.word(), it.about))
                .collect();
            assert_eq!(rows, told, "system.{name}");
        }
    }

    #[test]
    fn no_table_has_a_column_twice_and_each_order_is_by_one_of_its_columns() {
        for (table, schema) in ALL.iter().zip(schemas()) {
            let mut names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            assert!(schema.greatest_first.is_none_or(|first| names.contains(&first)));
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.columns.len(), "{}", table.name);
        }
    }
}
