//! Statements that are answered at once: formats, parameters, errors, EXPLAIN and EXPLAIN ANALYZE.

use std::sync::Arc;

use dunlin_gateway::auth::Scope;
use dunlin_gateway::{GatewayOptions, LocalRunner};
use dunlin_manifest::ids::QueryId;
use serde_json::{Value, json};

use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_query_is_answered_in_every_format_and_leaves_no_trace() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let sql = "select * from (values (1, 'a'), (2, null)) as t(x, y) order by x";
    let response = gateway.sql(sql).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let summary: Value = serde_json::from_str(&header(&response, "dunlin-summary")).unwrap();
    assert_eq!(summary["route"], "inline");
    assert_eq!(summary["rows"], 2);
    let id = header(&response, "dunlin-query-id");
    assert_eq!(json(response).await, json!([{"x": 1, "y": "a"}, {"x": 2, "y": null}]));
    for (accept, body) in [
        ("application/jsonl", "{\"x\":1,\"y\":\"a\"}\n{\"x\":2,\"y\":null}\n"),
        ("text/csv", "x,y\n1,a\n2,\n"),
    ] {
        let response = gateway.sql(sql).header("accept", accept).send().await.unwrap();
        assert!(header(&response, "content-type").starts_with(accept));
        assert_eq!(response.text().await.unwrap(), body);
    }
    let arrow = "application/vnd.apache.arrow.stream";
    let response = gateway.sql(sql).header("accept", arrow).send().await.unwrap();
    let bytes = response.bytes().await.unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
    assert_eq!(gateway.get(&format!("/v1/queries/{id}")).await.status(), 404);
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({"sql": "select $1 + 1 as n, $2 as t", "parameters": [41, "x"]});
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    assert_eq!(json(request.send().await.unwrap()).await, json!([{"n": 42, "t": "x"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_problems_with_a_code_and_a_place() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let (status, body) = problem(gateway.sql("select 1\n form t")).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("SYNTAX_ERROR")));
    assert_eq!(body["position"], json!({"line": 2, "column": 7}), "{body}");
    let (status, body) = problem(gateway.sql("select nothing from nowhere")).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("PLANNING_FAILED")));
    assert_eq!(body["retryable"], false);
    for sql in ["create table t as select 1", "set datafusion.execution.batch_size = 1"] {
        let (status, body) = problem(gateway.sql(sql)).await;
        assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")), "{sql}");
    }
    let divide = "select 1 / x from (select 1 as x union all select 0) t";
    let (status, body) = problem(gateway.sql(divide)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("EXECUTION_FAILED")), "{body}");
    assert_eq!(body["retryable"], false);
    let (status, body) = problem(gateway.sql(&"x".repeat((1 << 20) + 1))).await;
    assert_eq!((status, body["code"].as_str()), (413, Some("SQL_TOO_LARGE")));
    let (status, body) = problem(gateway.sql(&"x".repeat((2 << 20) + 1))).await;
    assert_eq!((status, body["code"].as_str()), (413, Some("BODY_TOO_LARGE")));
    let (status, body) = problem(gateway.sql("{\"sql\": ")).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("INVALID_REQUEST")));
    let (status, body) = problem(gateway.sql("select 1").header("accept", "image/png")).await;
    assert_eq!((status, body["code"].as_str()), (406, Some("NOT_ACCEPTABLE")));
    let body = json!({"sql": "select 1", "settings": {"colour": 1}});
    let (status, body) = problem(gateway.submit(&body)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("INVALID_SETTING")));
    let (status, body) = problem(gateway.submit(&json!({"sql": "explain select 1"}))).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")));
    let get = |path: &str| gateway.client.get(format!("{}{path}", gateway.url));
    assert_eq!(problem(get("/v1/nothing")).await.0, 404);
    assert_eq!(problem(get("/v1/sql")).await.0, 405);
    assert_eq!(problem(get("/v1/queries/not-an-id")).await.1["code"], "NOT_FOUND");
    let unknown = QueryId::new(&site.env);
    for path in ["", "/results"] {
        let (status, body) = problem(get(&format!("/v1/queries/{unknown}{path}"))).await;
        assert_eq!((status, body["code"].as_str()), (404, Some("NOT_FOUND")));
    }
    assert_eq!(problem(get(&format!("/v1/queries/{unknown}?wait=soon"))).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_is_answered_as_rows_and_as_json() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let explained = async |sql: &str| json(gateway.sql(sql).send().await.unwrap()).await;
    let kinds = |rows: &Value| -> Vec<String> {
        sections(rows).iter().map(|(kind, _)| (*kind).to_owned()).collect()
    };
    let rows = explained("explain select 1 as x").await;
    assert_eq!(kinds(&rows), ["distributed_plan", "route", "estimate"]);
    let [(_, plan), (_, route), (_, estimate)] = sections(&rows)[..] else { panic!("{rows}") };
    assert!(plan.contains("\nstage 0: the whole query; 1 task, in the gateway; "), "{plan}");
    assert!(route.starts_with("inline: ") && estimate.contains("no worker is paid for"), "{rows}");
    let rows = explained("explain verbose select 1 as x").await;
    let all = ["logical_plan", "physical_plan", "distributed_plan", "route", "estimate"];
    assert_eq!(kinds(&rows), all);
    let rows = explained("explain format json select 1 as x").await;
    let [(kind, text)] = sections(&rows)[..] else { panic!("{rows}") };
    let parsed: Value = serde_json::from_str(text).unwrap();
    assert_eq!((kind, parsed["stages"][0]["tasks"]["most"].as_u64()), ("json", Some(1)), "{text}");
    assert!(parsed["estimate"]["bytes_scanned"].is_u64() && parsed["route"] == "inline", "{text}");
    let rows = explained("explain (format graphviz) select 1 as x").await;
    let [(kind, text)] = sections(&rows)[..] else { panic!("{rows}") };
    assert!(
        kind == "graphviz" && text.starts_with("digraph ") && text.contains("s0 -> answer"),
        "{text}"
    );
    let rows = explained("explain format mermaid select 1 as x").await;
    let [(kind, text)] = sections(&rows)[..] else { panic!("{rows}") };
    assert!(kind == "mermaid" && text.starts_with("flowchart BT\n"), "{text}");
    let (status, body) = problem(gateway.sql("explain format tree select 1")).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")), "{body}");
    let explain = |route: &str| {
        let body = json!({"sql": "select 1 as x", "settings": {"route": route}});
        gateway.client.post(format!("{}/v1/explain", gateway.url)).json(&body)
    };
    let inline = json(explain("auto").send().await.unwrap()).await;
    assert_eq!((inline["route"].as_str(), inline["stages"].as_u64()), (Some("inline"), Some(0)));
    let fleet = json(explain("fleet").send().await.unwrap()).await;
    assert_eq!((fleet["route"].as_str(), fleet["stages"].as_u64()), (Some("fleet"), Some(1)));
    assert!(fleet["distributed_plan"].as_str().unwrap().contains("stage"));
    assert!(fleet["physical_plan"].is_string() && fleet["route_reason"].is_string());
    assert!(fleet["text"].as_str().unwrap().starts_with("route: fleet (asked for)\nstage 0: "));
    assert_eq!(fleet["stage_graph"][0]["output"]["how"], "answer", "{fleet}");
    assert_eq!(site.objects(), 0);
}

/// The texts of an EXPLAIN by kind.
fn sections(rows: &Value) -> Vec<(&str, &str)> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("no rows: {rows}"));
    rows.iter()
        .map(|row| (row["plan_type"].as_str().unwrap(), row["plan"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_analyze_here_runs_the_query_and_leaves_no_trace() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({
        "sql": "explain analyze select x from (values (1), (2), (3)) as t(x) where x > $1",
        "parameters": [1],
    });
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    let rows = json(request.send().await.unwrap()).await;
    let [(plan, text), (total, all), (route, why)] = sections(&rows)[..] else {
        panic!("three sections: {rows}")
    };
    assert_eq!((plan, total, route), ("analyzed_plan", "total", "route"));
    assert!(text.starts_with("stage 0: the whole query; "), "{text}");
    assert!(text.contains("; in the gateway; 2 rows out; read 0 B scanned; wall "), "{text}");
    assert!(text.contains("metrics=[") && text.contains("output_rows=2"), "{text}");
    assert!(all.starts_with("succeeded; 2 rows in the answer; "), "{all}");
    assert!(why.starts_with("inline: "), "{why}");
    // An error of the query is the error of its analysis.
    let divide = "explain analyze select 1 / x from (select 1 as x union all select 0) t";
    let (status, body) = problem(gateway.sql(divide)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("EXECUTION_FAILED")), "{body}");
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_analyzed_is_refused_and_not_run() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let analyze = json!({"sql": "explain /* the */ analyze select 1"});
    let explain = gateway.client.post(format!("{}/v1/explain", gateway.url)).json(&analyze);
    for request in [
        gateway.submit(&analyze),
        gateway.submit(&analyze).header("idempotency-key", "k"),
        explain,
        gateway.sql("explain (analyze, format pgjson) select 1"),
        gateway.sql("explain (analyze, level summary) select 1"),
        gateway.sql("explain analyze explain analyze select 1"),
        gateway.sql("explain analyze create table t as select 1"),
    ] {
        let (status, body) = problem(request).await;
        assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")), "{body}");
    }
    assert_eq!(site.objects(), 0);
    // The word alone does not make it an analysis.
    let status = json(
        gateway
            .submit(&json!({"sql": "select 'explain analyze' as x", "wait_timeout": "0s"}))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(status["status"], "PENDING");
    let unknown = QueryId::new(&site.env);
    let get = |path: String| gateway.client.get(format!("{}{path}", gateway.url));
    assert_eq!(problem(get(format!("/v1/queries/{unknown}/analyze"))).await.0, 404);
    let id = status["query_id"].as_str().unwrap();
    assert_eq!(problem(get(format!("/v1/queries/{id}/analyze?verbose=very"))).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_analysis_is_given_from_the_records_by_any_gateway() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let keyed = |gateway: &Running| {
        gateway.sql("explain analyze verbose select 1 as n").header("idempotency-key", "k1")
    };
    let one = keyed(&first).send().await.unwrap();
    let id = header(&one, "dunlin-query-id");
    let summary: Value = serde_json::from_str(&header(&one, "dunlin-summary")).unwrap();
    assert_eq!((summary["rows"].as_u64(), summary["tasks"].as_u64()), (Some(5), Some(1)));
    assert_eq!(summary["bytes_scanned"], 11);
    let rows = json(one).await;
    let kinds: Vec<&str> = sections(&rows).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["analyzed_plan", "critical_path", "total", "route", "cost"]);
    let text = sections(&rows)[0].1;
    assert!(
        text.starts_with("stage 0: the whole query; 1 partition; 1 task (1 attempt); 5 rows out, "),
        "{text}"
    );
    assert!(text.contains("; read 11 B scanned + 0 B exchanged; "), "{text}");
    assert!(
        text.contains("\n  task 0 (partitions 0; attempt 0; worker played): 5 rows, "),
        "{text}"
    );
    assert!(text.contains("    PlaceholderRowExec"), "{text}");
    // A retry on another gateway finds the query, and its own text shows that it asks for the analysis.
    let two = keyed(&second).send().await.unwrap();
    assert_eq!(header(&two, "idempotent-replayed"), "true");
    assert_eq!(header(&two, "dunlin-query-id"), id);
    assert_eq!(json(two).await, rows);
    let status = json(second.get(&format!("/v1/queries/{id}")).await).await;
    let path = status["links"]["analyze"].as_str().unwrap();
    assert_eq!(json(second.get(&format!("{path}?verbose=true")).await).await, rows);
    let request = second.client.get(format!("{}{path}", second.url));
    let response = request.header("accept", "text/plain").send().await.unwrap();
    assert!(header(&response, "content-type").starts_with("text/plain"));
    let brief = response.text().await.unwrap();
    assert!(brief.starts_with("stage 0: ") && brief.contains("\ntotal: succeeded; "), "{brief}");
    assert!(!brief.contains("worker played"), "{brief}");
    // The query that was run is the one that was analyzed: its rows exist.
    let results = json(second.get(&format!("/v1/queries/{id}/results")).await).await;
    assert_eq!(results.as_array().unwrap().len(), 5);
    // If records were deleted, the error says so.
    std::fs::remove_dir_all(site.folder.path().join("q")).unwrap();
    let third = site.gateway(None, GatewayOptions::default()).await;
    let (code, body) = problem(third.client.get(format!("{}{path}", third.url))).await;
    assert_eq!((code, body["code"].as_str()), (410, Some("RESULT_EXPIRED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_runs_or_has_failed_is_analyzed_as_far_as_it_came() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({"sql": "explain analyze select 1 as n", "settings": {"route": "fleet"}});
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    let response = request.header("prefer", "wait=1").send().await.unwrap();
    assert_eq!(response.status(), 202);
    let path = format!("{}/analyze", header(&response, "location"));
    let query = QueryId::parse(&header(&response, "dunlin-query-id")).unwrap();
    let text = async |path: &str| {
        let request = gateway.client.get(format!("{}{path}", gateway.url));
        request.header("accept", "text/plain").send().await.unwrap().text().await.unwrap()
    };
    let pending = text(&path).await;
    assert!(pending.contains("; 1 partition; 1 task; none claimed\n"), "{pending}");
    assert!(pending.contains("\ntotal: not ended yet; 1 stage (0 sealed; "), "{pending}");
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query.clone()).await;
    let status = json(gateway.get(&format!("/v1/queries/{query}?wait=30s")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let done = text(&path).await;
    assert!(done.contains("; 1 task (1 attempt); 5 rows out, "), "{done}");
    assert!(done.contains("\nroute: fleet: asked for\n"), "{done}");

    let failing = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let request = failing.sql("explain analyze select 2 as n").header("idempotency-key", "k");
    let (code, body) = problem(request).await;
    assert_eq!((code, body["code"].as_str()), (400, Some("EXECUTION_FAILED")));
    let failed = text(&format!("/v1/queries/{}/analyze", body["query_id"].as_str().unwrap())).await;
    assert!(
        failed.contains("; 0 of 1 task committed (1 attempt, 1 failed or given back)\n"),
        "{failed}"
    );
    assert!(failed.contains("\ntotal: failed (EXECUTION_FAILED); "), "{failed}");
}

/// At a gateway without keys, a browser's requests for pages of other sites are refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_runs_nothing() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let own = gateway.url.clone();
    for (name, value, status) in [
        ("origin", "http://evil.example", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "evil.example", 403),
        ("origin", &own, 200),
        ("sec-fetch-site", "same-origin", 200),
    ] {
        let answer = gateway.sql("select 1").header(name, value).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}: {value}");
    }
    // Where there are keys, a page of another site has none.
    let keyed = site.keyed(None, &[("a", &[Scope::Query])]).await;
    let asked = keyed.sql("select 1").header("origin", "http://evil.example").bearer_auth("a");
    assert_eq!(asked.send().await.unwrap().status().as_u16(), 200);
}
