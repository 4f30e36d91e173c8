//! Flight SQL with real processes: parameters with their types, writes, and a large answer in little memory from gateways
//! that are killed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightInfo, Ticket};
use dunlin_cli::fleet::{Fleet, Process, start_gateway};
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.01;
const PATIENCE: Duration = Duration::from_secs(60);
/// As in the configuration: the gateway takes a free port, and prints it.
const FACE: &str = "[gateway]\nflight_sql = \"127.0.0.1:0\"\n";

type Client = FlightSqlServiceClient<Channel>;

/// The address that a gateway has printed.
async fn address(log: &Path) -> String {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let text = std::fs::read_to_string(log).unwrap();
        let start = "flight sql listening on grpc://";
        if let Some(line) = text.lines().find_map(|line| line.strip_prefix(start)) {
            return line.trim().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no address of Flight SQL in {}", log.display());
}

async fn client(log: &Path) -> Client {
    let url = format!("http://{}", address(log).await);
    FlightSqlServiceClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap())
}

async fn fetched(client: &mut Client, info: &FlightInfo) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for endpoint in &info.endpoint {
        let rows = client.do_get(endpoint.ticket.clone().unwrap()).await.unwrap();
        all.extend(rows.try_collect::<Vec<_>>().await.unwrap());
    }
    all
}

async fn count(client: &mut Client, sql: &str) -> i64 {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    fetched(client, &info).await[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_keep_their_types_on_the_fleet_and_in_the_gateway() {
    let setup = Setup::folder(&data(SCALE), FACE);
    let _fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 2).unwrap();
    let mut client = client(&setup.path().join("gateway.log")).await;
    let decimal = Decimal128Array::from(vec![1_250]).with_precision_and_scale(10, 2).unwrap();
    let row = RecordBatch::try_from_iter([
        ("1", Arc::new(Int32Array::from(vec![-7])) as ArrayRef),
        ("2", Arc::new(Float64Array::from(vec![0.5])) as ArrayRef),
        ("3", Arc::new(decimal) as ArrayRef),
        ("4", Arc::new(StringArray::from(vec!["it's ä"])) as ArrayRef),
        ("5", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
        ("6", Arc::new(Date32Array::from(vec![19_782])) as ArrayRef),
        ("7", Arc::new(TimestampMicrosecondArray::from(vec![1_709_208_000_000_001])) as ArrayRef),
        ("8", Arc::new(BinaryArray::from(vec![&b"\0\xff"[..]])) as ArrayRef),
        ("9", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef),
    ])
    .unwrap();
    let names: Vec<String> = (1..=9).map(|number| format!("${number} as c{number}")).collect();
    let plain = format!("select {}", names.join(", "));
    let over_a_table = format!("select {} from nation where n_nationkey = 3", names.join(", "));
    for (sql, route) in [(&plain, "auto"), (&over_a_table, "fleet")] {
        client.set_header("dunlin-settings", format!("{{\"route\":\"{route}\"}}"));
        let mut prepared = client.prepare(sql.clone(), None).await.unwrap();
        assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 9);
        prepared.set_parameters(row.clone()).unwrap();
        let info = prepared.execute().await.unwrap();
        let got = fetched(&mut client, &info).await;
        let got: Vec<&RecordBatch> = got.iter().filter(|batch| batch.num_rows() > 0).collect();
        assert_eq!((got.len(), got[0].num_rows()), (1, 1), "{sql}");
        for (sent, came) in row.columns().iter().zip(got[0].columns()) {
            assert_eq!(sent.data_type(), came.data_type(), "{sql}");
            assert_eq!(sent.as_ref(), came.as_ref(), "{sql}");
        }
    }
    // A date that is compared as a date, and not as a text.
    client.set_header("dunlin-settings", "{\"route\":\"fleet\"}");
    let sql = "select count(*) from orders where o_orderdate < ? and o_totalprice >= ?";
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let decimal = Decimal128Array::from(vec![10_000_000]).with_precision_and_scale(15, 2).unwrap();
    let bound = RecordBatch::try_from_iter([
        ("a", Arc::new(Date32Array::from(vec![9_131])) as ArrayRef),
        ("b", Arc::new(decimal) as ArrayRef),
    ]);
    prepared.set_parameters(bound.unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    let got = fetched(&mut client, &info).await[0].column(0).as_primitive::<Int64Type>().value(0);
    let literal = "select count(*) from orders where o_orderdate < date '1995-01-01' and o_totalprice >= 100000.00";
    let wanted = count(&mut client, literal).await;
    assert!(wanted > 0);
    assert_eq!(got, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_write_and_say_how_many_rows() {
    let setup = Setup::with(|state| {
        let folder = state.parent().unwrap().display().to_string();
        format!(
            "[state]\nlocation = \"file://{folder}/state\"\n{FACE}[[writing]]\nlocation = \"file://{folder}/made/\"\ntables = true\n{}",
            dunlin_cli::tpch::tables_toml(&format!("file://{}/", data(SCALE).display()))
        )
    });
    let _fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 2).unwrap();
    let mut client = client(&setup.path().join("gateway.log")).await;
    let made = "create table made as select * from nation where n_nationkey < 10".to_owned();
    assert_eq!(client.execute_update(made.clone(), None).await.unwrap(), 10);
    let more = "insert into made select * from nation where n_nationkey >= $1".to_owned();
    let mut prepared = client.prepare(more, None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 0, "an update has no rows");
    let row = RecordBatch::try_from_iter([("1", Arc::new(Int32Array::from(vec![20])) as ArrayRef)]);
    prepared.set_parameters(row.unwrap()).unwrap();
    assert_eq!(prepared.execute_update().await.unwrap(), 5);
    // The same statement with its key writes once.
    client.set_header("idempotency-key", "one insert");
    let insert = "insert into made select * from nation where n_nationkey = 15".to_owned();
    for _ in 0..2 {
        assert_eq!(client.execute_update(insert.clone(), None).await.unwrap(), 1);
    }
    client.set_header("idempotency-key", "another statement");
    let refused = client.execute_update(made, None).await.unwrap_err();
    assert!(refused.to_string().contains("TARGET_EXISTS"), "{refused}");
    client.set_header("idempotency-key", "a count");
    assert_eq!(count(&mut client, "select count(*) from made").await, 16);
}

/// Rows of a large answer.
const ROWS: u64 = 20_000_000;

/// Reads numbers that follow each other, and throws them away. Returns the next one.
async fn drained(client: &mut Client, ticket: Ticket, mut next: u64) -> u64 {
    let mut rows = client.do_get(ticket).await.unwrap();
    while let Some(batch) = rows.try_next().await.unwrap() {
        let column = batch.column(0);
        let values: Vec<u64> = match column.as_primitive_opt::<Int64Type>() {
            Some(column) => column.values().iter().map(|value| value.cast_unsigned()).collect(),
            None => column.as_primitive::<UInt64Type>().values().to_vec(),
        };
        for value in values {
            assert_eq!(value, next);
            next += 1;
        }
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_sent_in_little_memory_and_its_parts_by_gateways_that_did_not_make_it() {
    let setup = Setup::folder(&data(SCALE), FACE);
    let mut fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 2).unwrap();
    let mut first = client(&setup.path().join("gateway.log")).await;
    first.set_header("dunlin-settings", "{\"route\":\"fleet\"}");
    first.set_header("dunlin-wait", "120");
    let sql = format!("select value as n from generate_series(1, {ROWS}) order by n");
    let info = first.execute(sql, None).await.unwrap();
    assert_eq!(info.total_records, i64::try_from(ROWS).unwrap());
    assert!(info.endpoint.len() >= 3, "{}", info.endpoint.len());
    // No worker is there any more when the answer is taken.
    fleet.workers.clear();
    first.set_header("dunlin-wait", "0");
    fleet.gateway.reset_peak();
    let (_, before) = fleet.gateway.usage();
    let mut next = 1;
    for endpoint in &info.endpoint {
        next = drained(&mut first, endpoint.ticket.clone().unwrap(), next).await;
    }
    assert_eq!(next, ROWS + 1);
    let (_, peak) = fleet.gateway.usage();
    let held = peak.saturating_sub(before);
    println!("{} bytes in the store, {held} held", info.total_bytes);
    assert!(held < 128 << 20, "{held} bytes held");

    // The gateway dies after the first part, and another one gives the others.
    let ticket = |part: usize| info.endpoint[part].ticket.clone().unwrap();
    let mut next = drained(&mut first, ticket(0), 1).await;
    fleet.gateway.kill();
    let log = setup.path().join("second.log");
    let (_second, _): (Process, _) = start_gateway(binary(), &setup.config, &log).unwrap();
    let mut second = client(&log).await;
    for part in 1..info.endpoint.len() {
        next = drained(&mut second, ticket(part), next).await;
    }
    assert_eq!(next, ROWS + 1);
}
