//! What goes wrong: the exit code, and words that help.

use super::Desk;

#[test]
fn a_statement_that_is_no_sql_is_shown_with_the_place() {
    let desk = Desk::new();
    let said = desk.run(&["sql", "select 1;\nselect 2\n  fro m x y;"]).failed(1);
    assert!(said.contains("error: [SYNTAX_ERROR] "), "{said}");
    assert!(said.contains("\nline 3, column 7:\n    fro m x y\n        ^\n"), "{said}");
    let said = desk.run(&["sql", "select 1; select * from nowhere"]).failed(1);
    assert!(said.contains("\nline 1, column 25:\n"), "{said}");
    desk.file("bad.sql", "\n\nselect 'open");
    let said = desk.run(&["sql", "-f", "bad.sql"]).failed(1);
    assert!(said.contains("[SYNTAX_ERROR]"), "{said}");
}

#[test]
fn a_script_stops_at_its_first_error() {
    let desk = Desk::new();
    let done = desk.run(&["sql", "-q", "select 1 as a; select * from nowhere; select 3 as b"]);
    assert_eq!(done.out, "{\"a\":1}\n");
    let said = done.failed(1);
    assert!(said.contains("nowhere"), "{said}");
    assert!(!said.contains("DataFusion"), "{said}");
}

#[test]
fn a_time_of_day_among_dates_is_an_error_and_not_dropped() {
    let desk = Desk::new();
    let dates = "2024-02-29\n".repeat(1_200);
    desk.file("dates.csv", &format!("at\n{dates}2024-03-01\n"));
    desk.file("times.csv", &format!("at\n{dates}2024-03-01 10:30:00\n"));
    for route in ["inline", "fleet"] {
        let sql =
            "select max(at) as m, count(*) as n from 'dates.csv' where at > date '2024-01-01'";
        let done = desk.run(&["sql", "-q", "--route", route, sql]).ok();
        assert_eq!(done, "{\"m\":\"2024-03-01\",\"n\":1201}\n");
        let said =
            desk.run(&["sql", "--route", route, "select max(at) from 'times.csv'"]).failed(1);
        assert!(said.contains("2024-03-01 10:30:00"), "{said}");
    }
}

#[test]
fn a_missing_file_and_a_wrong_configuration_are_named() {
    let desk = Desk::new();
    let said = desk.run(&["sql", "-f", "gone.sql"]).failed(1);
    assert!(said.contains("error: cannot read gone.sql: No such file"), "{said}");
    let said = desk.run(&["sql", "--config", "gone.toml", "select 1"]).failed(1);
    assert!(said.contains("gone.toml"), "{said}");
    desk.file("bad.toml", "[state]\nplace = 1\n");
    let said = desk.run(&["sql", "--config", "bad.toml", "select 1"]).failed(1);
    assert!(said.contains("bad.toml") && said.contains("place"), "{said}");
    let said = desk.run(&["sql", "select 1", "-o", "no/such/folder.csv"]).failed(1);
    assert!(said.contains("cannot write no/such/folder.csv"), "{said}");
    desk.file("memory.toml", "[state]\nlocation = \"memory://\"\n");
    let said = desk.run(&["sql", "--config", "memory.toml", "--fleet", "1", "select 1"]).failed(1);
    assert!(said.contains("--fleet needs a state"), "{said}");
    assert_eq!(desk.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_gateway_that_is_not_there_is_said_to_be_so() {
    let desk = Desk::at("http://127.0.0.1:9");
    let said = desk.run(&["sql", "select 1"]).failed(1);
    assert!(said.starts_with("error: no gateway answers at http://127.0.0.1:9: "), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    let said = desk.run(&["query", "status", "01a1fc81-6aeb-7ef6-9357-bfc83fbdd0a7"]).failed(1);
    assert!(said.starts_with("error: no gateway answers at"), "{said}");
    let said = desk.run(&["sql", "--url", "nonsense", "select 1"]).failed(1);
    assert!(said.contains("\"nonsense\" is not a URL"), "{said}");
}

#[test]
fn a_wrong_command_line_is_wrong_usage() {
    let desk = Desk::new();
    for arguments in [
        &["sql", "select 1", "-c", "select 2"][..],
        &["sql", "--format", "orc", "select 1"],
        &["sql", "--url", "http://x", "--config", "c", "select 1"],
        &["sql", "--format", "parquet", "select 1; select 2"],
        &["query", "results"],
    ] {
        let said = desk.run(arguments).failed(2);
        assert!(said.contains("error: "), "{said}");
    }
    let said = desk.fed(&["sql"], "\\nope\n").failed(1);
    assert!(said.contains("there is no command \\nope"), "{said}");
    desk.file("self.sql", "\\i self.sql\n");
    let said = desk.run(&["sql", "-f", "self.sql"]).failed(1);
    assert!(said.contains("included by itself"), "{said}");
}

#[test]
fn what_fails_while_it_runs_is_an_error_and_leaves_no_file() {
    let desk = Desk::new();
    desk.file("old.csv", "old\n");
    let sql = "select 1 / (n - 5) as x from generate_series(1, 10) as t(n)";
    let said = desk.run(&["sql", sql, "-o", "old.csv"]).failed(1);
    assert!(said.contains("[EXECUTION_FAILED]"), "{said}");
    assert_eq!(std::fs::read_to_string(desk.path().join("old.csv")).unwrap(), "old\n");
}
