//! Requests with mistakes: each is refused with a code, and a text that says what, where, and what to do.

use dunlin_gateway::GatewayOptions;
use serde_json::json;

use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_says_at_which_line_and_column() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for (body, text) in [
        ("{\"sql\": \"select 1\",\n \"tags\": {\"a\": }}", "expected value at line 2 column 16"),
        ("{\"sql\": \"select 1\"", "EOF while parsing an object at line 1 column 18"),
        ("{\"sql\": \"select 1\"} and more", "trailing characters at line 1 column 21"),
        (
            "{\"sql\": \"select 1\", \"sql\": \"select 2\"}",
            "the field sql is given twice at line 1",
        ),
    ] {
        for path in ["/v1/sql", "/v1/queries", "/v1/explain"] {
            let request = gateway.client.post(format!("{}{path}", gateway.url)).body(body);
            let (status, problem) = problem(request).await;
            assert_eq!((status, problem["code"].as_str()), (400, Some("INVALID_REQUEST")));
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with("the body is not a valid request: "), "{detail}");
            assert!(detail.contains(text), "{detail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_named_with_the_nearest_one() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for (field, code, text) in [
        (
            json!({"row_limt": 1}),
            "INVALID_REQUEST",
            "the field row_limt is not known; did you mean row_limit?",
        ),
        (
            json!({"limits": {"max_cost_us": 1}}),
            "INVALID_REQUEST",
            "did you mean limits.max_cost_usd?",
        ),
        (
            json!({"settings": {"target_partition": 1}}),
            "INVALID_SETTING",
            "did you mean settings.target_partitions?",
        ),
        (
            json!({"colour": 1}),
            "INVALID_REQUEST",
            "the field colour is not known; known are sql, parameters,",
        ),
    ] {
        let mut body = json!({"sql": "select 1"});
        body.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let (status, problem) = problem(gateway.submit(&body)).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some(code)));
        assert!(problem["detail"].as_str().unwrap().contains(text), "{problem}");
    }
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_says_which_field_and_both_types() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for (body, text) in [
        (json!({"sql": 1}), "sql must be a string, not a number"),
        (
            json!({"sql": "select 1", "parameters": "1"}),
            "parameters must be an array, not a string",
        ),
        (json!({"sql": "select 1", "dry_run": 1}), "dry_run must be true or false, not a number"),
        (
            json!({"sql": "select 1", "limits": {"max_bytes_scanned": "1 GB"}}),
            "limits.max_bytes_scanned must be a whole number of at least 0, not a string",
        ),
        (json!({"sql": "select 1", "tags": ["a"]}), "tags must be an object, not an array"),
        (json!({}), "the field sql is missing"),
    ] {
        let (status, problem) = problem(gateway.submit(&body)).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("INVALID_REQUEST")));
        assert!(problem["detail"].as_str().unwrap().contains(text), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_of_the_address_is_known_and_of_its_type() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    for path in ["/v1/sql", "/v1/queries", "/v1/explain"] {
        // It would be easy to believe that this waits.
        let request =
            gateway.client.post(format!("{}{path}?wait=5s", gateway.url)).body("select 1");
        let (status, problem) = problem(request).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("INVALID_REQUEST")), "{path}");
    }
    let status = json(gateway.submit(&json!({"sql": "select 1 as n"})).send().await.unwrap()).await;
    let own = format!("/v1/queries/{}", status["query_id"].as_str().unwrap());
    for (path, text) in [
        (format!("{own}?wiat=5s"), "wiat of the address is not known; did you mean wait?"),
        (format!("{own}?wait=5+parsecs"), "is not a wait between 0s and 600s"),
        (format!("{own}/results?part=first"), "part must be a whole number of at least 0"),
        (
            format!("{own}/results?format=xlsx"),
            "format is one of json, jsonl, csv, arrow, parquet, text",
        ),
        (format!("{own}/results?row_limit=-1"), "row_limit must be a whole number of at least 0"),
        (
            format!("{own}/stages?verbose=true"),
            "verbose of the address is not known; known are none",
        ),
        (format!("{own}/links?expires=2h"), "expires must be between 1s and 1h"),
    ] {
        let (status, problem) = problem(gateway.client.get(format!("{}{path}", gateway.url))).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("INVALID_REQUEST")), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(text), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_problem_leads_to_its_page_at_the_same_gateway() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let (_, body) = problem(gateway.sql("selec 1")).await;
    let page = gateway.get(body["type"].as_str().unwrap()).await;
    assert_eq!(page.status(), 200);
    let text = page.text().await.unwrap();
    assert!(text.starts_with("SYNTAX_ERROR\n"), "{text}");
}
