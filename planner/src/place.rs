//! Where tables are, for clients that name a catalog and a schema.

/// The catalog that the tables are in.
pub const DEFAULT_CATALOG: &str = "datafusion";
/// The schema that the tables are in.
pub const DEFAULT_SCHEMA: &str = "public";
