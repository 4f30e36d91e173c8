//! Writes Parquet files with given rows, for every generator of tables.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;

/// Writes a file of these rows.
///
/// # Errors
/// The format cannot carry a type of the rows, or the file cannot be written.
pub fn write_file(
    path: &Path,
    rows: &RecordBatch,
    properties: Option<WriterProperties>,
) -> Result<()> {
    let mut writer = ArrowWriter::try_new(File::create(path)?, rows.schema(), properties)?;
    writer.write(rows)?;
    writer.close()?;
    Ok(())
}
