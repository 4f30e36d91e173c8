//! Where the rows of a write go, and with which columns.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_manifest::records::{Pin, WriteTarget};
use dunlin_plan::stores::Stores;
use dunlin_plan::wire;
use dunlin_plan::write::{
    CommitName, Made, WriteCompression, WriteFormat, WriteSpec, check_schema,
};

use super::asked::{Asked, Target};
use super::columns;
use super::error::{exists, no_such_table, of_statement, refused};
use super::options::Options;
use super::place::{Permission, Place, check_table_name};
use super::wrap::wrap;
use crate::error::PlanError;
use crate::grants::Grants;
use crate::scans;
use crate::tables::Tables;

/// Bytes of a file, if a statement does not say. Readers open fewer files then, and one can still be read by several
/// tasks.
const FILE_BYTES: u64 = 256 << 20;
/// Rows of a row group of Parquet, if a statement does not say.
const GROUP_ROWS: u64 = 1 << 20;

/// A write that is planned.
#[derive(Debug)]
pub(crate) struct Write {
    spec: WriteSpec,
    /// The columns of the rows, on which all of it was decided.
    columns: SchemaRef,
}

impl Write {
    /// The physical plan of the rows with the operators that write them. It has `partitions` partitions where rows are
    /// exchanged.
    ///
    /// # Errors
    /// A plan with other columns than the query had; a target that the query reads.
    pub(crate) fn over(
        self,
        rows: Arc<dyn ExecutionPlan>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>, PlanError> {
        let types = |schema: &SchemaRef| -> Vec<DataType> {
            schema.fields().iter().map(|field| field.data_type().clone()).collect()
        };
        if types(&rows.schema()) != types(&self.columns) {
            return Err(refused(format!(
                "its columns are {} once they are planned, and were {} before; cast them",
                rows.schema(),
                self.columns
            )));
        }
        let read = scans::pins(&rows).map_err(PlanError::from_planning)?;
        let is_target = |pin: &Pin| pin.store == self.spec.store && pin.path == self.spec.path;
        if read.iter().any(is_target) {
            return Err(refused(format!(
                "it reads {}, which it would replace; write to another file",
                self.spec.target()
            )));
        }
        wrap(rows, &Arc::new(self.spec), partitions).map_err(PlanError::from_planning)
    }

    /// What a query's record says of it; nothing for one file, which needs no commit.
    pub(crate) fn target(&self) -> Option<WriteTarget> {
        let first = match self.spec.commit.as_ref()? {
            CommitName::OfQuery => None,
            CommitName::First(number) => Some(*number),
        };
        let (store, folder) = (self.spec.store.clone(), self.spec.path.clone());
        Some(WriteTarget { store, folder, first })
    }
}

/// What plans writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writes<'a> {
    pub(crate) permission: &'a Permission,
    pub(crate) tables: &'a Tables,
    pub(crate) stores: &'a Stores,
    /// The tables that the statement may name.
    pub(crate) grants: &'a Grants,
}

impl Writes<'_> {
    /// Plans where the rows of `logical` go. Returns the plan whose rows are written, which for INSERT has the columns of
    /// the table.
    ///
    /// # Errors
    /// A target that may not be written, or is there; columns that cannot be written.
    pub(crate) async fn planned(
        &self,
        asked: &Asked,
        logical: LogicalPlan,
        state: &SessionState,
    ) -> Result<(LogicalPlan, Write), PlanError> {
        let name = match asked.target {
            Target::Place(_) => "COPY",
            Target::Table { .. } => "INSERT",
            Target::NewTable(_) => "CREATE TABLE AS",
        };
        self.write(asked, logical, state).await.map_err(|error| of_statement(error, name))
    }

    async fn write(
        &self,
        asked: &Asked,
        logical: LogicalPlan,
        state: &SessionState,
    ) -> Result<(LogicalPlan, Write), PlanError> {
        let Asked { target, options } = asked;
        let (logical, spec) = match target {
            // The place may be that of a table which is not granted.
            Target::Place(_) if !self.grants.are_all() => {
                return Err(refused(
                    "statements of this workgroup write to tables that its `tables` names; use CREATE TABLE AS or INSERT INTO"
                        .to_owned(),
                ));
            }
            Target::NewTable(name) if !self.grants.allow(name) => {
                return Err(refused(format!(
                    "this workgroup may not name a table {name}; choose a name that its `tables` allows"
                )));
            }
            Target::Place(text) => {
                let place = Place::of(text, self.permission)?;
                let spec = self.copied(place, text, options, &logical).await?;
                (logical, spec)
            }
            Target::NewTable(name) => {
                let spec = self.made(name, options, &logical).await?;
                (logical, spec)
            }
            Target::Table { name, columns } => {
                let known = TableReference::bare(name.clone());
                let schema = state.schema_for_ref(known).map_err(PlanError::from_planning)?;
                let table = schema.table(name).await.map_err(PlanError::from_planning)?;
                let table = table.ok_or_else(|| no_such_table(name))?;
                let into = self.tables.written(name).await?.ok_or_else(|| no_such_table(name))?;
                let place = Place::of(&into.location, self.permission)?;
                let all = table.schema();
                let folders: Vec<String> = into.folders;
                let logical = columns::conformed(logical, name, &all, columns.as_deref())?;
                let options = Options { append: true, partition_by: folders, ..Options::default() };
                let spec = self.folder(place, &options, WriteFormat::Parquet, "", &logical).await?;
                (logical, spec)
            }
        };
        let columns = Arc::new(logical.schema().as_arrow().clone());
        check_schema(&spec, &columns).map_err(refused)?;
        Ok((logical, Write { spec, columns }))
    }

    /// The target of a COPY.
    async fn copied(
        &self,
        place: Place,
        text: &str,
        options: &Options,
        logical: &LogicalPlan,
    ) -> Result<WriteSpec, PlanError> {
        if options.location.is_some() {
            return Err(refused(
                "location is for CREATE TABLE; COPY names its place after TO".to_owned(),
            ));
        }
        let format = options.format_of(text)?;
        if place.is_folder || !options.partition_by.is_empty() || !place.names_a_file() {
            return self.folder(place, options, format, text, logical).await;
        }
        if options.append {
            return Err(refused(
                "one file is written as a whole; write to a folder to append to it".to_owned(),
            ));
        }
        if options.file_bytes.is_some() {
            return Err(refused(
                "file_size is for folders; end the target in / to write several files".to_owned(),
            ));
        }
        if !options.overwrite {
            place.has_no_file(self.stores).await?;
        }
        let compression = options.compression_of(format, text)?;
        Ok(self.spec(place, None, (format, compression), options, Vec::new()))
    }

    /// The folder of a new table.
    async fn made(
        &self,
        name: &str,
        options: &Options,
        logical: &LogicalPlan,
    ) -> Result<WriteSpec, PlanError> {
        if self.tables.exists(name).await? {
            return Err(exists(format!(
                "there is a table {name} already; choose another name, or add to it with INSERT INTO"
            )));
        }
        let place = match &options.location {
            Some(text) => {
                let place = Place::of(text, self.permission)?.folder();
                if place.location.path.filename() != Some(name) {
                    return Err(refused(format!(
                        "a table is found by the name of its folder; end the location in {name}/"
                    )));
                }
                check_table_name(name)?;
                place
            }
            None => Place::of_new_table(name, self.permission)?,
        };
        if !self.permission.has_tables(&place) {
            return Err(refused(format!(
                "a table is found again only below a [[writing]] entry with tables = true, as {place}/{name}/; write to another place with COPY, and make it a [[tables]] entry",
                place = self.permission.table_places().next().unwrap_or("(there is none)")
            )));
        }
        if options.append || options.overwrite {
            return Err(refused("a table is made once; add to it with INSERT INTO".to_owned()));
        }
        if options.format.is_some_and(|format| format != WriteFormat::Parquet) {
            return Err(refused(
                "tables are folders of Parquet files; write other formats with COPY".to_owned(),
            ));
        }
        let mut spec = self.folder(place, options, WriteFormat::Parquet, "", logical).await?;
        let schema = logical.schema().as_arrow();
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let schema = wire::schema_to_text(&schema).map_err(PlanError::from_planning)?;
        spec.makes = Some(Made { table: name.to_owned(), schema });
        Ok(spec)
    }

    /// A folder that gets files.
    async fn folder(
        &self,
        place: Place,
        options: &Options,
        format: WriteFormat,
        name: &str,
        logical: &LogicalPlan,
    ) -> Result<WriteSpec, PlanError> {
        if options.overwrite {
            return Err(refused(
                "files of a folder are added and never replaced; OVERWRITE is for one file"
                    .to_owned(),
            ));
        }
        let place = place.folder();
        let commit = if options.append {
            CommitName::OfQuery
        } else {
            place.first_commit(self.stores).await?
        };
        let folders = columns::folders(&options.partition_by, logical)?;
        columns::check_names(logical)?;
        let compression = options.compression_of(format, name)?;
        Ok(self.spec(place, Some(commit), (format, compression), options, folders))
    }

    fn spec(
        &self,
        place: Place,
        commit: Option<CommitName>,
        (format, compression): (WriteFormat, WriteCompression),
        options: &Options,
        folders: Vec<usize>,
    ) -> WriteSpec {
        WriteSpec {
            store: place.location.address(),
            path: place.location.path.to_string(),
            commit,
            replaces: options.overwrite,
            format,
            compression,
            folders,
            file_bytes: options.file_bytes.unwrap_or(FILE_BYTES),
            group_rows: options.group_rows.unwrap_or(GROUP_ROWS),
            csv: options.csv.clone(),
            makes: None,
        }
    }
}
