//! Mistakes of statements and of files, through real processes: what went wrong, where, and what to do, in words.

use std::fmt::Write as _;
use std::path::Path;

use dunlin_cli::fleet::Fleet;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::api::Api;
use crate::common::{Setup, binary, data, silent};

/// What the engine writes, and no client should read.
const FOREIGN: &[&str] = &[
    "Error during planning",
    "Schema error",
    "SQL error",
    "Arrow error",
    "Parquet error",
    "Object Store error",
    "Execution error",
    "External error",
    "Internal error",
    "IO error",
    "Resources exhausted",
    "backtrace",
    "DataFusion",
    "ParserError(",
    "Some(",
    "Field {",
];

/// A gateway and a worker over TPC-H tables and those that `more` adds.
fn start(more: impl FnOnce(&Path) -> String) -> (Setup, Fleet, Api) {
    let data = data(0.01);
    let tables = dunlin_cli::tpch::tables_toml(&format!("file://{}/", data.display()));
    let setup = Setup::with(|state| {
        let folder = state.parent().unwrap().join("tables");
        std::fs::create_dir(&folder).unwrap();
        format!("[state]\nlocation = \"file://{}\"\n{tables}{}", state.display(), more(&folder))
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 1).unwrap();
    let api = Api::new(&fleet.url());
    (setup, fleet, api)
}

/// An error of a statement on a route: its status and problem, whose text is nothing of the engine's.
async fn wrong(api: &Api, sql: &str, route: &str) -> (u16, Value) {
    let body = json!({ "sql": sql, "settings": { "route": route } });
    let (status, problem) = api.raw("/v1/sql", &body).await;
    assert!(status >= 400, "{sql}: {problem}");
    let detail = detail(&problem);
    for foreign in FOREIGN {
        assert!(!detail.contains(foreign), "{sql}: {foreign} in {detail}");
    }
    (status, problem)
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap_or_else(|| panic!("no detail: {problem}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_a_statement_is_shown_in_its_place_with_what_is_near() {
    let (_setup, _fleet, api) = start(|_| String::new());
    for (sql, code, says) in [
        ("select o_orderkey fro orders", "SYNTAX_ERROR", "did you mean FROM?"),
        (
            "select * from ordrs",
            "PLANNING_FAILED",
            "there is no table 'ordrs'; did you mean orders?",
        ),
        (
            "select o_orderkye\nfrom orders",
            "PLANNING_FAILED",
            "there is no column 'o_orderkye'; did you mean o_orderkey?",
        ),
        (
            "select summ(o_totalprice) from orders",
            "PLANNING_FAILED",
            "there is no function 'summ'; did you mean sum",
        ),
        (
            "select l_orderkey from lineitem l join lineitem m on l.l_orderkey = m.l_orderkey",
            "PLANNING_FAILED",
            "the column 'l_orderkey' is ambiguous: write l.l_orderkey or m.l_orderkey",
        ),
        ("select round('a', 'b') from orders", "PLANNING_FAILED", "it is called as round("),
        (
            "select o_comment + 1 from orders",
            "PLANNING_FAILED",
            "these types cannot be computed with each other: VARCHAR + BIGINT",
        ),
        (
            "select o_custkey, o_orderkey from orders group by o_custkey",
            "PLANNING_FAILED",
            "'orders.o_orderkey' in SELECT is neither in GROUP BY nor in an aggregate function",
        ),
    ] {
        for route in ["inline", "fleet"] {
            let (status, problem) = wrong(&api, sql, route).await;
            assert_eq!((status, problem["code"].as_str()), (400, Some(code)), "{sql}: {problem}");
            assert!(detail(&problem).contains(says), "{sql}: {}", detail(&problem));
            assert_eq!(problem["retryable"], false);
        }
    }
    let (_, problem) = wrong(&api, "select o_custkey,\n  o_orderkye\nfrom orders", "auto").await;
    assert_eq!(problem["position"], json!({ "line": 2, "column": 3 }));
    let shown = "\nline 2, column 3:\n    o_orderkye\n    ^^^^^^^^^^";
    assert!(detail(&problem).ends_with(shown), "{}", detail(&problem));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_computed_is_named_wherever_the_query_runs() {
    let (_setup, _fleet, api) = start(|_| String::new());
    for (sql, says) in [
        (
            "select sum(1 / (o_orderkey - o_orderkey)) from orders",
            "division by zero; write x / NULLIF(y, 0)",
        ),
        ("select sum(cast(o_orderpriority as int)) from orders", "cannot be converted to INT; "),
        ("select sum(cast(o_orderkey as tinyint)) from orders", "does not fit into TINYINT; "),
    ] {
        for route in ["inline", "fleet"] {
            let (status, problem) = wrong(&api, sql, route).await;
            assert_eq!(
                (status, problem["code"].as_str()),
                (400, Some("EXECUTION_FAILED")),
                "{sql}: {problem}"
            );
            assert!(detail(&problem).contains(says), "{route}: {sql}: {}", detail(&problem));
        }
    }
    let answer = api.sql("select count(*) from orders", &json!({ "route": "fleet" })).await;
    assert_eq!(answer.batches[0].num_rows(), 1, "everything serves");
}

/// Tables with wrong files: no Parquet at all, Parquet with a damaged page, and CSV with a short and a wrong row.
fn wrong_files(folder: &Path) -> String {
    let mut tables = String::new();
    let mut table = |name: &str, format: &str| {
        let place = folder.join(name);
        std::fs::create_dir(&place).unwrap();
        let _ = write!(
            tables,
            "[[tables]]\nname = \"{name}\"\nlocation = \"{}/\"\nformat = \"{format}\"\n",
            place.display()
        );
        place
    };
    let nonsense = table("nonsense", "parquet");
    std::fs::write(nonsense.join("part-0.parquet"), "a text that is long enough for a footer")
        .unwrap();
    let damaged = table("damaged", "parquet");
    let mut bytes = std::fs::read(data(0.01).join("orders/part-0000.parquet")).unwrap();
    // The first column chunks lie here; the footer is at the end.
    bytes[16..4_000].fill(0xA5);
    std::fs::write(damaged.join("part-0.parquet"), bytes).unwrap();
    let short = table("short", "csv");
    std::fs::write(short.join("rows.csv"), "a,b\n1,2\n3\n").unwrap();
    let typed = table("typed", "csv");
    // The type of a column is inferred from its first thousand rows.
    let mut rows = String::from("a,b\n");
    for row in 0..2_000 {
        let _ = writeln!(rows, "{row},{row}");
    }
    rows.push_str("1,many\n");
    std::fs::write(typed.join("rows.csv"), rows).unwrap();
    tables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_file_is_named_with_its_line() {
    let (_setup, _fleet, api) = start(wrong_files);
    for route in ["inline", "fleet"] {
        let (status, problem) = wrong(&api, "select * from nonsense", route).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("PLANNING_FAILED")), "{problem}");
        let says = detail(&problem);
        assert!(says.contains("table nonsense cannot be read: the Parquet file "), "{says}");
        assert!(says.contains("nonsense/part-0.parquet cannot be read: "), "{says}");

        let (status, problem) =
            wrong(&api, "select sum(o_orderkey), max(o_comment) from damaged", route).await;
        assert!(status >= 400, "{problem}");
        assert!(detail(&problem).contains("damaged/part-0.parquet"), "{problem}");

        let (status, problem) =
            wrong(&api, "select count(a), count(b) from typed where b > 5", route).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (400, Some("EXECUTION_FAILED")),
            "{problem}"
        );
        let says = detail(&problem);
        assert!(
            says.contains("typed/rows.csv has 'many' in column 2, which is no BIGINT"),
            "{says}"
        );
        assert!(says.starts_with("record 2001 after the header of the CSV file "), "{says}");
    }
    let (_, problem) = wrong(&api, "select * from short", "auto").await;
    let says = detail(&problem);
    assert!(says.contains("line 3 of the CSV file") && says.contains("has 1 values"), "{says}");
    let answer = api.sql("select count(*) from orders", &json!({ "route": "fleet" })).await;
    assert_eq!(answer.batches[0].num_rows(), 1, "everything serves");
}

/// A server that answers every request as S3 does, with the error that the bucket is named after.
async fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 << 10];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let bucket = request.split(['/', '?', ' ']).nth(2).unwrap_or_default().to_owned();
                let (status, code) = match bucket.as_str() {
                    "missing" => ("404 Not Found", "NoSuchBucket"),
                    "denied" => ("403 Forbidden", "AccessDenied"),
                    _ => ("403 Forbidden", "SignatureDoesNotMatch"),
                };
                let body = format!(
                    "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>no</Message></Error>"
                );
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_used_is_told_with_what_to_do() {
    let endpoint = refusing().await;
    let tables: String = ["missing", "denied", "mistyped"]
        .iter()
        .map(|name| {
            format!(
                "[[tables]]\nname = \"{name}\"\nlocation = \"s3://{name}/t/\"\n[tables.params]\ns3_endpoint = \"{endpoint}\"\ns3_key = \"k\"\ns3_secret = \"s\"\nallow_http = true\n"
            )
        })
        .collect();
    let (_setup, _fleet, api) = start(|_| tables);
    for (table, says) in [
        ("missing", "the bucket does not exist: make it, or mend the location"),
        ("denied", "the credentials may not do this: see docs/security.md"),
        ("mistyped", "the secret key is wrong"),
    ] {
        let (status, problem) = wrong(&api, &format!("select * from {table}"), "auto").await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (503, Some("STORE_UNAVAILABLE")),
            "{problem}"
        );
        let start = format!("table {table} cannot be read: {says} (");
        assert!(detail(&problem).starts_with(&start), "{}", detail(&problem));
    }
}

/// A store that takes a request and never answers is told within seconds, and everything else serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_is_told_within_seconds() {
    let endpoint = silent().await;
    let table = format!(
        "[[tables]]\nname = \"silent\"\nlocation = \"s3://silent/t/\"\n[tables.params]\ns3_endpoint = \"{endpoint}\"\ns3_key = \"k\"\ns3_secret = \"s\"\nallow_http = true\n"
    );
    let (_setup, _fleet, api) = start(|_| table);
    let (asked, inline) = (std::time::Instant::now(), json!({ "route": "inline" }));
    let (silent, other) = tokio::join!(
        wrong(&api, "select * from silent", "auto"),
        api.sql("select count(*) from orders", &inline),
    );
    assert_eq!(other.batches[0].num_rows(), 1);
    let (status, problem) = silent;
    assert_eq!((status, problem["code"].as_str()), (503, Some("STORE_UNAVAILABLE")), "{problem}");
    let says = "table silent cannot be read: the store did not answer in time: check the endpoint, the network and client_timeout";
    assert!(detail(&problem).starts_with(says), "{}", detail(&problem));
    assert!(asked.elapsed() < std::time::Duration::from_secs(40), "{:?}", asked.elapsed());
}
