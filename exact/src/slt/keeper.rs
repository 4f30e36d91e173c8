//! The keeper: a plain DataFusion context that runs the statements of a file, and the copies of its tables that all
//! forms read.
//!
//! A table is copied when a query first names it, and again when its rows have changed. Its rows are divided between
//! three files, with an empty file between them, so that the numbers of files, partitions and tasks differ.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::common::TableReference;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use futures::FutureExt;
use tempfile::TempDir;

use crate::parquet_files::write_file;
use crate::place::TableOf;

/// A statement or a copy that takes longer is given up, because some tables never end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Larger tables are not copied, because they show nothing that smaller ones do not.
const LARGEST: usize = 32 << 20;

/// A table as files.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) table: TableOf,
    /// Increases with each change of the rows.
    pub(crate) version: u64,
    rows: RecordBatch,
}

/// Why a table cannot be copied.
pub(crate) type Reason = String;

/// What was seen of a table at a certain age of the keeper.
#[derive(Debug)]
struct Seen {
    age: u64,
    copy: Result<Copy, Reason>,
}

/// Runs statements and keeps the copies of tables.
pub(crate) struct Keeper {
    pub(crate) context: SessionContext,
    folder: TempDir,
    files: PathBuf,
    stand_ins: PathBuf,
    /// Number of statements so far that may have changed a table.
    age: u64,
    seen: BTreeMap<String, Seen>,
    copies: u64,
}

impl Keeper {
    /// A keeper without tables, whose copies are below `scratch`. `files` is the folder of the test files, and
    /// `stand_ins` the folder of the data that they name.
    pub(crate) fn new(scratch: &Path, files: &Path, stand_ins: &Path) -> Self {
        let config = SessionConfig::new().with_target_partitions(4).with_information_schema(true);
        let folder = tempfile::tempdir_in(scratch).unwrap();
        std::fs::create_dir(folder.path().join("scratch")).unwrap();
        Self {
            context: SessionContext::new_with_config(config),
            folder,
            files: files.to_owned(),
            stand_ins: stand_ins.to_owned(),
            age: 0,
            seen: BTreeMap::new(),
            copies: 0,
        }
    }

    /// A text with the paths in it replaced by the paths on this machine.
    pub(crate) fn placed(&self, sql: &str) -> String {
        let scratch = self.folder.path().join("scratch");
        let replaced = [
            ("'test_files/scratch/", &scratch),
            ("'test_files/", &self.files.join("test_files")),
            ("'data/", &self.files.join("data")),
            ("'../../testing/data/csv/", &self.stand_ins),
            ("'../core/tests/data/", &self.stand_ins),
            ("'../../datafusion/core/tests/data/", &self.stand_ins),
        ];
        replaced.iter().fold(sql.to_owned(), |sql, (named, here)| {
            sql.replace(named, &format!("'{}/", here.display()))
        })
    }

    /// Runs a statement. The file decides whether it may fail.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), String> {
        let sql = self.placed(sql);
        let start = sql.trim_start().to_lowercase();
        if !start.starts_with("set ") && !start.starts_with("reset ") {
            self.age += 1;
        }
        let run = async {
            let frame = self.context.sql(&sql).await.map_err(|error| error.to_string())?;
            frame.collect().await.map(|_| ()).map_err(|error| error.to_string())
        };
        patiently(run).await
    }

    /// The table as files, or why there are none; `None` if there is no such table.
    pub(crate) async fn copy(&mut self, name: &str) -> Option<Result<Copy, Reason>> {
        if !self.context.table_exist(TableReference::bare(name)).unwrap_or(false) {
            return None;
        }
        if let Some(seen) = self.seen.get(name).filter(|seen| seen.age == self.age) {
            return Some(seen.copy.clone());
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let copy = if name.chars().all(plain) {
            match self.rows(name).await {
                Ok(rows) => self.written(name, rows),
                Err(reason) => Err(reason),
            }
        } else {
            Err("the table's name is not plain".to_owned())
        };
        self.seen.insert(name.to_owned(), Seen { age: self.age, copy: copy.clone() });
        Some(copy)
    }

    async fn rows(&self, name: &str) -> Result<RecordBatch, Reason> {
        let reason = |_| "the table cannot be read".to_owned();
        let read = async {
            let frame = self.context.table(TableReference::bare(name)).await.map_err(reason)?;
            let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
            let batches = frame.collect().await.map_err(reason)?;
            let schema = batches.first().map_or(schema, RecordBatch::schema);
            concat_batches(&schema, &batches).map_err(|_| "the table cannot be read".to_owned())
        };
        let rows = patiently(read).await?;
        match rows.num_columns() {
            0 => Err("the table has no columns".to_owned()),
            _ if rows.get_array_memory_size() > LARGEST => Err("the table is large".to_owned()),
            _ => Ok(rows),
        }
    }

    fn written(&mut self, name: &str, rows: RecordBatch) -> Result<Copy, Reason> {
        let before = self.seen.get(name).and_then(|seen| seen.copy.as_ref().ok());
        if let Some(before) = before.filter(|before| before.rows == rows) {
            return Ok(before.clone());
        }
        self.copies += 1;
        let folder = self.folder.path().join(format!("copy-{}", self.copies));
        let third = rows.num_rows().div_ceil(3);
        let part = |number: usize| {
            let from = (number * third).min(rows.num_rows());
            rows.slice(from, third.min(rows.num_rows() - from))
        };
        write(&folder, &[part(0), rows.slice(0, 0), part(1), part(2)])?;
        Ok(Copy { table: TableOf::parquet(name, &folder), version: self.copies, rows })
    }

    /// The same rows in other orders and in other files. A determined answer stays the same.
    pub(crate) fn turned(&mut self, copies: &[Copy]) -> Vec<Vec<TableOf>> {
        let orders: [fn(u32) -> Vec<u32>; 3] = [
            |count| (0..count).rev().collect(),
            |count| (count / 2..count).chain(0..count / 2).collect(),
            |count| (0..count).step_by(2).chain((1..count).step_by(2)).collect(),
        ];
        let files = [2, 1, 1];
        let shapes = orders.into_iter().zip(files);
        shapes
            .map(|(order, files)| {
                copies.iter().filter_map(|copy| self.turn(copy, order, files).ok()).collect()
            })
            .collect()
    }

    fn turn(
        &mut self,
        copy: &Copy,
        order: fn(u32) -> Vec<u32>,
        files: usize,
    ) -> Result<TableOf, Reason> {
        self.copies += 1;
        let folder = self.folder.path().join(format!("turned-{}", self.copies));
        let count = copy.rows.num_rows();
        let indices = UInt32Array::from(order(u32::try_from(count).unwrap()));
        let rows = take_record_batch(&copy.rows, &indices).map_err(|error| error.to_string())?;
        let part = count.div_ceil(files).max(1);
        let starts = (0..files).map(|number| (number * part).min(count));
        let parts: Vec<RecordBatch> =
            starts.map(|from| rows.slice(from, part.min(count - from))).collect();
        write(&folder, &parts)?;
        Ok(TableOf::parquet(&copy.table.name, &folder))
    }
}

/// Writes one file for each batch.
fn write(folder: &Path, parts: &[RecordBatch]) -> Result<(), Reason> {
    std::fs::create_dir(folder).unwrap();
    let write = || -> parquet::errors::Result<()> {
        for (number, part) in parts.iter().enumerate() {
            write_file(&folder.join(format!("{number}.parquet")), part, None)?;
        }
        Ok(())
    };
    // The writer panics on some types instead of returning an error.
    match std::panic::catch_unwind(AssertUnwindSafe(write)) {
        Ok(Ok(())) => Ok(()),
        _ => Err("Parquet cannot carry its types".to_owned()),
    }
}

/// Runs with a time limit. A panic counts as a failure.
async fn patiently<T>(run: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, AssertUnwindSafe(run).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err("panicked".to_owned()),
        Err(_) => Err("took too long".to_owned()),
    }
}
