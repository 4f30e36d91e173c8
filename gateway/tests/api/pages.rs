//! The description of the API against the router, and the pages that come with the gateway.

use dunlin_gateway::GatewayOptions;
use http::Method;
use serde_json::Value;

use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_described_route_is_there_and_no_other_method_is() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let document = json(gateway.get("/openapi.json").await).await;
    assert_eq!(document["openapi"], "3.1.0");
    let id = "0190a000-0000-7000-8000-000000000000";
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let real = path.replace("{id}", id).replace("{name}", "t").replace("{code}", "INTERNAL");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let url = format!("{}{real}", gateway.url);
            let response = gateway.client.request(method.clone(), url).send().await.unwrap();
            let status = response.status().as_u16();
            let is_described = methods.get(method.as_str().to_lowercase()).is_some();
            routes += usize::from(is_described);
            assert_eq!(status != 405, is_described, "{method} {path} answers {status}");
            let body = response.text().await.unwrap();
            assert!(!body.contains("there is nothing at this path"), "{method} {path}: {body}");
        }
    }
    assert!(routes >= 20, "{routes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_answers_have_the_fields_that_are_described() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let document = json(gateway.get("/openapi.json").await).await;
    let submitted = gateway.submit(&serde_json::json!({"sql": "select 1 as n"})).send().await;
    let status = json(submitted.unwrap()).await;
    let own = format!("/v1/queries/{}", status["query_id"].as_str().unwrap());
    let described = |name: &str, value: &Value| {
        let schema = &document["components"]["schemas"][name];
        let properties = schema["properties"].as_object().unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(field), "{name} has no {field}");
        }
        for field in schema["required"].as_array().unwrap() {
            assert!(value.get(field.as_str().unwrap()).is_some(), "no {field} in {name}: {value}");
        }
    };
    let get = async |path: &str| json(gateway.get(path).await).await;
    described("QueryStatus", &get(&own).await);
    let page = get("/v1/queries").await;
    described("Page", &page);
    described("Brief", &page["queries"][0]);
    described("Parts", &get(&format!("{own}/parts")).await);
    described("Plan", &get(&format!("{own}/plan")).await);
    let stages = get(&format!("{own}/stages")).await;
    described("Stages", &stages);
    described("Stage", &stages["stages"][0]);
    let profile = get(&format!("{own}/profile")).await;
    described("Task", &profile["stages"][0]["task_list"][0]);
    described("Gateway", &get("/v1/status").await);
    described("Fleet", &get("/v1/fleet").await);
    described("Tables", &get("/v1/tables").await);
    described("Problem", &get("/v1/nothing").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_need_no_key_and_load_nothing_from_elsewhere() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let docs = gateway.get("/docs").await;
    assert!(header(&docs, "content-type").starts_with("text/html"));
    let policy = header(&docs, "content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self'"));
    assert!(docs.text().await.unwrap().contains("openapi.json"));
    let page = gateway.get("/errors/GATEWAY_BUSY").await;
    assert!(header(&page, "content-type").starts_with("text/plain"));
    assert!(page.text().await.unwrap().starts_with("GATEWAY_BUSY\n"));
    assert_eq!(gateway.get("/errors/NO_SUCH_CODE").await.status(), 404);
}
