//! What is known of a table's files, from one query to the next.
//!
//! A file is known by path, size, e_tag and time. A query lists the files, and looks only into those that it does not
//! know: so a table that gets a file or loses one, or whose columns change, is seen as it is, and everything else is
//! remembered.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::error::DataFusionError;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::Mutex;

use super::bounds;
use super::error::FileTrouble;
use super::facts::{Facts, Version};
use super::shape::Shape;

/// Files that are remembered of a table while a listing leaves them out. Those of a listing are remembered, however many.
const MOST_REMEMBERED: usize = 1_000_000;

#[derive(Debug)]
struct Known {
    version: Version,
    schema: SchemaRef,
    /// False if no more than the header of the file was looked at.
    is_sampled: bool,
    /// The facts by the file's own schema, if they were found with it.
    own: Option<Arc<Facts>>,
    /// The table's schema when they were found, and the facts.
    facts: Option<(SchemaRef, Arc<Facts>)>,
}

/// The files of one table that have been looked into.
#[derive(Debug, Default)]
pub(super) struct KnownFiles {
    known: Mutex<KnownTable>,
}

#[derive(Debug, Default)]
struct KnownTable {
    files: HashMap<Path, Known>,
    /// The shape of the table with exactly these files.
    shape: Option<Arc<Shape>>,
    /// The columns of folders, if they are declared.
    folders: Option<Vec<FieldRef>>,
}

/// What is known of the files of a listing.
pub(super) enum Seen {
    /// They are the files of the last listing: this is their shape.
    All(Arc<Shape>),
    /// The schema of each, where it is known.
    Some(Vec<Option<SchemaRef>>),
}

impl KnownFiles {
    /// The columns of folders, as they are declared, or as the last listing had them.
    pub(super) fn folders(&self) -> Option<Vec<FieldRef>> {
        let table = self.known.lock();
        let of_shape = || table.shape.as_ref().map(|shape| shape.folders.clone());
        table.folders.clone().or_else(of_shape)
    }

    /// Sets the declared columns of folders.
    pub(super) fn declare(&self, folders: &[FieldRef]) {
        self.known.lock().folders = Some(folders.to_vec());
    }

    /// What is known of these files. Of the first ones, `sampled` of them, the header alone says too little.
    pub(super) fn look(&self, files: &[ObjectMeta], sampled: usize) -> Seen {
        let table = self.known.lock();
        let schema = |(at, file): (usize, &ObjectMeta)| {
            let known = table.files.get(&file.location)?;
            let is_enough = known.is_sampled || at >= sampled;
            (is_enough && known.version == Version::from(file)).then(|| Arc::clone(&known.schema))
        };
        let schemas: Vec<Option<SchemaRef>> = files.iter().enumerate().map(schema).collect();
        let are_the_same = files.len() == table.files.len() && schemas.iter().all(Option::is_some);
        match &table.shape {
            Some(shape) if are_the_same => Seen::All(Arc::clone(shape)),
            _ => Seen::Some(schemas),
        }
    }

    /// Remembers these files with their schemas and facts, and the shape that they have together, if they have one. If they
    /// are all files of the table, it forgets the others. More than the headers was looked at of the first ones, `sampled` of
    /// them.
    pub(super) fn remember(
        &self,
        files: &[ObjectMeta],
        found: &[(SchemaRef, Option<Arc<Facts>>)],
        shape: Option<&Arc<Shape>>,
        (are_all, sampled): (bool, usize),
    ) {
        let mut table = self.known.lock();
        let mut next = HashMap::with_capacity(files.len());
        for (at, (file, (schema, own))) in files.iter().zip(found).enumerate() {
            let version = Version::from(file);
            let before =
                table.files.remove(&file.location).filter(|known| known.version == version);
            let is_sampled = at < sampled || before.as_ref().is_some_and(|it| it.is_sampled);
            let (before, facts) = before.map_or((None, None), |known| (known.own, known.facts));
            let (schema, own) = (Arc::clone(schema), own.clone().or(before));
            next.insert(file.location.clone(), Known { version, schema, is_sampled, own, facts });
        }
        if !are_all && table.files.len() < MOST_REMEMBERED {
            next.extend(table.files.drain());
        }
        table.shape = shape.filter(|_| next.len() == files.len()).cloned();
        table.files = next;
    }

    /// The schema of a file, if it is known.
    pub(super) fn schema(&self, path: &Path) -> Option<SchemaRef> {
        Some(Arc::clone(&self.known.lock().files.get(path)?.schema))
    }

    /// The schema and the facts of a file, by its own columns, if they are known.
    pub(super) fn own(&self, path: &Path) -> Option<(SchemaRef, Arc<Facts>)> {
        let table = self.known.lock();
        let known = table.files.get(path)?;
        Some((Arc::clone(&known.schema), Arc::clone(known.own.as_ref()?)))
    }

    /// The facts of a file, by the columns of `schema`. Reads the file's footer if they are not known.
    ///
    /// # Errors
    /// The format's.
    pub(super) async fn facts(
        &self,
        file: &ObjectMeta,
        schema: &SchemaRef,
        format: &dyn FileFormat,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
    ) -> datafusion::error::Result<Arc<Facts>> {
        let version = Version::from(file);
        if let Some(known) = self.known.lock().files.get_mut(&file.location)
            && known.version == version
        {
            if let Some((of, facts)) = &known.facts
                && of == schema
            {
                return Ok(Arc::clone(facts));
            }
            if let Some(own) = &known.own {
                let facts = own.by(&known.schema, schema);
                known.facts = Some((Arc::clone(schema), Arc::clone(&facts)));
                return Ok(facts);
            }
        }
        let look = async {
            if !format.is::<ParquetFormat>() {
                return bounds::facts(format, state, store, schema, file).await.map(Arc::new);
            }
            let (own, facts) = bounds::inside(format, state, store, file).await?;
            Ok(facts.by(&own, schema))
        };
        let facts = look
            .await
            .map_err(|error| DataFusionError::External(FileTrouble::of(&file.location, error)))?;
        if let Some(known) = self.known.lock().files.get_mut(&file.location)
            && known.version == version
        {
            known.facts = Some((Arc::clone(schema), Arc::clone(&facts)));
        }
        Ok(facts)
    }
}
