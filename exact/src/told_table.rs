//! A table whose files tell of themselves what a test wants them to.

/// A table, and how its files are written.
pub(crate) struct Told {
    pub(crate) name: &'static str,
    /// Folder and query of each file.
    pub(crate) files: Vec<(String, String)>,
    /// All columns as the table has them.
    pub(crate) columns: &'static str,
    /// The files say that they are sorted by these leaves.
    pub(crate) sorted: &'static [i32],
    /// Rows of a row group.
    pub(crate) group: usize,
    /// More of the table's entry in the configuration.
    pub(crate) more: &'static str,
}

impl Told {
    pub(crate) fn new(name: &'static str, columns: &'static str, files: Vec<String>) -> Self {
        let files = files.into_iter().map(|sql| (String::new(), sql)).collect();
        Self { name, files, columns, sorted: &[], group: 500, more: "" }
    }

    pub(crate) fn series(
        name: &'static str,
        columns: &'static str,
        count: u32,
        sql: impl Fn(u32) -> String,
    ) -> Self {
        Self::new(name, columns, (0..count).map(sql).collect())
    }
}
