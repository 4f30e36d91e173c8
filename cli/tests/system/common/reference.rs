//! The answers to TPC-H: what single-process DataFusion says, and the order that each query asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use arrow::array::RecordBatch;
use dunlin_cli::tpch;
use dunlin_exact::{Table, TableOf, assert_same};

/// Columns that each query's ORDER BY names, in its order.
const SORT_KEYS: [&[&str]; 22] = [
    &["l_returnflag", "l_linestatus"],
    &["s_acctbal", "n_name", "s_name", "p_partkey"],
    &["revenue", "o_orderdate"],
    &["o_orderpriority"],
    &["revenue"],
    &[],
    &["supp_nation", "cust_nation", "l_year"],
    &["o_year"],
    &["nation", "o_year"],
    &["revenue"],
    &["value"],
    &["l_shipmode"],
    &["custdist", "c_count"],
    &[],
    &["s_suppkey"],
    &["supplier_cnt", "p_brand", "p_type", "p_size"],
    &[],
    &["o_totalprice", "o_orderdate"],
    &[],
    &["s_name"],
    &["numwait", "s_name"],
    &["cntrycode"],
];

/// The reference answers over one folder.
#[derive(Debug)]
pub struct Reference {
    data: PathBuf,
    known: Mutex<BTreeMap<String, Arc<Table>>>,
}

impl Reference {
    /// The reference over `data`, shared by the tests of a process.
    pub fn over(data: &Path) -> Arc<Self> {
        static ALL: OnceLock<Mutex<BTreeMap<PathBuf, Arc<Reference>>>> = OnceLock::new();
        let mut all = ALL.get_or_init(Mutex::default).lock().unwrap();
        let fresh = || Arc::new(Self { data: data.to_owned(), known: Mutex::default() });
        Arc::clone(all.entry(data.to_owned()).or_insert_with(fresh))
    }

    /// What a single DataFusion process answers.
    pub fn answer(&self, sql: &str) -> Arc<Table> {
        // Not held while the engine runs: a panic there would poison it for every other test.
        if let Some(known) = self.known.lock().unwrap().get(sql) {
            return Arc::clone(known);
        }
        let (data, text) = (self.data.clone(), sql.to_owned());
        // A thread of its own, because the caller may be inside a runtime.
        let table = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(single(&data, &text))
        });
        let table = Arc::new(table.join().unwrap());
        self.known.lock().unwrap().insert(sql.to_owned(), Arc::clone(&table));
        table
    }

    /// Panics unless `got` is the answer to TPC-H query `number`.
    pub fn check_tpch(&self, label: &str, number: usize, got: &[RecordBatch]) {
        let want = self.answer(&tpch::query(number).unwrap());
        assert_same(&format!("{label}, Q{number}"), &want, &Table::new(got), SORT_KEYS[number - 1]);
    }

    /// Panics unless `got` is the answer to `sql`, in any order.
    pub fn check(&self, label: &str, sql: &str, got: &[RecordBatch]) {
        assert_same(label, &self.answer(sql), &Table::new(got), &[]);
    }
}

async fn single(data: &Path, sql: &str) -> Table {
    let tables: Vec<TableOf> =
        tpch::TABLES.iter().map(|table| TableOf::parquet(table, &data.join(table))).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Table::new(&dunlin_exact::Reference::over(&tables).rows(sql, cores).await.unwrap())
}
