//! The tables as clients list them.

use serde::Serialize;

/// A table of the configuration. Where its files lie is not for everybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableName {
    /// Its name in SQL.
    pub name: String,
    /// The format of its files.
    pub format: String,
}
