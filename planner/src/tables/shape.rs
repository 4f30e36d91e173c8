//! The columns of a table, and how its files are read.

use std::sync::Arc;

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::looking::Reading;

/// The columns of a table, and how its files are read.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) reading: Reading,
    /// The columns inside of the files.
    pub(super) inside: SchemaRef,
    /// The columns from names of folders.
    pub(super) folders: Vec<FieldRef>,
    /// Both, in this order.
    pub(super) schema: SchemaRef,
}

impl Shape {
    pub(super) fn new(reading: Reading, inside: SchemaRef, folders: Vec<FieldRef>) -> Self {
        // A folder's value wins over a column of the same name inside of the files.
        let is_folder =
            |name: &String| folders.iter().any(|it| it.name().eq_ignore_ascii_case(name));
        let inside: Vec<FieldRef> =
            inside.fields().iter().filter(|it| !is_folder(it.name())).cloned().collect();
        let schema = Schema::new(inside.iter().chain(&folders).cloned().collect::<Vec<_>>());
        Self { reading, inside: Arc::new(Schema::new(inside)), folders, schema: Arc::new(schema) }
    }
}
