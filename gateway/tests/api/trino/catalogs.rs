//! Lists, `information_schema`, and what the JDBC driver asks.

use dunlin_gateway::GatewayOptions;
use serde_json::{Value, json};

use super::super::site::*;
use super::client::*;

/// A site with two tables; the files of one are missing.
async fn site() -> (Site, Running, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().display();
    std::fs::write(data.path().join("rows.csv"), "zebra,apple\n1,x\n2,y\n").unwrap();
    let table = |name: &str, file: &str| {
        format!("[[tables]]\nname = \"{name}\"\nlocation = \"{at}/{file}\"\nformat = \"csv\"\n")
    };
    let site = Site::with(&(table("orders", "rows.csv") + &table("gone", "gone.csv")));
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    (site, gateway, data)
}

fn column(rows: &[Value], at: usize) -> Vec<&str> {
    rows.iter().map(|row| row[at].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_schemas_tables_and_columns_are_listed() {
    let (_site, gateway, _data) = site().await;
    let all = |rows: Vec<Value>| column(&rows, 0).join(" ");
    assert_eq!(all(rows(&gateway, "SHOW CATALOGS").await), "datafusion system");
    assert_eq!(all(rows(&gateway, "SHOW CATALOGS LIKE 's%'").await), "system");
    assert_eq!(all(rows(&gateway, "SHOW SCHEMAS").await), "information_schema public");
    assert_eq!(
        all(rows(&gateway, "SHOW SCHEMAS FROM system").await),
        "information_schema jdbc metadata runtime"
    );
    assert_eq!(all(rows(&gateway, "SHOW TABLES").await), "gone orders");
    assert_eq!(all(rows(&gateway, "SHOW TABLES FROM datafusion.public LIKE 'o%'").await), "orders");
    let columns = [json!(["zebra", "bigint", "", ""]), json!(["apple", "varchar", "", ""])];
    for sql in ["DESCRIBE orders", "SHOW COLUMNS FROM datafusion.public.orders", "DESC \"orders\";"]
    {
        assert_eq!(rows(&gateway, sql).await, columns, "{sql}");
    }
    assert_eq!(rows(&gateway, "SHOW COLUMNS FROM orders LIKE 'z%'").await, columns[..1]);
    assert!(rows(&gateway, "DESCRIBE information_schema.tables").await.len() > 3);
    let functions = rows(&gateway, "SHOW FUNCTIONS LIKE 'upper'").await;
    assert!(functions.iter().any(|row| row[0] == "upper"), "{functions:?}");
    let made = rows(&gateway, "SHOW CREATE TABLE orders").await;
    assert!(made[0][0].as_str().unwrap().contains("\"zebra\" bigint"), "{made:?}");
    for (sql, wanted) in [
        ("DESCRIBE nothing", "TABLE_NOT_FOUND"),
        ("DESCRIBE gone", "TABLE_NOT_FOUND"),
        ("SHOW TABLES FROM other", "SCHEMA_NOT_FOUND"),
        ("SHOW SCHEMAS FROM other", "CATALOG_NOT_FOUND"),
        ("select * from information_schema.nothing", "TABLE_NOT_FOUND"),
    ] {
        assert_eq!(failed(&gateway, sql).await.0, wanted, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_information_schema_has_the_columns_that_programs_read() {
    let (_site, gateway, _data) = site().await;
    let sql = "SELECT \"column_name\", \"data_type\", UPPER(\"is_nullable\") AS \"is_nullable\", \"comment\" \
         FROM \"information_schema\".\"columns\" WHERE \"table_schema\" = ? AND \"table_name\" = ? ORDER BY \"ordinal_position\" ASC";
    let sql = format!("EXECUTE IMMEDIATE '{sql}' USING 'public', 'orders'");
    assert_eq!(
        rows(&gateway, &sql).await,
        [json!(["zebra", "bigint", "YES", null]), json!(["apple", "varchar", "YES", null])]
    );
    let sql = "select table_name, table_type from information_schema.tables where table_schema = 'public' order by 1";
    let tables = rows(&gateway, sql).await;
    assert_eq!(tables, [json!(["gone", "BASE TABLE"]), json!(["orders", "BASE TABLE"])]);
    assert_eq!(rows(&gateway, "select * from information_schema.views").await, [] as [Value; 0]);
    let sql = "select comment from system.metadata.table_comments where table_name = 'orders'";
    assert_eq!(rows(&gateway, sql).await, [json!([null])]);
    assert_eq!(
        rows(&gateway, "select version() is not null, current_user").await,
        [json!([true, "tester"])]
    );
    let looks = statement(&gateway, "select current_catalog, current_schema")
        .header("x-trino-catalog", "system")
        .header("x-trino-schema", "jdbc");
    assert_eq!(rows_of(&gateway, looks).await, [json!(["system", "jdbc"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jdbc_driver_finds_tables_and_columns() {
    let (_site, gateway, _data) = site().await;
    let sql = "SELECT TABLE_CAT, TABLE_SCHEM, TABLE_NAME, COLUMN_NAME, DATA_TYPE, TYPE_NAME, COLUMN_SIZE, NULLABLE \
         FROM system.jdbc.columns\nWHERE TABLE_SCHEM LIKE 'pub%' ESCAPE '\\' AND TABLE_NAME LIKE 'order_' ESCAPE '\\'\
         \nORDER BY TABLE_CAT, TABLE_SCHEM, TABLE_NAME, ORDINAL_POSITION";
    let begun = posted(&gateway, sql).await;
    let (last, found) = ended(&gateway, begun).await;
    assert_eq!(last.body["columns"][0]["name"], "TABLE_CAT", "as it is written");
    assert_eq!(
        found,
        [
            json!(["datafusion", "public", "orders", "zebra", -5, "bigint", 19, 1]),
            json!(["datafusion", "public", "orders", "apple", 12, "varchar", 2_147_483_647_i64, 1]),
        ]
    );
    let escaped = sql.replace("order_", "order\\_");
    assert_eq!(rows(&gateway, &escaped).await.len(), 0);
    let sql = "SELECT PROCEDURE_CAT, PROCEDURE_SCHEM, PROCEDURE_NAME,\n null, null, null, REMARKS, PROCEDURE_TYPE, SPECIFIC_NAME\nFROM system.jdbc.procedures\nORDER BY PROCEDURE_CAT, PROCEDURE_SCHEM, PROCEDURE_NAME, SPECIFIC_NAME";
    assert_eq!(rows(&gateway, sql).await.len(), 0);
    let types = rows(&gateway, "select type_name from system.jdbc.types order by data_type").await;
    assert!(column(&types, 0).contains(&"timestamp with time zone"), "{types:?}");
    for table in [
        "catalogs",
        "schemas",
        "tables",
        "table_types",
        "udts",
        "super_types",
        "super_tables",
        "attributes",
        "pseudo_columns",
        "procedure_columns",
    ] {
        rows(&gateway, &format!("select * from system.jdbc.{table}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_the_catalog_are_not_read_together() {
    let (_site, gateway, _data) = site().await;
    let sql = "select * from orders, information_schema.tables";
    assert_eq!(failed(&gateway, sql).await, ("NOT_SUPPORTED".to_owned(), 13));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_too_long_for_an_address_is_answered_at_once() {
    let (_site, gateway, _data) = site().await;
    let random = |n: u32| n.wrapping_mul(2_654_435_761).rotate_left(11);
    let names: Vec<String> = (0..1_500).map(|n| format!("'{:08x}'", random(n))).collect();
    let sql = format!(
        "select table_name from information_schema.tables where table_name in ('orders', {})",
        names.join(", ")
    );
    let at_once = posted(&gateway, &sql).await;
    assert_eq!((at_once.next(), &at_once.body["data"]), ("", &json!([["orders"]])));
}
