//! Statements by both protocols: answers, parameters, errors, settings, the catalog.

use dunlin_gateway::GatewayOptions;
use tokio_postgres::types::Type;

use super::*;

const TABLE: &str = "location = \"AT/rows.csv\"\nformat = \"csv\"\n";

/// A site with a table of two rows.
fn with_table() -> (tempfile::TempDir, Site) {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("rows.csv"), "number,word,amount\n1,one,1.5\n2,two,\n")
        .unwrap();
    let table = TABLE.replace("AT", &data.path().display().to_string());
    let site = Site::with(&format!("[[tables]]\nname = \"rows\"\n{table}"));
    (data, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_of_one_text_are_answered_in_turn_and_an_error_ends_them() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    assert_eq!(talk.texts("select 1; select ';' as x;; select 3").await.len(), 3);
    assert_eq!(talk.texts(" -- nothing\n;").await.len(), 0);
    let error = talk.client.simple_query("select 1; form x; select 2").await.unwrap_err();
    assert_eq!(state(&error), "42601");
    let place = error.as_db_error().unwrap().position().unwrap();
    assert_eq!(*place, tokio_postgres::error::ErrorPosition::Original(11), "{error:?}");
    assert_eq!(talk.text("select 4").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_sqlstate_and_the_code_of_http() {
    let (_data, site) = with_table();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    for (sql, expected) in [
        ("select nothing from rows", "42703"),
        ("select 1 from nowhere", "42P01"),
        ("select no_such_function(1)", "42883"),
        ("select 1 +", "42601"),
        ("create table t (a int)", "0A000"),
        ("copy rows from stdin", "0A000"),
        ("set no_such_setting = 1", "42704"),
        ("fetch 1 from nobody", "34000"),
        ("declare c cursor for select 1", "25P01"),
        ("select count(*) from rows, pg_catalog.pg_class", "0A000"),
    ] {
        assert_eq!(talk.state(sql).await, expected, "{sql}");
    }
    let error = talk.client.simple_query("select 1 from nowhere").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert!(error.detail().unwrap().contains("PLANNING_FAILED"), "{error:?}");
    assert_eq!(talk.text("select count(*) from rows").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_types_that_the_plan_gives_them() {
    let (_data, site) = with_table();
    let server = site.postgres(GatewayOptions::default()).await;
    let Talk { client, .. } = server.talk().await;
    let sql =
        "select word, amount from rows where number >= $1 and word <> $2 order by number limit $3";
    let statement = client.prepare(sql).await.unwrap();
    assert_eq!(statement.params(), [Type::INT8, Type::TEXT, Type::INT8]);
    let columns: Vec<_> = statement.columns().iter().map(|c| (c.name(), c.type_())).collect();
    assert_eq!(columns, [("word", &Type::TEXT), ("amount", &Type::FLOAT8)]);
    for (least, not, most, expected) in [
        (1i64, "none", 5i64, vec!["one", "two"]),
        (2, "x", 5, vec!["two"]),
        (1, "one", 1, vec!["two"]),
    ] {
        let rows = client.query(&statement, &[&least, &not, &most]).await.unwrap();
        let words: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(words, expected);
    }
    let none: Option<i64> = None;
    assert_eq!(client.query(&statement, &[&none, &"", &1i64]).await.unwrap().len(), 0);
    // A type that the client names wins over the plan's.
    let statement = client.prepare_typed("select $1 as x, $2 as y", &[Type::INT2]).await.unwrap();
    assert_eq!(statement.params(), [Type::INT2, Type::TEXT]);
    let row = client.query_one(&statement, &[&7i16, &"ä"]).await.unwrap();
    assert_eq!((row.get::<_, i16>(0), row.get::<_, &str>(1)), (7, "ä"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_can_run_again_and_errors_end_no_session() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let Talk { client, .. } = server.talk().await;
    let divide = client.prepare_typed("select 10 / $1", &[Type::INT8]).await.unwrap();
    // Sent one after the other without waiting: each has its own answer.
    let (two, zero, five) = (2i64, 0i64, 5i64);
    let (a, b, c) = (
        [&two as &(dyn tokio_postgres::types::ToSql + Sync)],
        [&zero as &(dyn tokio_postgres::types::ToSql + Sync)],
        [&five as &(dyn tokio_postgres::types::ToSql + Sync)],
    );
    let (first, failed, last) = tokio::join!(
        client.query_one(&divide, &a),
        client.query_one(&divide, &b),
        client.query_one(&divide, &c)
    );
    assert_eq!(first.unwrap().get::<_, i64>(0), 5);
    assert_eq!(state(&failed.unwrap_err()), "22000");
    assert_eq!(last.unwrap().get::<_, i64>(0), 2);
    let error = client.prepare("select $1 from nowhere").await.unwrap_err();
    assert_eq!(state(&error), "42P01");
    assert!(client.query("", &[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_failed_waits_for_its_end() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    talk.texts("begin; set local application_name = 'inside'").await;
    assert_eq!(talk.text("show application_name").await, "inside");
    talk.texts("savepoint a").await;
    assert_eq!(talk.state("select 1 +").await, "42601");
    assert_eq!(talk.state("select 1").await, "25P02");
    talk.texts("rollback to a").await;
    assert_eq!(talk.text("select 1").await, "1");
    assert_eq!(talk.state("select 1 +").await, "42601");
    // COMMIT of a failed transaction is a ROLLBACK.
    talk.texts("commit").await;
    assert_eq!(talk.text("show application_name").await, "");
    assert_eq!(talk.text("select 2").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_tables_columns_and_the_session_in_the_catalog() {
    let (_data, site) = with_table();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    let text = async |sql: &str| talk.text(sql).await;
    assert!(text("select version()").await.starts_with("PostgreSQL 16"));
    assert_eq!(text("select current_user").await, "tests");
    assert_eq!(text("select current_setting('server_version_num')").await, "160006");
    assert_eq!(text("select current_database()").await, "dunlin");
    assert_eq!(
        talk.texts(
            "select table_name from information_schema.tables where table_schema = 'public'"
        )
        .await,
        [Some("rows".to_owned())]
    );
    let columns = "select column_name || ' ' || data_type from information_schema.columns where table_name = 'rows' order by ordinal_position";
    assert_eq!(
        talk.texts(columns).await.into_iter().flatten().collect::<Vec<_>>(),
        ["number bigint", "word text", "amount double precision"]
    );
    let class = "select a.attname from pg_catalog.pg_attribute a join pg_catalog.pg_class c on a.attrelid = c.oid where c.relname = 'rows' and a.attnum > 0 order by a.attnum";
    assert_eq!(talk.texts(class).await.len(), 3);
    // As `\dt system.*` asks, and the statement itself.
    let listed = "select c.relname from pg_catalog.pg_class c left join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p') and n.nspname ~ '^(system)$' order by 1";
    let listed: Vec<String> = talk.texts(listed).await.into_iter().flatten().collect();
    assert!(listed.contains(&"queries".to_owned()) && listed.len() == 11, "{listed:?}");
    assert_eq!(text("select count(*) from system.queries").await, "0");
    let at = "select data_type from information_schema.columns where table_schema = 'system' and table_name = 'queries' and column_name = 'submitted_at'";
    assert_eq!(text(at).await, "timestamp with time zone");
    assert_eq!(site.objects(), 0, "looking into the catalog writes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_the_fleet_tells_its_id_at_once_and_its_rows_when_they_are_there() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    let worker = site.worker(Outcome::Rows);
    let asked = talk.texts("set dunlin.route = 'fleet'; select n from (values (1), (2)) t(n)");
    let told = async {
        loop {
            if let Some(query) = talk.query() {
                return query;
            }
            tokio::task::yield_now().await;
        }
    };
    let working = async {
        let query = told.await;
        worker.run(query.clone()).await;
        query
    };
    let (rows, query) = tokio::join!(asked, working);
    assert_eq!(rows.into_iter().flatten().collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    let notices = talk.notices.lock().join("\n");
    assert!(notices.contains(&format!("query {query}: fleet, 5 rows")), "{notices}");
    // The same query over HTTP, at another gateway.
    let other = site.gateway(None, GatewayOptions::default()).await;
    assert_eq!(json(other.get(&format!("/v1/queries/{query}")).await).await["status"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_copied_as_text_and_csv() {
    use futures::TryStreamExt;
    let (_data, site) = with_table();
    let server = site.postgres(GatewayOptions::default()).await;
    let Talk { client, .. } = server.talk().await;
    for (sql, expected) in [
        ("copy rows to stdout", "1\tone\t1.5\n2\ttwo\t\\N\n"),
        (
            "copy (select * from rows) to stdout (format csv, header)",
            "number,word,amount\n1,one,1.5\n2,two,\n",
        ),
        ("copy rows (word) to stdout with csv", "one\ntwo\n"),
    ] {
        let stream = client.copy_out(sql).await.unwrap();
        let parts: Vec<_> = stream.try_collect().await.unwrap();
        let text: Vec<u8> = parts.concat();
        let mut lines: Vec<_> = std::str::from_utf8(&text).unwrap().lines().collect();
        let mut expected: Vec<_> = expected.lines().collect();
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{sql}");
    }
}
