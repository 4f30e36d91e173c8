//! Encoding a schema as text, as records hold it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, internal_datafusion_err};

/// A schema as text: an IPC stream without batches, base64.
///
/// # Errors
/// A type that Arrow IPC cannot encode.
pub fn schema_to_text(schema: &Schema) -> Result<String> {
    let mut bytes = Vec::new();
    arrow_ipc::writer::StreamWriter::try_new(&mut bytes, schema)
        .and_then(|mut writer| writer.finish())?;
    Ok(STANDARD.encode(bytes))
}

/// The schema that [`schema_to_text`] wrote.
///
/// # Errors
/// Damaged text.
pub fn schema_from_text(text: &str) -> Result<SchemaRef> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| internal_datafusion_err!("a schema that is no text: {error}"))?;
    let reader = arrow_ipc::reader::StreamReader::try_new(std::io::Cursor::new(bytes), None)?;
    Ok(reader.schema())
}
