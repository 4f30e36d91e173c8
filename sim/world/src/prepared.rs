//! What all runs share: small tables, a few queries with their plans, and the answers of one process.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use dunlin_exact::{InProcess, Table};
use dunlin_planner::StageGraph;
use dunlin_planner::config::Config;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use url::Url;

/// Partitions of the plans.
const PARTITIONS: usize = 3;
/// Enough that stages have more than one group of tasks.
const MANY: usize = 70;

const CONFIG: &str = r#"
[state]
location = "memory:///state"

[[tables]]
name = "orders"
location = "memory:///tables/orders/"

[[tables]]
name = "lines"
location = "memory:///tables/lines/"

[[writing]]
location = "memory:///made/"
"#;

/// What reads the files that a query has written.
const MADE: &str = "\n[[tables]]\nname = \"made\"\nlocation = \"memory:///made/t/\"\ncolumns = [\"customer BIGINT\", \"n BIGINT\", \"total DECIMAL(22,2)\"]\n";

/// The queries: an aggregate, a join of two exchanges, an order with a limit, a window, and one with empty stages.
const QUERIES: [&str; 5] = [
    "select part, count(*) as n, sum(price) as total, min(word) as first from lines group by part",
    "select o.customer, count(*) as n, sum(l.price) as total from orders o join lines l on o.id = l.order_id where l.part % 3 <> 1 group by o.customer",
    "select l.order_id, l.price, l.word, o.customer from lines l join orders o on o.id = l.order_id order by l.price desc, l.order_id, l.word limit 50",
    "select customer, id, sum(amount) over (partition by customer order by id) as so_far from orders where id % 2 = 0",
    "select o.customer, l.part from orders o left join lines l on o.id = l.order_id and l.part > 1000000 where o.id < 40 union all select customer, id from orders where customer < 3",
];

/// A query whose second stage has rows in every partition, however many there are.
const WIDE: &str =
    "select order_id, count(*) as n, sum(price) as total from lines group by order_id";

/// The second query, written to files.
const WRITTEN: usize = 1;

/// A query that every run may run.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) graph: StageGraph,
    /// What it answers; or of one that writes, what is in its files.
    pub(crate) expected: Table,
    /// Whether the rows have an order.
    pub(crate) is_ordered: bool,
    pub(crate) writes: bool,
}

/// Tables, plans and answers.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) tables: Arc<dyn ObjectStore>,
    pub(crate) queries: Vec<Query>,
}

impl Prepared {
    /// Makes them, on a runtime of its own.
    ///
    /// # Panics
    /// Something cannot be planned or answered.
    #[must_use]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_stack_size(64 << 20)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(runtime.spawn(Self::made())).unwrap()
    }

    async fn made() -> Self {
        let config = Config::parse(CONFIG).unwrap();
        let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
        let tables = stores.get(&stores.state.address()).unwrap();
        for (name, rows) in [("orders", orders()), ("lines", lines())] {
            for (file, part) in parts(&rows).into_iter().enumerate() {
                let path = Path::from(format!("tables/{name}/{file}.parquet"));
                tables.put(&path, bytes(&part).into()).await.unwrap();
            }
        }
        let planner = InProcess::over(&config, stores);
        let copy = format!("copy ({}) to 'memory:///made/t/' (format parquet)", QUERIES[WRITTEN]);
        let wanted = QUERIES.iter().map(|sql| (*sql, (*sql).to_owned(), PARTITIONS));
        let wanted =
            wanted.chain([(QUERIES[WRITTEN], copy, PARTITIONS), (WIDE, WIDE.to_owned(), MANY)]);
        let mut queries = Vec::new();
        for (rows, sql, partitions) in wanted {
            let graph = planner.plan(&sql, partitions).await.graph.unwrap();
            let is_ordered = rows.contains(" limit ");
            let expected = Table::new(&answer(&tables, rows).await);
            let writes = rows != sql;
            queries.push(Query { sql, graph, expected, is_ordered, writes });
        }
        Self { tables, queries }
    }

    /// How many queries there are. The last one has more than a hundred tasks, and takes as much longer.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.queries.len()
    }

    /// The rows of the files that a query has written to a store, as a reader of Dunlin finds them.
    pub(crate) fn files(&self, store: Arc<dyn ObjectStore>) -> Result<Table, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let config = Config::parse(&format!("{CONFIG}{MADE}")).unwrap();
            let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
            let address = stores.state.address();
            let reader = InProcess::over(&config, stores.with(&address, store));
            let rows = reader.uncut("select * from made", 1).await;
            Ok(Table::new(&rows.map_err(|error| format!("{error:#}"))?))
        })
    }
}

impl Default for Prepared {
    fn default() -> Self {
        Self::new()
    }
}

/// The rows of one process.
async fn answer(tables: &Arc<dyn ObjectStore>, sql: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_object_store(&Url::parse("memory://").unwrap(), Arc::clone(tables));
    for table in ["orders", "lines"] {
        let place = format!("memory:///tables/{table}/");
        context.register_parquet(table, place, ParquetReadOptions::default()).await.unwrap();
    }
    dunlin_exact::answer(&context, sql).await.unwrap()
}

fn bytes(rows: &RecordBatch) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    file
}

fn parts(rows: &RecordBatch) -> Vec<RecordBatch> {
    let each = rows.num_rows().div_ceil(4);
    (0..4).map(|part| rows.slice(part * each, each.min(rows.num_rows() - part * each))).collect()
}

fn orders() -> RecordBatch {
    let ids = || 0..400_i64;
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(ids()));
    let customer: ArrayRef = Arc::new(Int64Array::from_iter_values(ids().map(|id| id * 7 % 31)));
    let amount: ArrayRef = Arc::new(Int64Array::from_iter_values(ids().map(|id| id * id % 977)));
    RecordBatch::try_from_iter([("id", id), ("customer", customer), ("amount", amount)]).unwrap()
}

fn lines() -> RecordBatch {
    let rows = || 0..1_500_i64;
    let order: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|row| row * 11 % 450)));
    let part: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|row| row * 13 % 60)));
    let cents = rows().map(|row| i128::from(row * 7_919 % 100_003));
    let price = Decimal128Array::from_iter_values(cents).with_precision_and_scale(12, 2).unwrap();
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows().map(|row| format!("word {} of {row}", row * 31 % 17)),
    ));
    let price: ArrayRef = Arc::new(price);
    RecordBatch::try_from_iter([
        ("order_id", order),
        ("part", part),
        ("price", price),
        ("word", word),
    ])
    .unwrap()
}
