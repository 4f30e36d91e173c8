//! The names that completion knows: tables, columns, functions. The gateway is asked once, when they are first needed,
//! and not at the start: a catalog of a thousand tables takes its time.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::failure::Failure;
use crate::link::{Link, Request, Taken};
use crate::print::Cells;

/// Tables and their columns.
const COLUMNS: &str = "select table_name, column_name from information_schema.columns where table_schema not in ('information_schema', 'system')";
const FUNCTIONS: &str = "select distinct routine_name from information_schema.routines";

/// Names for completion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Columns by table.
    pub(super) tables: BTreeMap<String, Vec<String>>,
    pub(super) functions: Vec<String>,
}

/// The names of one gateway.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    link: Link,
    runtime: Handle,
    known: Arc<(Mutex<Known>, Condvar)>,
}

#[derive(Debug, Default)]
struct Known {
    names: Arc<Names>,
    /// Whether the names may be used.
    is_fresh: bool,
    is_asked: bool,
}

impl Catalog {
    pub(super) fn new(link: Link, runtime: Handle) -> Self {
        Self { link, runtime, known: Arc::default() }
    }

    /// The names will be asked for again.
    pub(super) fn forget(&self) {
        self.known.0.lock().unwrap_or_else(PoisonError::into_inner).is_fresh = false;
    }

    /// The names, if they are there within `patience`, and else the last ones.
    pub(super) fn names(&self, patience: Duration) -> Arc<Names> {
        let (lock, changed) = &*self.known;
        let mut known = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_fresh && !known.is_asked {
            known.is_asked = true;
            self.ask();
        }
        let waited = changed.wait_timeout_while(known, patience, |known| known.is_asked);
        let (known, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known.names)
    }

    fn ask(&self) {
        let (link, known) = (self.link.clone(), Arc::clone(&self.known));
        self.runtime.spawn(async move {
            let names = names(&link).await;
            let (lock, changed) = &*known;
            let mut known = lock.lock().unwrap_or_else(PoisonError::into_inner);
            known.is_asked = false;
            if let Ok(names) = names {
                known.names = Arc::new(names);
                known.is_fresh = true;
            }
            changed.notify_all();
        });
    }
}

async fn names(link: &Link) -> Result<Names, Failure> {
    let mut names = Names::default();
    for row in rows(link, COLUMNS).await? {
        if let [table, column] = row.as_slice() {
            names.tables.entry(table.clone()).or_default().push(column.clone());
        }
    }
    names.functions = rows(link, FUNCTIONS).await?.into_iter().flatten().collect();
    names.functions.sort();
    Ok(names)
}

/// The rows of a small answer as texts.
async fn rows(link: &Link, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
    let request = Request::of_names(sql);
    let mut found = Vec::new();
    let Taken::Rows(mut reply) = link.send(&request).await? else { return Ok(found) };
    while let Some(batch) = reply.rows.next().await? {
        let mut cells = Cells::new(&batch, true)?;
        for row in 0..batch.num_rows() {
            let texts = (0..batch.num_columns()).map(|column| cells.text(row, column));
            found.push(
                texts.map(|text| Ok(text?.unwrap_or_default())).collect::<anyhow::Result<_>>()?,
            );
        }
    }
    Ok(found)
}
