//! Files of every format, in every form that a table may have, hold the same rows: the fleet's answers over each equal
//! one DataFusion process over the Parquet file that they were written from.

use std::fmt::Write as _;
use std::path::Path;

use crate::bench::{Bench, Outcome};
use crate::engines::ENGINE;
use crate::place::TableOf;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

/// Rows with everything that formats have trouble with.
const ROWS: &str = "select column1 as id, column2 as name, column3 as amount, column4::date as day, column5 as flag \
    from (values \
    (1, 'plain', 1.5, '2024-01-31', true), (2, 'two\nlines', -3.25, '2024-02-29', false), \
    (3, 'comma, quote \" and ''', 0.1, '2023-12-31', null), (4, null, null, null, true), \
    (5, 'ü ✓ 漢字', 1e100, '1969-07-20', false), (6, 'plain', 2.25, '2024-01-31', true), \
    (7, '  spaces  ', -0.5, '2024-03-01', true), (8, 'tab\there', 7.75, '2024-03-01', null))";

const QUERIES: &[&str] = &[
    "select id, name, amount, day, flag from {} order by id",
    "select count(*) a, count(name) b, count(flag) c, sum(amount) d, min(day) e, max(name) f from {}",
    "select name, count(*) n, avg(amount) a from {} group by name order by n desc, name",
    "select day from {} where day >= date '2024-01-01' and amount > -1 order by day, id",
    "select a.id, b.name from {} a join base b on a.id = b.id and a.flag = b.flag order by a.id",
    "select id, sum(amount) over (order by id) s from {} order by id limit 5",
    "select count(*) from {} where name like '%n%'",
];

async fn write(context: &SessionContext, folder: &Path, name: &str, options: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let sql = format!("copy (select * from base order by id) to '{}' {options}", path.display());
    context.sql(&sql).await.unwrap().collect().await.unwrap();
}

/// Writes every form, and returns the tables' entries with their names.
async fn forms(folder: &Path) -> (String, Vec<&'static str>) {
    let context = SessionContext::new();
    let base = folder.join("base.parquet");
    let rows = context.sql(ROWS).await.unwrap();
    rows.write_parquet(base.to_str().unwrap(), Default::default(), None).await.unwrap();
    context
        .register_parquet("base", base.to_str().unwrap(), ParquetReadOptions::default())
        .await
        .unwrap();
    let texts = "columns = [\"id BIGINT\", \"name TEXT\", \"amount DOUBLE\", \"day DATE\", \"flag BOOLEAN\"]";
    let mut toml = String::new();
    let mut names = Vec::new();
    let mut table = |name: &'static str, location: String, more: &str| {
        let location = format!("{}/{location}", folder.display());
        writeln!(toml, "[[tables]]\nname = \"{name}\"\nlocation = \"{location}\"\n{more}\n")
            .unwrap();
        names.push(name);
    };
    for (compression, ending) in
        [("uncompressed", ""), ("gzip", ".gz"), ("zstd", ".zst"), ("bzip2", ".bz2"), ("xz", ".xz")]
    {
        let options = format!(
            "stored as csv options ('format.has_header' 'true', 'format.compression' '{compression}')"
        );
        write(&context, folder, &format!("csv{ending}/rows.csv{ending}"), &options).await;
        let options = format!("stored as json options ('format.compression' '{compression}')");
        write(&context, folder, &format!("json{ending}/rows.json{ending}"), &options).await;
    }
    table("csv_plain", "csv/".to_owned(), "format = \"csv\"");
    table("csv_gz", "csv.gz/rows.csv.gz".to_owned(), "");
    table("csv_zst", "csv.zst/*.csv.zst".to_owned(), texts);
    table("csv_bz2", "csv.bz2/".to_owned(), "format = \"csv\"");
    table("csv_xz", "csv.xz/rows.csv.xz".to_owned(), "");
    table("json_plain", "json/".to_owned(), &format!("format = \"json\"\n{texts}"));
    table("json_gz", "json.gz/rows.json.gz".to_owned(), texts);
    table("json_zst", "json.zst/".to_owned(), &format!("format = \"json\"\n{texts}"));
    json_arrays(folder);
    table(
        "json_array",
        "array/".to_owned(),
        &format!("format = \"json\"\n{texts}\n[tables.json]\narray = true"),
    );
    write(&context, folder, "arrow/rows.arrow", "stored as arrow").await;
    table("arrow_file", "arrow/rows.arrow".to_owned(), "");
    let options = "stored as csv options ('format.has_header' 'false', 'format.delimiter' '|', 'format.null_value' 'NA')";
    write(&context, folder, "own/rows.txt", options).await;
    let own = format!(
        "format = \"csv\"\n{texts}\n[tables.csv]\nheader = false\ndelimiter = \"|\"\nnull = [\"NA\"]"
    );
    table("csv_own", "own/rows.txt".to_owned(), &own);
    write(
        &context,
        folder,
        "tabs/rows.tsv",
        "stored as csv options ('format.has_header' 'true', 'format.delimiter' '\t')",
    )
    .await;
    table("csv_tabs", "tabs/rows.tsv".to_owned(), "");
    write(&context, folder, "list/b.parquet", "stored as parquet").await;
    table("parquet_list", "list".to_owned(), "");
    (toml, names)
}

fn json_arrays(folder: &Path) {
    let lines = std::fs::read_to_string(folder.join("json/rows.json")).unwrap();
    let objects: Vec<&str> = lines.lines().collect();
    std::fs::create_dir_all(folder.join("array")).unwrap();
    for (number, half) in objects.chunks(3).enumerate() {
        // An object of several lines, as people and programs write them.
        let text = format!("[{}]\n", half.join(",\n").replace("\":", "\":\n  "));
        std::fs::write(folder.join(format!("array/{number}.json")), text).unwrap();
    }
}

/// Compares the answers over every form with those over the Parquet file.
///
/// # Panics
/// An answer differs.
pub async fn run(scratch: &Path) {
    let folder = tempfile::tempdir_in(scratch).unwrap();
    let (toml, names) = forms(folder.path()).await;
    let base = TableOf::parquet("base", &folder.path().join("base.parquet"));
    let bench = Bench::with_entries(&[base], ENGINE, &toml).await;
    for query in QUERIES {
        let wanted = as_text(bench.single(&query.replace("{}", "base"), 2).await, query);
        for name in &names {
            same(&bench, &query.replace("{}", name), &wanted).await;
        }
    }
}

/// Folders named `year=2024/month=01`: their columns are typed, may be NULL, and choose files.
///
/// # Panics
/// An answer differs.
pub async fn run_folders(scratch: &Path) {
    let folder = tempfile::tempdir_in(scratch).unwrap();
    let context = SessionContext::new();
    let mut all = Vec::new();
    for (year, month, ids) in [
        ("2023", "12", "1..3"),
        ("2024", "01", "3..6"),
        ("2024", "1", "6..7"),
        ("2024", "10", "7..9"),
        ("__HIVE_DEFAULT_PARTITION__", "02", "9..11"),
    ] {
        let (from, to) = ids.split_once("..").unwrap();
        let path = folder.path().join(format!("t/year={year}/month={month}/r.parquet"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let rows = format!("select value as id, 'n%20' || value as name from range({from}, {to})");
        let rows = context.sql(&rows).await.unwrap();
        rows.write_parquet(path.to_str().unwrap(), Default::default(), None).await.unwrap();
        let year = if year.starts_with('_') { "null" } else { year };
        all.push(format!(
            "select value as id, 'n%20' || value as name, cast({year} as bigint) as year, {month} as month from range({from}, {to})"
        ));
    }
    // What a writer has not finished is no row.
    let unfinished = folder.path().join("t/year=2024/_temporary/month=1");
    std::fs::create_dir_all(&unfinished).unwrap();
    std::fs::copy(
        folder.path().join("t/year=2023/month=12/r.parquet"),
        unfinished.join("r.parquet"),
    )
    .unwrap();
    std::fs::write(folder.path().join("t/_SUCCESS"), "x").unwrap();
    let flat = context.sql(&all.join(" union all ")).await.unwrap();
    let base = folder.path().join("base.parquet");
    flat.write_parquet(base.to_str().unwrap(), Default::default(), None).await.unwrap();
    let at = folder.path().display();
    let toml = format!(
        "[[tables]]\nname = \"found\"\nlocation = \"{at}/t/\"\n[[tables]]\nname = \"said\"\nlocation = \"{at}/t/\"\npartitions = [\"year BIGINT\", \"month BIGINT\"]\n[[tables]]\nname = \"matched\"\nlocation = \"{at}/t/**/*.parquet\"\n"
    );
    let bench = Bench::with_entries(&[TableOf::parquet("base", &base)], ENGINE, &toml).await;
    for query in [
        "select id, name, year, month from {} order by id",
        "select count(*) a, count(year) b, min(year) c, max(year) d, count(month) e from {}",
        "select year, month, count(*) n from {} group by year, month order by year nulls first, month",
        "select id from {} where year = 2024 and month = 1 order by id",
        "select id from {} where month = 1 or year is null order by id",
        "select id from {} where not (year = 2024) order by id",
        "select id from {} where year is not null and id > 4 order by id",
        "select id from {} where year in (2023, 2025) or name = 'n%208' order by id",
        "select count(*) from {} where year = 1999",
        "select a.id from {} a join base b on a.year = b.year and a.month = b.month and a.id = b.id order by 1",
        "select year from {} order by year desc nulls last limit 3",
        "select distinct month from {} order by 1",
    ] {
        let wanted = as_text(bench.single(&query.replace("{}", "base"), 2).await, query);
        for name in ["found", "said", "matched"] {
            same(&bench, &query.replace("{}", name), &wanted).await;
        }
    }
}

async fn same(bench: &Bench, sql: &str, wanted: &str) {
    for partitions in [1, 3] {
        let uncut = as_text(bench.uncut(sql, partitions).await, &format!("uncut: {sql}"));
        assert_eq!(uncut, wanted, "uncut: {sql}");
        let fleet = as_text(bench.fleet(sql, partitions).await, &format!("fleet: {sql}"));
        assert_eq!(fleet, wanted, "fleet: {sql}");
    }
}

/// Rows as text: formats differ in which of two types for text, and of which number type, they have.
fn as_text(outcome: Outcome, what: &str) -> String {
    match outcome {
        Outcome::Rows(rows) => {
            arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
        }
        other => panic!("{what}: {other:?}"),
    }
}
