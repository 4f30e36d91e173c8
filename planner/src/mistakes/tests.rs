//! A collection of wrong statements: none of their errors shows what the engine writes, and each first line is recorded.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use dunlin_plan::stores::Stores;

use crate::config::Config;
use crate::{PlanError, Planner, QuerySettings};

/// What the engine writes, and no person should read.
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
    "This feature is not implemented",
    "Resources exhausted",
    "sql parser error",
    "backtrace",
    "DataFusion",
    "caused by",
    "ParserError(",
    "TokenizerError(",
    "Some(",
    "None)",
    "Ident {",
    "Field {",
    "Value(",
    "Int64(",
    "Utf8",
    "Line: ",
    "sqltorel",
    "\\\"",
];

/// A planner over a few small tables, and one that cannot be read.
fn planner(folder: &Path) -> Planner {
    let files = [
        (
            "orders",
            "o_orderkey,o_custkey,o_orderdate,o_totalprice,o_comment\n1,1,2020-01-01,1.5,a\n2,1,2020-01-02,2.5,b\n",
        ),
        ("customer", "c_custkey,c_name,c_acctbal,c_since\n1,x,1.5,2020-01-01T00:00:00\n"),
        ("lineitem", "l_orderkey,l_quantity\n1,2\n"),
    ];
    let mut config = format!("[state]\nlocation = \"file://{}/state\"\n", folder.display());
    for (name, text) in files {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("rows.csv"), text).unwrap();
        let location = folder.join(name).display().to_string();
        let _ = write!(
            config,
            "[[tables]]\nname = \"{name}\"\nlocation = \"{location}/\"\nformat = \"csv\"\n"
        );
    }
    let _ = write!(
        config,
        "[[tables]]\nname = \"broken\"\nlocation = \"{}/broken/\"\nformat = \"parquet\"\n",
        folder.display()
    );
    std::fs::create_dir(folder.join("broken")).unwrap();
    std::fs::write(
        folder.join("broken/part-0.parquet"),
        "this is no such file, whatever its name says",
    )
    .unwrap();
    let file = folder.join("dunlin.toml");
    std::fs::write(&file, config).unwrap();
    let config = Config::load(&file).unwrap();
    let stores = open(&config);
    Planner::open(&config, &stores).unwrap()
}

fn open(config: &Config) -> Stores {
    let io = tokio::runtime::Handle::current();
    config.open_stores(&io).unwrap()
}

async fn wrong(planner: &Planner, sql: &str) -> PlanError {
    let parsed = match planner.parse(sql) {
        Ok(parsed) => parsed,
        Err(error) => return error,
    };
    match planner.plan(&parsed, &[], &QuerySettings::default()).await {
        Err(error) => error,
        Ok(_) => panic!("nothing is wrong with: {sql}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_statements_are_told_in_words_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let planner = planner(folder.path());
    let place = folder.path().display().to_string();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mistakes/corpus.txt");
    let recorded = std::fs::read_to_string(&file).unwrap();
    let mut told = String::new();
    let mut statements = 0;
    for line in recorded.lines() {
        let Some(sql) = line.strip_prefix("> ") else {
            // An error of a statement is written again; all else stays.
            if line.is_empty() || line.starts_with('#') {
                let _ = writeln!(told, "{line}");
            }
            continue;
        };
        statements += 1;
        let error = wrong(&planner, sql).await;
        let text = error.to_string();
        for foreign in FOREIGN {
            assert!(!text.contains(foreign), "{sql}: {foreign} in {text}");
        }
        if let Some((line, column)) = error.position() {
            assert!(text.contains(&format!("line {line}, column {column}:\n")), "{sql}: {text}");
            let mark = text.lines().last().unwrap();
            assert!(mark.trim_start().starts_with('^'), "{sql}: {text}");
        }
        let first = text.lines().next().unwrap().replace(&place, "<data>");
        let first = first.replace(place.trim_start_matches('/'), "<data>");
        let position =
            error.position().map_or_else(String::new, |(line, column)| format!(" {line}:{column}"));
        let _ = writeln!(told, "> {sql}\n{}{position} {first}", error.code());
    }
    assert!(statements >= 60, "{statements}");
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        std::fs::write(&file, &told).unwrap();
        return;
    }
    let changed: Vec<String> = recorded
        .lines()
        .zip(told.lines())
        .filter(|(want, got)| want != got)
        .map(|(want, got)| format!("- {want}\n+ {got}"))
        .collect();
    assert!(
        changed.is_empty() && recorded.lines().count() == told.lines().count(),
        "{}",
        changed.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_shows_the_line_and_marks_the_word() {
    let folder = tempfile::tempdir().unwrap();
    let planner = planner(folder.path());
    let error = wrong(&planner, "select o_custkey,\n       o_orderkye\nfrom orders").await;
    let told = [
        "there is no column 'o_orderkye'; did you mean o_orderkey? (columns: o_orderkey, o_custkey, o_orderdate, o_totalprice, o_comment)",
        "line 2, column 8:",
        "         o_orderkye",
        "         ^^^^^^^^^^",
    ];
    assert_eq!(error.to_string(), told.join("\n"));
    assert_eq!(error.position(), Some((2, 8)));
}
