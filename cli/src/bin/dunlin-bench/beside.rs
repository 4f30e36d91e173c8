//! What is measured beside the fleet: DuckDB in a process of its own, and the table of all engines.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::Measure;
use crate::asked::Asked;
use crate::suite::Suite;

/// Reads a statement a line, as a text of JSON, and answers with a measurement a line.
const PROGRAM: &str = r#"
import json, resource, sys, time
import duckdb

folder, threads, tables = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
connection = duckdb.connect(config={"threads": threads})
connection.execute("set enable_progress_bar = false")
connection.execute(f"set temp_directory = '{folder}/../duckdb-spills'")
for table in tables:
    # The smallest tables have files without a row. From these DuckDB takes all of them for empty, and joins them badly.
    kind = "table" if table in ("nation", "region") else "view"
    connection.execute(f"create {kind} {table} as select * from '{folder}/{table}/*.parquet'")


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak():
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


for line in sys.stdin:
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
        file.write("5")
    before, began = cpu(), time.monotonic()
    rows = connection.execute(json.loads(line)).fetchall()
    seconds = time.monotonic() - began
    told = {"seconds": seconds, "cpu_seconds": cpu() - before, "peak_bytes": peak(), "rows": len(rows)}
    print(json.dumps(told), flush=True)
"#;

/// DuckDB over the tables in a folder, which is asked for a statement as a text of JSON.
pub(crate) fn duckdb(python: &Path, suite: Suite, data: &Path, threads: usize) -> Result<Asked> {
    let mut command = Command::new(python);
    command.args(["-c", PROGRAM]).arg(data).args([threads.to_string(), suite.tables().join(",")]);
    Asked::start(&mut command).with_context(|| format!("cannot start {}", python.display()))
}

/// A query on all engines that were asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Engines {
    pub(crate) query: usize,
    pub(crate) duckdb: Option<Measure>,
    pub(crate) single: Option<Measure>,
    pub(crate) inline: Option<Measure>,
    pub(crate) fleet: Measure,
}

/// Prints the seconds of all, and how many times DuckDB's and DataFusion's the fleet takes.
///
/// # Errors
/// Two engines have answered different numbers of rows.
pub(crate) fn print(all: &[Engines]) -> Result<()> {
    println!(
        "\n| query | DuckDB s | DataFusion s | inline s | fleet s | fleet / DuckDB | fleet / DataFusion |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut total = [0.0; 4];
    for of in all {
        let others = [&of.duckdb, &of.single, &of.inline];
        for other in others.into_iter().flatten() {
            anyhow::ensure!(
                other.rows == of.fleet.rows,
                "Q{}: {} rows on the fleet, and {} elsewhere",
                of.query,
                of.fleet.rows,
                other.rows
            );
        }
        let seconds = |of: &Option<Measure>| of.as_ref().map_or(f64::NAN, |run| run.seconds);
        let [duckdb, single, inline] = others.map(seconds);
        let row = [duckdb, single, inline, of.fleet.seconds];
        total.iter_mut().zip(row).for_each(|(total, seconds)| *total += seconds);
        line(&format!("Q{}", of.query), row);
    }
    line("total", total);
    Ok(())
}

fn line(name: &str, [duckdb, single, inline, fleet]: [f64; 4]) {
    let shown = [duckdb, single, inline, fleet, fleet / duckdb, fleet / single]
        .map(|number| if number.is_nan() { "-".to_owned() } else { format!("{number:.2}") });
    println!("| {name} | {} |", shown.join(" | "));
}
