#![allow(clippy::unwrap_used)]

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use object_store::ObjectStore;

use super::*;
use crate::tables::config::TableConfig;
use crate::tables::list_filtered;
use crate::tables::recorded::RecordedStore;
use crate::tables::shelf::Shelf;
use crate::tables::table::{Shared, Table};

/// A table of CSV files below `t/`, with these partitions, and one column `v` or what is found.
fn table(more: &str) -> Arc<Table> {
    let text = format!("name = \"t\"\nlocation = \"s3://b/t/\"\nformat = \"csv\"\n{more}");
    let config: TableConfig = toml::from_str(&text).unwrap();
    let shared = Shared { commits: Arc::default(), shelf: Arc::new(Shelf::default()) };
    Arc::new(Table::new(config, Vec::new(), &shared))
}

fn declared(partitions: &str) -> Arc<Table> {
    table(&format!("columns = [\"v INT\"]\npartitions = [{partitions}]"))
}

/// Each file has one row: its number.
async fn store(files: &[String]) -> Arc<RecordedStore> {
    let store = RecordedStore::with([]).await;
    for (number, file) in files.iter().enumerate() {
        store.add(file, &format!("v\n{number}\n")).await;
    }
    store
}

/// The rows of an answer in order. With `filtered`, as the planner lists; without it, every file is listed.
async fn answer(
    table: &Arc<Table>,
    store: &Arc<RecordedStore>,
    sql: &str,
    filtered: bool,
) -> Result<Vec<String>, String> {
    let context = SessionContext::new();
    let url = url::Url::parse("s3://b").unwrap();
    context.register_object_store(&url, Arc::clone(store) as Arc<dyn ObjectStore>);
    let state = context.state();
    context.register_table("t", table.open(&state).await.unwrap()).unwrap();
    let rows = async {
        let logical = state.optimize(&state.create_logical_plan(sql).await?)?;
        if filtered {
            let listed = list_filtered(&logical, &state).await;
            listed.map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        let plan = state.query_planner().create_physical_plan(&logical, &state).await?;
        collect(plan, context.task_ctx()).await
    };
    let batches = rows.await.map_err(|error| error.to_string())?;
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    Ok(lines)
}

fn by_month() -> Vec<String> {
    let file = |n: u32| format!("t/year={}/month={}/{n}.csv", 2023 + n % 3, n / 3 % 12 + 1);
    (0..72).map(file).collect()
}

#[tokio::test]
async fn only_folders_that_may_hold_a_row_are_listed() {
    let mut files = by_month();
    files.push("t/year=__HIVE_DEFAULT_PARTITION__/month=1/n.csv".to_owned());
    let store = store(&files).await;
    let table = declared("\"year INT\", \"month BIGINT\"");
    let null = "t/year=__HIVE_DEFAULT_PARTITION__";
    for (filter, listed) in [
        ("year = 2024", vec!["t/", "t/year=2024"]),
        ("year = 2024 and v > 3", vec!["t/", "t/year=2024"]),
        (
            "year = 2024 and month in (1, 2)",
            vec!["t/", "t/year=2024/", "t/year=2024/month=1", "t/year=2024/month=2"],
        ),
        ("year > 2023 and year <= 2025", vec!["t/", "t/year=2024", "t/year=2025"]),
        (
            "year = 2023 and month = 1 or year = 2025 and month = 12",
            vec![
                "t/",
                "t/year=2023/",
                "t/year=2023/month=1",
                "t/year=2025/",
                "t/year=2025/month=12",
            ],
        ),
        ("year is null", vec!["t/", null]),
        ("year % 2 = 0 and year between 2000 and 2100", vec!["t/", "t/year=2024"]),
        ("year = 1999", vec!["t/"]),
        ("year = 2024 or v = 3", vec!["t"]),
        ("v = 3", vec!["t"]),
        ("true", vec!["t"]),
    ] {
        let sql = format!("select v, year, month from t where {filter}");
        let found = answer(&table, &store, &sql, true).await.unwrap();
        assert_eq!(store.listed(), listed, "{filter}");
        let wanted = answer(&table, &store, &sql, false).await.unwrap();
        assert_eq!(store.listed(), ["t"], "{filter}");
        assert_eq!(found, wanted, "{filter}");
    }
    // A filter over the second level only: the folders above it are opened, and nothing else.
    let sql = "select v from t where month = 3";
    answer(&table, &store, sql, true).await.unwrap();
    let mut wanted = vec!["t/".to_owned(), format!("{null}/")];
    for year in 2023..=2025 {
        wanted.extend([format!("t/year={year}/"), format!("t/year={year}/month=3")]);
    }
    wanted.sort_unstable();
    assert_eq!(store.listed(), wanted);
}

#[tokio::test]
async fn all_scans_of_a_statement_share_one_listing() {
    let store = store(&by_month()).await;
    let table = declared("\"year INT\", \"month BIGINT\"");
    let sql = "select v from t where year = 2023 union all select v from t where year = 2025 and month > 0";
    let found = answer(&table, &store, sql, true).await.unwrap();
    // The second scan asks about months, so years are opened.
    let listed = store.listed();
    assert_eq!(listed.iter().filter(|it| *it == "t/").count(), 1);
    assert!(!listed.iter().any(|it| it.contains("year=2024")), "{listed:?}");
    assert_eq!(found, answer(&table, &store, sql, false).await.unwrap());
    store.listed();
    let sql = "select a.v, (select max(v) from t) from t a where year = 2023 and month = 1";
    let found = answer(&table, &store, sql, true).await.unwrap();
    assert_eq!(store.listed(), ["t"], "one scan wants all files");
    assert_eq!(found, answer(&table, &store, sql, false).await.unwrap());
}

/// Why this is done for declared columns only: a file in any folder may have a column or a type more.
#[tokio::test]
async fn columns_that_are_found_in_files_are_found_in_all_folders() {
    let store = store(&by_month()).await;
    store.add("t/year=2023/month=1/more.csv", "v,z\n1,2\n").await;
    store.add("t/year=x/month=1/a.csv", "v,z\n1,2\n").await;
    let sql = "select * from t where year = '2024' and month = 1";
    let found = table("[csv]\nshort_lines = true");
    let lines = answer(&found, &store, sql, true).await.unwrap();
    assert_eq!(store.listed(), ["t"]);
    // `z` is a column though no file of 2024 has it, and `year` is text though 2024 is a number.
    assert!(lines.iter().any(|line| line.contains("| v  | z | year | month |")), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("2024")).count(), 2, "{lines:?}");
}

const LEAVES: [&str; 21] = [
    "year = 2024",
    "year <> 2023",
    "year is null",
    "year in (2023, 7)",
    "year + 1 > 2024",
    "city = 'a b'",
    "city = 'ü'",
    "city > 'a'",
    "city is not null",
    "city like 'a%'",
    "city = ''",
    "day = date '2024-01-31'",
    "day >= date '2024-02-01'",
    "day is null",
    "v % 2 = 0",
    "v > 20",
    "year = 2024 is not true",
    "coalesce(year, 1) = 1",
    "year > length(city) * 1000",
    "1 / (year - 2023) = 1",
    "city = cast(year as text)",
];

/// Thirty files in folders of all kinds.
fn tree(next: &mut impl FnMut(usize) -> usize) -> Vec<String> {
    let years = ["2023", "2024", "02024", "__HIVE_DEFAULT_PARTITION__"];
    let cities = ["a", "a%20b", "%C3%BC", "__HIVE_DEFAULT_PARTITION__", "x=y", "2024", ""];
    let days = ["2024-01-31", "2024-02-01", "__HIVE_DEFAULT_PARTITION__"];
    let file = |number| {
        let mut parts = vec![
            format!("{}={}", ["year", "YEAR"][next(2)], years[next(4)]),
            format!("city={}", cities[next(7)]),
            format!("day={}", days[next(3)]),
        ];
        if next(3) == 0 {
            parts.rotate_left(1);
        }
        if next(4) == 0 {
            parts.insert(next(4), ["more", "_x=1", "year=1"][next(3)].to_owned());
        }
        if next(12) == 0 {
            parts.insert(next(3), "_hidden".to_owned());
        }
        format!("t/{}/{number}.csv", parts.join("/"))
    };
    (0..30).map(file).collect()
}

/// Any tree, any filter: the rows are those of a listing of everything.
#[tokio::test]
async fn a_sieve_never_changes_an_answer() {
    let mut seed = 7_u64;
    let mut next = move |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % most
    };
    let mut fewer = 0;
    for _ in 0..30 {
        let files = tree(&mut next);
        let store = store(&files).await;
        let table = declared("\"year INT\", \"city TEXT\", \"day DATE\"");
        for _ in 0..10 {
            let mut filter = LEAVES[next(LEAVES.len())].to_owned();
            for _ in 0..next(4) {
                let more = LEAVES[next(LEAVES.len())];
                filter = match next(4) {
                    0 => format!("({filter}) or {more}"),
                    1 => format!("not ({filter}) and {more}"),
                    _ => format!("({filter}) and {more}"),
                };
            }
            let sql = format!("select v, year, city, day from t where {filter}");
            store.listed();
            let found = answer(&table, &store, &sql, true).await;
            fewer += usize::from(store.listed() != ["t"]);
            let wanted = answer(&table, &store, &sql, false).await;
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{filter}\n{files:?}"),
                // A folder that one part of a filter leaves out is not asked another part, which fails.
                (_, Err(wanted)) => {
                    assert!(wanted.contains("Divide by zero"), "{wanted}\n{filter}")
                }
                (Err(found), Ok(_)) => panic!("{found}\n{filter}"),
            }
        }
    }
    assert!(fewer > 100, "{fewer} statements listed less than everything");
}
