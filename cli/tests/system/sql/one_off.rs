//! Statements from the command line, from files and from pipes.

use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use dunlin_cli::fleet::Fleet;

use super::Desk;
use crate::common::objects::until;
use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.05;
const COUNT: &str = "select count(*) as n from lineitem";

fn fleet(workers: usize) -> (Setup, Fleet) {
    let setup = Setup::folder(&data(SCALE), "");
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), workers, 2).unwrap();
    (setup, fleet)
}

#[test]
fn without_a_gateway_and_a_configuration_a_statement_runs_in_the_process() {
    let desk = Desk::new();
    let done = desk.run(&["sql", "select 1 as z, 'x' as a"]);
    assert!(done.err.starts_with("1 row · "), "{done:?}");
    assert!(done.err.contains(" · inline · "), "{done:?}");
    assert_eq!(done.ok(), "{\"z\":1,\"a\":\"x\"}\n");
    let done = desk.run(&["sql", "-q", "--format", "csv", "select 1 as z, null as a"]);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("z,a\n1,\n", ""));
    assert_eq!(desk.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn statements_come_from_arguments_files_and_pipes() {
    let desk = Desk::new();
    let two = "select 1 as n; -- first;\nselect ';' as t;";
    let lines = "{\"n\":1}\n{\"t\":\";\"}\n";
    assert_eq!(desk.run(&["sql", two]).ok(), lines);
    assert_eq!(desk.run(&["sql", "-c", "select 1 as n", "-c", "select ';' as t"]).ok(), lines);
    assert_eq!(desk.fed(&["sql"], two).ok(), lines);
    assert_eq!(desk.fed(&["sql", "-f", "-"], two).ok(), lines);
    desk.file("two.sql", two);
    assert_eq!(desk.run(&["sql", "--file", "two.sql"]).ok(), lines);
    assert_eq!(desk.fed(&["sql"], "\\i two.sql\n\\q\nselect 3;").ok(), lines);
    assert_eq!(desk.fed(&["sql"], " \n-- nothing\n").ok(), "");
}

#[test]
fn parameters_have_the_types_that_they_look_like() {
    let desk = Desk::new();
    let sql = "select $1 + 1 as n, $2 as t, $3 as b, $4 as q, arrow_typeof($5) as nothing";
    let arguments = [
        "sql",
        sql,
        "-p",
        "41",
        "--param",
        "1995-01-01",
        "-p",
        "true",
        "-p",
        "\"7\"",
        "-p",
        "null",
    ];
    assert_eq!(
        desk.run(&arguments).ok(),
        "{\"n\":42,\"t\":\"1995-01-01\",\"b\":true,\"q\":\"7\",\"nothing\":\"Null\"}\n"
    );
}

#[test]
fn a_file_of_answers_has_the_format_of_its_name() {
    let desk = Desk::new();
    let sql = "select * from generate_series(1, 100000) as t(n)";
    desk.run(&["sql", sql, "--output", "n.parquet"]).ok();
    let file = std::fs::File::open(desk.path().join("n.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1 << 20);
    let batches: Vec<RecordBatch> = reader.unwrap().map(Result::unwrap).collect();
    let sum = |batch: &RecordBatch| {
        batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>()
    };
    assert_eq!(batches.iter().map(sum).sum::<i64>(), 5_000_050_000);

    desk.run(&["sql", "select 1 as n; select 2 as n", "-o", "n.tsv"]).ok();
    assert_eq!(std::fs::read_to_string(desk.path().join("n.tsv")).unwrap(), "n\n1\nn\n2\n");

    let arrow =
        desk.command(binary()).args(["sql", "-q", "--format", "arrow", sql]).output().unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(&arrow.stdout[..], None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 100_000);
}

#[test]
fn files_are_tables_where_no_gateway_is() {
    let desk = Desk::new();
    let people = "select * from (values (1, 'Ada', 36), (2, 'Bob', 41)) as t(id, name, age)";
    desk.run(&["sql", people, "-o", "people.parquet"]).ok();
    desk.file("pets.csv", "owner,pet\n1,cat\n2,dog\n2,\"fish, gold\"\n");
    let join = "select name, count(*) as pets from 'people.parquet' join 'pets.csv' on id = owner group by 1 order by 1";
    for route in ["inline", "fleet"] {
        let done = desk.run(&["sql", "--format", "csv", "--route", route, join]);
        assert_eq!(done.ok(), "name,pets\nAda,1\nBob,2\n", "{route}");
    }
    let columns = desk.run(&["sql", "--format", "tsv", "\\d 'people.parquet'"]).ok();
    assert!(columns.starts_with("column\ttype\tnull\nid\tInt64\t"), "{columns}");
    let said = desk.run(&["sql", "select * from 'gone.parquet'"]).failed(1);
    assert!(said.contains("gone.parquet"), "{said}");
}

#[test]
fn a_configuration_gives_tables_and_worker_processes_run_the_tasks() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    let desk = Desk::new();
    let sql = "select l_returnflag, count(*) as n from lineitem group by 1 order by 1";
    let inline = desk.run(&["sql", "--config", &config, "--route", "inline", sql]).ok();
    assert_eq!(inline.lines().count(), 3);
    for more in [&[][..], &["--fleet", "2"]] {
        let arguments = [&["sql", "--config", &config, "--route", "fleet", sql], more].concat();
        let done = desk.run(&arguments);
        assert!(done.err.contains(" · fleet · ") && done.err.contains(" tasks"), "{done:?}");
        assert_eq!(done.ok(), inline);
    }
    assert_eq!(desk.left(), Vec::<std::path::PathBuf>::new());
    assert_eq!(desk.running(), Vec::<String>::new(), "workers end with the command");
}

#[test]
fn a_gateway_is_given_by_a_flag_or_by_the_environment() {
    let (_setup, fleet) = fleet(1);
    let url = fleet.url();
    let by_flag = Desk::new().run(&["sql", "--url", &url, "--route", "fleet", COUNT]);
    assert!(by_flag.err.contains(" · fleet · "), "{by_flag:?}");
    let count = by_flag.ok();
    assert_eq!(Desk::at(&url).run(&["sql", COUNT]).ok(), count);
    let explained = Desk::at(&url).run(&["sql", &format!("explain {COUNT}")]).ok();
    assert!(explained.starts_with("distributed_plan:\n"), "{explained}");
    let analyzed =
        Desk::at(&url).run(&["sql", "--route", "fleet", &format!("explain analyze {COUNT}")]).ok();
    assert!(analyzed.starts_with("analyzed_plan:\nstage 0"), "{analyzed}");
    assert!(analyzed.contains("\ncritical_path: "), "{analyzed}");
    let rows = Desk::at(&url).run(&["sql", "--format", "jsonl", &format!("explain {COUNT}")]).ok();
    assert!(rows.starts_with("{\"plan_type\":"), "{rows}");
}

#[test]
fn a_reader_that_has_enough_ends_the_command_without_an_error() {
    let desk = Desk::new();
    let sql = "select * from generate_series(1, 10000000)";
    let mut child = desk
        .command(binary())
        .args(["sql", "--format", "csv", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    drop(out);
    let done = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), done.status.code()), ("value\n", Some(0)), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[tokio::test]
async fn an_ended_command_leaves_nothing_behind() {
    let desk = Desk::new();
    let sql =
        "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b";
    let mut child = desk
        .command(binary())
        .args(["sql", "--fleet", "1", sql])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Duration::from_secs(60);
    until("a state", patience, || (!desk.left().is_empty()).then_some(())).await;
    // It catches the signal once its gateway listens.
    until("a worker's log", patience, || {
        let folder = desk.left().pop()?;
        std::fs::metadata(folder.join("worker-0.log")).ok().filter(|log| log.len() > 0)
    })
    .await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(desk.left(), Vec::<std::path::PathBuf>::new());
    assert_eq!(desk.running(), Vec::<String>::new());
}

#[tokio::test]
async fn workers_do_not_outlive_a_command_that_is_killed() {
    let desk = Desk::new();
    let sql =
        "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b";
    let mut child = desk.command(binary()).args(["sql", "--fleet", "2", sql]).spawn().unwrap();
    let patience = Duration::from_secs(60);
    until("both workers", patience, || (desk.running().len() == 3).then_some(())).await;
    until("logs of both", patience, || {
        let folder = desk.left().pop()?;
        let has_begun =
            |name: &str| std::fs::metadata(folder.join(name)).is_ok_and(|log| log.len() > 0);
        (has_begun("worker-0.log") && has_begun("worker-1.log")).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    until("no worker", patience, || desk.running().is_empty().then_some(())).await;
}
