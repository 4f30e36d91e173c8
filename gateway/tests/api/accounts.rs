//! Stages, plan and profile of a query, at any time and from any gateway; the tables; the gateway itself.

use dunlin_gateway::GatewayOptions;
use serde_json::{Value, json};

use super::queries::fleet;
use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_tells_its_plan_its_stages_and_what_they_did() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let body = json!({"sql": "select 1 as n", "tags": {"a": "b"}});
    let status = json(first.submit(&body).send().await.unwrap()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let get =
        async |name: &str| json(second.get(status["links"][name].as_str().unwrap()).await).await;
    let plan = get("plan").await;
    assert_eq!((&plan["sql"], &plan["route"]), (&json!("select 1 as n"), &json!("inline")));
    assert_eq!(plan["columns"], json!([{"name": "n", "type": "Int64", "nullable": false}]));
    assert_eq!(plan["stages"].as_array().unwrap().len(), 1);
    assert!(plan["settings"].as_object().unwrap().len() > 3);
    let url = format!("{}{}", second.url, status["links"]["plan"].as_str().unwrap());
    let text = second.client.get(url).header("accept", "text/plain").send().await.unwrap();
    assert_eq!(Value::from(text.text().await.unwrap()), plan["distributed_plan"]);
    let stages = get("stages").await;
    assert_eq!(stages["status"], "SUCCEEDED");
    let stage = &stages["stages"][0];
    assert_eq!(
        (&stage["state"], &stage["tasks"], &stage["tasks_done"]),
        (&json!("sealed"), &json!(1), &json!(1))
    );
    assert_eq!(
        (&stage["totals"]["rows"], &stage["totals"]["bytes_scanned"]),
        (&json!(5), &json!(11))
    );
    assert_eq!(stage.get("task_list"), None);
    let profile = get("profile").await;
    assert_eq!(profile["tags"], json!({"a": "b"}));
    assert_eq!(profile["critical_path"][0]["stage"], 0);
    let task = &profile["stages"][0]["task_list"][0];
    assert_eq!((&task["worker"], &task["rows"]), (&json!("played"), &json!(5)));
    assert_eq!(profile["receipt"]["tasks"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_of_a_query_that_waits_are_open() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let location = header(&gateway.submit(&fleet()).send().await.unwrap(), "location");
    let stages = json(gateway.get(&format!("{location}/stages")).await).await;
    assert_eq!(stages["status"], "PENDING");
    let stage = &stages["stages"][0];
    assert_eq!(
        (&stage["state"], &stage["tasks"], &stage["attempts"]),
        (&json!("open"), &json!(1), &json!(0))
    );
    assert_eq!(stage.get("totals"), None);
    let profile = json(gateway.get(&format!("{location}/profile")).await).await;
    assert_eq!(profile["critical_path"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_tell_their_columns_and_a_wrong_name_the_nearest() {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().display();
    std::fs::write(data.path().join("rows.csv"), "zebra,apple\n1,x\n2,y\n").unwrap();
    let table = |name: &str, file: &str| {
        format!("[[tables]]\nname = \"{name}\"\nlocation = \"{at}/{file}\"\nformat = \"csv\"\n")
    };
    let site = Site::with(&(table("Orders", "rows.csv") + &table("gone", "gone.csv")));
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let tables = json(gateway.get("/v1/tables").await).await;
    assert_eq!(
        tables,
        json!({"tables": [{"name": "gone", "format": "csv"}, {"name": "orders", "format": "csv"}]})
    );
    let orders = json(gateway.get("/v1/tables/ORDERS").await).await;
    assert_eq!((&orders["name"], &orders["scan_bytes"]), (&json!("orders"), &json!(20)));
    let columns: Vec<_> = orders["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].as_str().unwrap(), column["type"].as_str().unwrap()))
        .collect();
    assert_eq!(columns, [("zebra", "Int64"), ("apple", "Utf8")]);
    let get = |path: &str| gateway.client.get(format!("{}{path}", gateway.url));
    let (status, body) = problem(get("/v1/tables/ordres")).await;
    assert_eq!((status, body["code"].as_str()), (404, Some("NOT_FOUND")));
    assert_eq!(body["detail"], "there is no table 'ordres'; did you mean orders?");
    let (_, body) = problem(get("/v1/tables/x%22%20union")).await;
    assert_eq!(body["detail"], "there is no table 'x\" union'; GET /v1/tables lists them");
    let (status, _) = problem(get("/v1/tables/gone")).await;
    assert!(status == 400 || status == 503, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_parquet_files_tells_what_its_footers_know() {
    let data = tempfile::tempdir().unwrap();
    let column = arrow::array::Int64Array::from(vec![Some(7), None, Some(3)]);
    let batch = arrow::array::RecordBatch::try_from_iter_with_nullable(vec![(
        "n",
        std::sync::Arc::new(column) as arrow::array::ArrayRef,
        true,
    )])
    .unwrap();
    let file = std::fs::File::create(data.path().join("a.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let at = data.path().display();
    let site = Site::with(&format!(
        "[[tables]]\nname = \"t\"\nlocation = \"{at}/a.parquet\"\nformat = \"parquet\"\n"
    ));
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let table = json(gateway.get("/v1/tables/t").await).await;
    assert_eq!(table["rows"]["value"], 3, "{table}");
    let column = &table["columns"][0];
    assert_eq!((&column["min"]["value"], &column["max"]["value"]), (&json!("3"), &json!("7")));
    assert_eq!(column["nulls"]["value"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_what_it_is_and_what_it_allows() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let status = json(gateway.get("/v1/status").await).await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["route_mode"], "auto");
    assert_eq!(
        (&status["limits"]["sql_bytes"], &status["limits"]["wait_ms"]),
        (&json!(1 << 20), &json!(600_000))
    );
    assert_eq!(status["counts"]["clients_waiting"], 0);
    let later = json(gateway.get("/v1/status").await).await;
    assert!(later["uptime_ms"].as_u64() >= status["uptime_ms"].as_u64());
    assert_eq!(later["started_ms"], status["started_ms"]);
}
