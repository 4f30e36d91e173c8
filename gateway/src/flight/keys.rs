//! The columns of commands about keys. Files have no keys, so no row is answered; clients still ask for the columns.

use std::sync::Arc;

use arrow_schema::DataType::{Int32, UInt8, Utf8};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

fn column(name: &str, kind: DataType, nullable: bool) -> Field {
    Field::new(name, kind, nullable)
}

/// The columns of CommandGetPrimaryKeys.
pub(super) fn primary_keys() -> SchemaRef {
    Arc::new(Schema::new(vec![
        column("catalog_name", Utf8, true),
        column("db_schema_name", Utf8, true),
        column("table_name", Utf8, false),
        column("column_name", Utf8, false),
        column("key_name", Utf8, true),
        column("key_sequence", Int32, false),
    ]))
}

/// The columns of CommandGetExportedKeys, CommandGetImportedKeys and CommandGetCrossReference.
pub(super) fn references() -> SchemaRef {
    Arc::new(Schema::new(vec![
        column("pk_catalog_name", Utf8, true),
        column("pk_db_schema_name", Utf8, true),
        column("pk_table_name", Utf8, false),
        column("pk_column_name", Utf8, false),
        column("fk_catalog_name", Utf8, true),
        column("fk_db_schema_name", Utf8, true),
        column("fk_table_name", Utf8, false),
        column("fk_column_name", Utf8, false),
        column("key_sequence", Int32, false),
        column("fk_key_name", Utf8, true),
        column("pk_key_name", Utf8, true),
        column("update_rule", UInt8, false),
        column("delete_rule", UInt8, false),
    ]))
}
