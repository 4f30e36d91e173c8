#![allow(clippy::unwrap_used)]

use std::path::Path;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::TimeUnit;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::collect;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use super::*;
use crate::config::Config;
use crate::{Planner, QuerySettings};

/// Types of the column `k`, all made of whole numbers.
fn types() -> Vec<DataType> {
    vec![
        DataType::Int64,
        DataType::Int32,
        DataType::Int8,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Decimal128(20, 2),
        DataType::Float64,
        DataType::Utf8,
    ]
}

/// A file with the rows `(k, id)`.
fn write(folder: &Path, number: usize, rows: &[(Option<i64>, i64)], data_type: &DataType) {
    let keys = Int64Array::from_iter(rows.iter().map(|(key, _)| *key));
    let keys: ArrayRef = match data_type {
        // A NaN is in no range.
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            rows.iter().map(|(key, _)| key.map(|key| if key == 7 { f64::NAN } else { key as f64 })),
        )),
        DataType::Utf8 => Arc::new(StringArray::from_iter(
            rows.iter().map(|(key, _)| key.map(|key| format!("{}{key:03}", "long ".repeat(30)))),
        )),
        DataType::Date32 => cast(&cast(&keys, &DataType::Int32).unwrap(), data_type).unwrap(),
        _ => cast(&keys, data_type).unwrap(),
    };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, id)| *id)));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("id", ids, true)]).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let file = std::fs::File::create(folder.join(format!("{number:02}.parquet"))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

struct Scene {
    folder: tempfile::TempDir,
    planner: Planner,
}

impl Scene {
    fn new(files: &[Vec<(Option<i64>, i64)>], data_type: &DataType) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (number, rows) in files.iter().enumerate() {
            write(&folder.path().join("t"), number, rows, data_type);
        }
        let at = folder.path().display();
        let text = format!(
            "[state]\nlocation = \"{at}/state\"\n[[tables]]\nname = \"t\"\nlocation = \"{at}/t/\"\n"
        );
        let config = Config::parse(&text).unwrap();
        let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
        let planner = Planner::open(&config, &stores).unwrap();
        Self { folder, planner }
    }

    /// The rows of a statement, and how many files its plan reads.
    async fn rows(&self, sql: &str) -> (String, usize) {
        let parsed = self.planner.parse(sql).unwrap();
        let settings = QuerySettings { target_partitions: Some(3), ..QuerySettings::default() };
        let planned = self.planner.plan(&parsed, &[], &settings).await.unwrap();
        let rows = collect(planned.physical, planned.context).await.unwrap();
        (pretty_format_batches(&rows).unwrap().to_string(), planned.pins.len())
    }

    async fn reference(&self, sql: &str) -> String {
        // With it, the engine loses a NaN that comes first, if it has found enough other rows before it opens the file: by the
        // footer, no value of the file is large enough.
        let dynamic = "datafusion.optimizer.enable_dynamic_filter_pushdown";
        let context =
            SessionContext::new_with_config(SessionConfig::new().set_bool(dynamic, false));
        let folder = self.folder.path().join("t");
        let options = ParquetReadOptions::default();
        context.register_parquet("t", folder.to_str().unwrap(), options).await.unwrap();
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&rows).unwrap().to_string()
    }

    async fn files(&self, sql: &str) -> usize {
        self.rows(sql).await.1
    }
}

/// Ten files: the keys 0 to 9, 10 to 19, … 90 to 99.
fn in_a_row() -> Vec<Vec<(Option<i64>, i64)>> {
    (0..10)
        .map(|file| (0..10).map(|row| (Some(file * 10 + row), file * 100 + row)).collect())
        .collect()
}

#[tokio::test]
async fn only_files_that_can_hold_the_first_rows_are_read() {
    let mut files = in_a_row();
    files[5][3].0 = None;
    let scene = Scene::new(&files, &DataType::Int64);
    for (sql, read) in [
        ("select id from t order by k limit 3", 1),
        ("select id from t order by k limit 10", 1),
        ("select id from t order by k limit 11", 2),
        ("select id from t order by k limit 3 offset 8", 2),
        ("select id, k from t order by k desc nulls last limit 3", 1),
        // The file with the null, and the one with the first other rows.
        ("select id, k from t order by k desc limit 3", 2),
        ("select k + 1, k as x from t order by x nulls first, id limit 3", 2),
        ("select id from t order by k", 10),
        ("select id from t order by k limit 100", 10),
        // The key is no column, or a filter leaves rows out.
        ("select id from t order by k + 1 limit 3", 10),
        ("select id from t where id % 2 = 0 order by k limit 3", 10),
        ("select id from (select id, k from t limit 95) order by k limit 3", 10),
        ("select k, count(*) from t group by k order by k limit 3", 10),
    ] {
        assert_eq!(scene.files(sql).await, read, "{sql}");
    }
}

#[tokio::test]
async fn equal_keys_and_unsure_ranges_keep_files() {
    let same: Vec<Vec<(Option<i64>, i64)>> = (0..4).map(|n| vec![(Some(1), n); 5]).collect();
    let scene = Scene::new(&same, &DataType::Int64);
    assert_eq!(scene.files("select id from t order by k, id desc limit 2").await, 4);
    for unsure in [DataType::Float64, DataType::Utf8] {
        let scene = Scene::new(&in_a_row(), &unsure);
        assert_eq!(scene.files("select id from t order by k limit 2").await, 10, "{unsure}");
    }
}

/// Rows that the scans of a plan have read when it had run.
fn rows_read(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = match file_scan(plan) {
        Some(_) => plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0),
        None => 0,
    };
    own + plan.children().into_iter().map(rows_read).sum::<usize>()
}

#[tokio::test]
async fn with_a_filter_the_best_files_come_first_and_the_others_are_not_opened() {
    let mut files = in_a_row();
    files[2][3].0 = None;
    let scene = Scene::new(&files, &DataType::Int64);
    // Three partitions read one or two files each.
    for (sql, read) in [
        ("select id, k from t where id % 2 = 0 order by k limit 3", 30),
        ("select id, k from t where id % 2 = 0 order by k desc nulls last limit 3", 30),
        // The file with the NULL comes first in its partition, and then the one with the largest key.
        ("select k + 1, id from t where id % 10 < 9 order by k desc, id limit 3 offset 2", 40),
        // Nothing is found, so everything is read.
        ("select id, k from t where id % 1000 = 999 order by k limit 3", 100),
        // No file is left out where other rows may come before.
        ("select id, k from t where id % 2 = 0 order by k + 1 limit 3", 100),
        ("select k, count(*) from t where id % 2 = 0 group by k order by k limit 3", 100),
    ] {
        let parsed = scene.planner.parse(sql).unwrap();
        let settings = QuerySettings { target_partitions: Some(3), ..QuerySettings::default() };
        let planned = scene.planner.plan(&parsed, &[], &settings).await.unwrap();
        let plan = Arc::clone(&planned.physical);
        let rows = collect(planned.physical, planned.context).await.unwrap();
        let rows = pretty_format_batches(&rows).unwrap().to_string();
        assert_eq!(rows, scene.reference(sql).await, "{sql}");
        assert_eq!(rows_read(&plan), read, "{sql}");
    }
}

/// Small tables of any kind give the rows that one process gives that reads everything.
#[tokio::test]
async fn the_first_rows_are_those_of_one_process() {
    let mut seed = 11_u64;
    let mut next = move |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((seed >> 33) % most).unwrap()
    };
    let mut left_out = 0;
    for turn in 0..48_usize {
        let data_type = types().swap_remove(turn % types().len());
        let count = 2 + next(9);
        let spread = [1, 3, 30][usize::try_from(next(3)).unwrap()];
        let mut id = 0;
        let files: Vec<Vec<(Option<i64>, i64)>> = (0..count)
            .map(|file| {
                let nulls = next(4);
                let rows = next(25);
                (0..rows)
                    .map(|_| {
                        id += 1;
                        let is_null = nulls == 3 || (nulls == 2 && next(3) == 0);
                        (Some(file * 8 % 100 + next(spread)).filter(|_| !is_null), id)
                    })
                    .collect()
            })
            .collect();
        let scene = Scene::new(&files, &data_type);
        for order in
            ["", "desc", "nulls first", "nulls last", "desc nulls first", "desc nulls last"]
        {
            let (limit, offset) = (1 + next(30), next(3) * next(20));
            let filter = ["", "", "where id % 3 <> 1", "where id > 20 or id % 5 = 0"]
                [usize::try_from(next(4)).unwrap()];
            let sql = format!(
                "select k, id from t {filter} order by k {order}, id limit {limit} offset {offset}"
            );
            let (found, read) = scene.rows(&sql).await;
            assert_eq!(found, scene.reference(&sql).await, "{data_type}: {sql}\n{files:?}");
            left_out += files.len().saturating_sub(read);
        }
    }
    assert!(left_out > 60, "{left_out} files were left out");
}
