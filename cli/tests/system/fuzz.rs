//! Statements and bodies that nobody wrote: known ones, mutated. Planning never panics, never overflows a stack and
//! always ends; a gateway answers every body.
//!
//! CI runs a few seconds with one seed. `DUNLIN_FUZZ_MINUTES=10` runs longer, `DUNLIN_FUZZ_SEED` chooses the seed;
//! `just fuzz` does both. A failure prints the text: put it into the library or among the monsters.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dunlin_cli::fleet::start_listening;
use dunlin_cli::tpch;
use dunlin_exact::{Rng, hard_tables};
use dunlin_planner::config::Config;
use dunlin_planner::{Planner, QuerySettings, RouteMode};

use crate::common::{Setup, binary, data};

/// The seed of CI.
const SEED: u64 = 20_261_125;
/// How long CI plans, and how long it sends bodies.
const SHORT: Duration = Duration::from_secs(8);
/// The longest that one text may take: planning has no other bound here.
const PATIENCE: Duration = Duration::from_secs(60);
/// As the gateway's planning threads have.
const STACK: usize = 512 << 20;

/// Words that make trouble more often than others.
const SPICE: &[&str] = &[
    "(",
    ")",
    "((",
    "))",
    ",",
    "*",
    "NULL",
    "NOT",
    "-",
    "::",
    "::int",
    "::text",
    "''",
    "'a'",
    "0",
    "-1",
    "9223372036854775807",
    "1e308",
    "DISTINCT",
    "UNION ALL",
    "EXCEPT",
    "INTERSECT",
    "LATERAL",
    "OVER ()",
    "FILTER (WHERE true)",
    "GROUP BY",
    "ORDER BY 1",
    "LIMIT 0",
    "OFFSET 1",
    "WITH a AS (SELECT 1)",
    "EXISTS (SELECT 1)",
    "IN (SELECT 1)",
    "CASE WHEN",
    "END",
    "[1]",
    "[1:2]",
    "{'a': 1}",
    "unnest([1])",
    "INTERVAL '1' DAY",
    "DATE '2020-01-01'",
    "GROUPING SETS ((), (1))",
    "CUBE (1)",
    "ROLLUP (1)",
    "AT TIME ZONE 'UTC'",
    "JOIN",
    "LEFT JOIN",
    "FULL JOIN",
    "NATURAL JOIN",
    "USING (id)",
    "ON true",
    "VALUES (1)",
    "generate_series(1, 3)",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "QUALIFY true",
    "$1",
    "count(*)",
    "array_agg(1 ORDER BY 1)",
    "nth_value(1, 2)",
];

thread_local! {
    /// The file in which this thread panicked.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn minutes() -> Option<u64> {
    let text = std::env::var("DUNLIN_FUZZ_MINUTES").ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap())
}

fn time() -> Duration {
    minutes().map_or(SHORT, |minutes| Duration::from_secs(60 * minutes))
}

fn seed() -> u64 {
    let text = std::env::var("DUNLIN_FUZZ_SEED").ok().filter(|text| !text.is_empty());
    let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = match (text, minutes()) {
        (Some(text), _) => text.parse().unwrap(),
        (None, Some(_)) => clock(),
        (None, None) => SEED,
    };
    println!("DUNLIN_FUZZ_SEED={seed}");
    seed
}

/// The library's statements and TPC-H's.
fn statements() -> Vec<String> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exact/library");
    let mut files: Vec<_> =
        std::fs::read_dir(library).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        let parts = code.join("\n");
        all.extend(parts.split(";\n").map(|part| part.trim().to_owned()));
    }
    all.extend((1..=22).map(|number| tpch::query(number).unwrap()));
    // The longest are limits of their own, and slow.
    all.retain(|text| !text.is_empty() && text.len() < 4_000);
    all
}

/// Words, numbers, quoted texts and single characters.
fn tokens(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut quoted = false;
    let mut word = false;
    for char in text.chars() {
        let joins = quoted || (word && (char.is_alphanumeric() || char == '_'));
        if char == '\'' {
            if quoted {
                all.last_mut().unwrap().push(char);
            } else {
                all.push(char.into());
            }
            (quoted, word) = (!quoted, false);
            continue;
        }
        match all.last_mut() {
            Some(last) if joins => last.push(char),
            _ if char.is_whitespace() => {}
            _ => all.push(char.into()),
        }
        word = char.is_alphanumeric() || char == '_';
    }
    all
}

/// A statement with a few places changed.
fn mutated(rng: &mut Rng, known: &[Vec<String>]) -> String {
    let mut text = rng.pick(known).clone();
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(text.len() + 1);
        let end = (at + 1 + rng.below(12)).min(text.len());
        match rng.below(8) {
            0 => drop(text.drain(at.min(end)..end)),
            1 => text.insert(at, (*rng.pick(SPICE)).to_owned()),
            2 if at < text.len() => text[at] = (*rng.pick(SPICE)).to_owned(),
            3 if at < text.len() => {
                let other = rng.pick(known);
                text[at].clone_from(rng.pick(other));
            }
            4 => {
                // A piece of another statement.
                let other = rng.pick(known);
                let from = rng.below(other.len());
                let to = (from + 1 + rng.below(20)).min(other.len());
                text.splice(at..at, other[from..to].iter().cloned());
            }
            5 => {
                // The same piece again and again.
                let piece = text[at.min(end)..end].to_vec();
                let most = if rng.one_in(8) { 150 } else { 3 };
                let times = 1 + rng.below(most);
                for _ in 0..times {
                    text.splice(at..at, piece.iter().cloned());
                }
            }
            6 => {
                // A whole statement in the place of a piece.
                let inner = rng.pick(known).join(" ");
                text.splice(at.min(end)..end, ["(".to_owned(), inner, ")".to_owned()]);
            }
            _ if at < text.len() => {
                let other = rng.below(text.len());
                text.swap(at, other);
            }
            _ => {}
        }
        if text.is_empty() {
            text.push("SELECT".to_owned());
        }
    }
    text.join(" ")
}

/// A planner over TPC-H's tables and the library's.
async fn planner(setup: &Setup) -> Planner {
    let text = std::fs::read_to_string(&setup.config).unwrap();
    let config = Config::parse(&text).unwrap();
    let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
    Planner::open(&config, &stores).unwrap()
}

async fn tables() -> Setup {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut extra = String::new();
    for table in hard_tables::tables(scratch).await {
        let slash = if table.location.is_dir() { "/" } else { "" };
        extra += &format!(
            "[[tables]]\nname = \"{}\"\nlocation = \"file://{}{slash}\"\nformat = \"{}\"\n\n",
            table.name,
            table.location.display(),
            table.format
        );
    }
    Setup::folder(&data(0.05), &extra)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planning_a_mutated_statement_never_panics_and_always_ends() {
    let seed = seed();
    let setup = tables().await;
    let planner = planner(&setup).await;
    let known: Vec<_> = statements().iter().map(|text| tokens(text)).collect();
    assert!(known.len() > 500, "{} statements", known.len());
    let (tell, told) = mpsc::channel::<Option<String>>();
    std::panic::set_hook(Box::new(|panic| {
        PANICKED.set(panic.location().map(|place| place.file().to_owned()));
        eprintln!("{panic}");
    }));
    // One thread plans, and says what it is about to plan; a stack that overflows ends the test's process, and
    // the text stands in what was printed last.
    let planning = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let began = Instant::now();
        let (mut planned, mut number) = (0_u64, 0_u64);
        let (mut panics, mut engine) = (Vec::new(), 0_u64);
        while began.elapsed() < time() {
            let mut rng = Rng::of(seed, number);
            number += 1;
            let sql = mutated(&mut rng, &known);
            tell.send(Some(sql.clone())).unwrap();
            let route = if rng.one_in(2) { RouteMode::Fleet } else { RouteMode::Inline };
            let settings = QuerySettings { route: Some(route), ..QuerySettings::default() };
            let work = async {
                let parsed = planner.parse(&sql).ok()?;
                planner.plan(&parsed, &[], &settings).await.ok()
            };
            match std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work))) {
                Ok(done) => planned += u64::from(done.is_some()),
                // The engine has defects of its own; a gateway lives on.
                Err(_) if PANICKED.take().is_some_and(|file| file.contains("/datafusion-")) => {
                    println!("the engine panicked: {sql}");
                    engine += 1;
                }
                Err(_) => panics.push(sql),
            }
        }
        tell.send(None).unwrap();
        (number, planned, panics, engine)
    };
    let thread =
        std::thread::Builder::new().name("planning".to_owned()).stack_size(STACK).spawn(planning);
    let watched = tokio::task::spawn_blocking(move || {
        let mut last = String::new();
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(Some(sql)) => last = sql,
                Ok(None) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("planning takes over {PATIENCE:?}: {last}")
                }
            }
        }
    });
    watched.await.unwrap();
    let (number, planned, panics, engine) = thread.unwrap().join().unwrap();
    println!("{number} statements, {planned} of them planned, {engine} panics of the engine");
    assert!(engine <= 2 + number / 1_000, "the engine panics at one in a thousand statements");
    assert!(planned > number / 50, "{planned} of {number} were planned: mutations are too wild");
    assert!(panics.is_empty(), "{} panics:\n{}", panics.len(), panics.join("\n--\n"));
}

/// A body with a few bytes changed.
fn mutated_body(rng: &mut Rng, known: &[&str]) -> Vec<u8> {
    let mut body = rng.pick(known).as_bytes().to_vec();
    for _ in 0..1 + rng.below(5) {
        let at = rng.below(body.len().max(1));
        match rng.below(6) {
            0 if !body.is_empty() => drop(body.remove(at)),
            1 => body.insert(at.min(body.len()), *rng.pick(b"{}[]\",:\\0-9eE.u\0\x80\xff n")),
            2 if !body.is_empty() => body[at] = u8::try_from(rng.below(256)).unwrap(),
            3 => {
                let other = rng.pick(known).as_bytes();
                let from = rng.below(other.len());
                let to = (from + rng.below(30)).min(other.len());
                let at = at.min(body.len());
                body.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let at = at.min(body.len());
                let end = (at + 8).min(body.len());
                let piece = body[at..end].to_vec();
                for _ in 0..rng.below(200) {
                    body.splice(at..at, piece.iter().copied());
                }
            }
            _ => body.truncate(at),
        }
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_answers_every_mutated_body() {
    const BODIES: &[&str] = &[
        r#"{"sql": "SELECT $1 AS a, $2 AS b", "parameters": [1, "x"], "settings": {"route": "inline"}, "wait_timeout": "5s"}"#,
        r#"{"sql": "SELECT 1", "parameters": [null, true, -1.5e3, "ä\u00e4\ud83e\udd80"], "settings": {"target_partitions": 3, "task_bytes": 0}}"#,
        r#"{"sql": "SELECT 'a''b', \"c\" FROM (VALUES (1)) v(\"c\")", "settings": {}}"#,
        r#"{"sql": "", "parameters": null, "settings": null, "wait_timeout": null}"#,
        "SELECT 1 AS x",
    ];
    let seed = seed();
    let setup =
        Setup::with(|state| format!("[state]\nlocation = \"file://{}\"\n", state.display()));
    let config = setup.config.display().to_string();
    let log = setup.path().join("run.log");
    let arguments = ["run", "--config", &config, "--workers", "1"];
    let (mut process, address) = start_listening(binary(), &arguments, &log).unwrap();
    let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < time() {
        let mut rng = Rng::of(seed, number);
        number += 1;
        let body = mutated_body(&mut rng, BODIES);
        let path = *rng.pick(&["/v1/sql", "/v1/sql", "/v1/explain"]);
        let kind =
            *rng.pick(&["application/json", "text/plain", "application/x-www-form-urlencoded"]);
        let request = http.post(format!("http://{address}{path}")).body(body.clone());
        let text = String::from_utf8_lossy(&body).into_owned();
        let response = request.header("content-type", kind).send().await;
        let response = response.unwrap_or_else(|error| panic!("{path} {kind} {text}: {error:?}"));
        let status = response.status();
        let said = response.text().await.unwrap();
        assert!(
            status.is_success() || said.contains("\"code\""),
            "{path} {kind} {text}: {status} {said}"
        );
        assert!(!said.contains("\"INTERNAL\""), "{path} {kind} {text}: {said}");
    }
    assert!(process.is_running());
    println!("{number} bodies");
}
