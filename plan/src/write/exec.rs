//! The two operators of a write: one writes files in each task, one commits them.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use dunlin_shuffle::children::{only, rebuild};
use futures::{StreamExt, TryStreamExt, stream};

use super::access::WriteAccess;
use super::commit::{self, CommitRecord, WrittenFile};
use super::files::{Files, Shared};
use super::spec::WriteSpec;
use crate::operators::partition_count;

/// The columns of what a task has written: a row for each file.
fn files_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
    ]))
}

/// The columns of the answer of a write: one row.
#[must_use]
pub fn result_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("rows", DataType::Int64, false),
        Field::new("files", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
        Field::new("location", DataType::Utf8, false),
    ]))
}

fn properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Final,
        Boundedness::Bounded,
    ))
}

/// Writes the rows of its input into files, and gives the names of the files.
#[derive(Debug, Clone)]
pub struct WriteExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<WriteSpec>,
    properties: Arc<PlanProperties>,
}

impl WriteExec {
    /// Writes the rows of `input`.
    #[must_use]
    pub fn new(input: Arc<dyn ExecutionPlan>, spec: Arc<WriteSpec>) -> Self {
        let properties = properties(files_schema(), partition_count(&input));
        Self { input, spec, properties }
    }

    /// Where and how.
    #[must_use]
    pub fn spec(&self) -> &Arc<WriteSpec> {
        &self.spec
    }

    /// The operator whose rows are written.
    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteExec: {:?}", self.spec)
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &'static str {
        "WriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = only(self.name(), children)?;
        Ok(Arc::new(Self::new(input, Arc::clone(&self.spec))))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rebuild(self, children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let access = WriteAccess::of(&context)?;
        let rows = self.input.execute(partition, Arc::clone(&context))?;
        let partitions = partition_count(&self.input);
        let (spec, schema) = (Arc::clone(&self.spec), self.input.schema());
        let writes = async move {
            let writer =
                Writer { spec: &spec, schema: &schema, access: &access, context: &context };
            // Rows that are sorted by folder fill one file after the other, so each partition has its own.
            let files = if spec.folders.is_empty() {
                writer.together(rows, partitions).await?
            } else {
                writer.alone(rows, partition).await?
            };
            batch_of(&files)
        };
        let schema = files_schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(writes))))
    }
}

/// What the partitions of a write need.
struct Writer<'a> {
    spec: &'a Arc<WriteSpec>,
    schema: &'a SchemaRef,
    access: &'a WriteAccess,
    context: &'a TaskContext,
}

impl Writer<'_> {
    /// Writes a partition into files of its own.
    async fn alone(
        &self,
        mut rows: SendableRecordBatchStream,
        partition: usize,
    ) -> Result<Vec<WrittenFile>> {
        let Self { spec, schema, access, context } = self;
        let mut files = Files::new(spec, schema, access.files(spec, Some(partition))?, context)?;
        while let Some(batch) = rows.next().await {
            let added = match batch {
                Ok(batch) => files.add(&batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                files.abort().await;
                return Err(error);
            }
        }
        files.finish().await
    }

    /// Writes a partition into files that all partitions of this process share. The last one tells of them.
    async fn together(
        &self,
        mut rows: SendableRecordBatchStream,
        partitions: usize,
    ) -> Result<Vec<WrittenFile>> {
        let Self { spec, access, .. } = self;
        while let Some(batch) = rows.next().await {
            let mut shared = access.shared.lock().await;
            let added = match batch {
                Ok(batch) => self.shared(&mut shared, partitions)?.files.add(&batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                if let Some(Shared { files, .. }) = shared.take() {
                    files.abort().await;
                }
                return Err(error);
            }
        }
        let mut shared = access.shared.lock().await;
        let Shared { open, .. } = self.shared(&mut shared, partitions)?;
        *open -= 1;
        if *open > 0 {
            return Ok(Vec::new());
        }
        let Some(Shared { files, .. }) = shared.take() else { return Ok(Vec::new()) };
        if spec.commit.is_none() { files.finish_with_one().await } else { files.finish().await }
    }

    /// The files that all partitions share. The first one to come begins them.
    fn shared<'a>(
        &self,
        shared: &'a mut Option<Shared>,
        partitions: usize,
    ) -> Result<&'a mut Shared> {
        let Self { spec, schema, access, context } = self;
        match shared {
            Some(shared) => Ok(shared),
            none => {
                let files = Files::new(spec, schema, access.files(spec, None)?, context)?;
                Ok(none.insert(Shared { files, open: access.running(partitions) }))
            }
        }
    }
}

fn batch_of(files: &[WrittenFile]) -> Result<RecordBatch> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Ok(RecordBatch::try_new(
        files_schema(),
        vec![
            Arc::new(files.iter().map(|file| Some(file.path.as_str())).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(files.iter().map(|file| number(file.rows)))),
            Arc::new(Int64Array::from_iter_values(files.iter().map(|file| number(file.bytes)))),
        ],
    )?)
}

fn files_of(batch: &RecordBatch) -> Vec<WrittenFile> {
    let paths = batch.column(0).as_string::<i32>();
    let numbers = |at: usize| batch.column(at).as_primitive::<Int64Type>();
    let (rows, bytes) = (numbers(1), numbers(2));
    (0..paths.len())
        .map(|at| WrittenFile {
            path: paths.value(at).to_owned(),
            rows: u64::try_from(rows.value(at)).unwrap_or(0),
            bytes: u64::try_from(bytes.value(at)).unwrap_or(0),
        })
        .collect()
}

/// Commits the files that its input names, and gives one row of what was written.
#[derive(Debug, Clone)]
pub struct CommitExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<WriteSpec>,
    /// The columns of the rows that were written.
    rows: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl CommitExec {
    /// Commits what `input`, which has one partition, names. The rows that were written have the columns of `rows`.
    ///
    /// # Errors
    /// Another number of partitions.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        spec: Arc<WriteSpec>,
        rows: SchemaRef,
    ) -> Result<Self> {
        if partition_count(&input) != 1 {
            return Err(DataFusionError::Internal("a commit reads one partition".to_owned()));
        }
        let properties = properties(result_schema(), 1);
        Ok(Self { input, spec, rows, properties })
    }

    /// Where and how.
    #[must_use]
    pub fn spec(&self) -> &Arc<WriteSpec> {
        &self.spec
    }

    /// The columns of the rows that are written.
    #[must_use]
    pub fn rows(&self) -> &SchemaRef {
        &self.rows
    }
}

impl DisplayAs for CommitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self
            .rows
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        write!(f, "CommitExec: {:?} [{}]", self.spec, columns.join(", "))
    }
}

impl ExecutionPlan for CommitExec {
    fn name(&self) -> &'static str {
        "CommitExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = only(self.name(), children)?;
        let (spec, rows) = (Arc::clone(&self.spec), Arc::clone(&self.rows));
        Ok(Arc::new(Self::try_new(input, spec, rows)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rebuild(self, children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let access = WriteAccess::of(&context)?;
        let mut named = self.input.execute(partition, Arc::clone(&context))?;
        let (spec, rows) = (Arc::clone(&self.spec), Arc::clone(&self.rows));
        let commits = async move {
            let mut files = Vec::new();
            while let Some(batch) = named.try_next().await? {
                files.extend(files_of(&batch));
            }
            let record = committed(&spec, &rows, files, &access, &context).await?;
            let (rows, bytes) = record.totals();
            let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let column = |value: u64| Arc::new(Int64Array::from(vec![number(value)])) as _;
            Ok(RecordBatch::try_new(
                result_schema(),
                vec![
                    column(rows),
                    column(record.files.len() as u64),
                    column(bytes),
                    Arc::new(StringArray::from(vec![spec.target()])),
                ],
            )?)
        };
        let schema = result_schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(commits))))
    }
}

async fn committed(
    spec: &Arc<WriteSpec>,
    rows: &SchemaRef,
    mut files: Vec<WrittenFile>,
    access: &WriteAccess,
    context: &TaskContext,
) -> Result<CommitRecord> {
    let query = context.session_id();
    let Some(name) = &spec.commit else {
        return Ok(CommitRecord::committed(&query, &access.env, files));
    };
    if files.is_empty() && spec.folders.is_empty() {
        // Readers take the columns from a file.
        files =
            Files::new(spec, rows, access.files(spec, None)?, context)?.finish_with_one().await?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut record = CommitRecord::committed(&query, &access.env, files);
    record.format = Some(spec.format);
    record.table = spec.makes.clone();
    record.folders = spec.folders.iter().map(|at| rows.field(*at).name().clone()).collect();
    let store = access.store(&spec.store)?;
    commit::commit(store, &access.env, (&spec.at()?, name), record).await
}
