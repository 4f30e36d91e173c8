//! Tokens of an issuer, through real processes: two gateways, of which one dies, and keys of the issuer that change.

use std::path::Path;

use dunlin_cli::fleet::{Process, start_gateway};
use dunlin_sim::issuer::Issuer;
use serde_json::Value;

use super::site::{ask, dunlin, setup, submission};
use crate::common::binary;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_with_a_token_is_the_same_at_every_gateway_and_keys_of_the_issuer_may_change() {
    let mut issuer = Issuer::start().await.unwrap();
    let setup = setup(&format!(
        "[gateway.oidc]\nissuer = \"{}\"\naudience = \"dunlin\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         scopes_claim = \"scope\"\nworkgroup_claim = \"groups\"\nname_claim = \"email\"\n\
         [[gateway.workgroups]]\nname = \"bi\"\n",
        issuer.url
    ));
    let config = setup.config.display().to_string();
    let told = dunlin(&["validate", "--config", &config]);
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && said.contains("1 key"), "{said}");
    let token = |issuer: &Issuer, person: &str| {
        let mut claims = issuer.claims(person);
        claims["scope"] = "openid dunlin:query".into();
        claims["groups"] = serde_json::json!(["staff", "bi"]);
        issuer.sign(&claims)
    };
    let logs = ["one.log", "other.log"].map(|name| setup.path().join(name));
    let start = |log: &Path| start_gateway(binary(), &setup.config, log).unwrap();
    let (mut one, at_one) = start(&logs[0]);
    let (_other, at_other) = start(&logs[1]);
    let arguments = ["worker", "--config", &config];
    let _worker = Process::start(binary(), &arguments, &setup.path().join("worker.log")).unwrap();
    let http = reqwest::Client::new();
    let begin = async |address, token: Option<&str>| {
        let request = http.post(format!("http://{address}/v1/queries"));
        let (status, body, _) = ask(request.json(&submission("select 41 + 1 as n")), token).await;
        (status, body)
    };
    let (ada, bob) = (token(&issuer, "ada"), token(&issuer, "bob"));
    let (status, begun) = begin(at_one, Some(&ada)).await;
    assert_eq!((status, &begun["status"]), (200, &Value::from("SUCCEEDED")), "{begun}");
    one.kill();

    // Another token of the person, at the gateway that is left.
    let query = begun["query_id"].as_str().unwrap();
    let rows = async |token: &str| {
        let url = format!("http://{at_other}/v1/queries/{query}/results");
        let (status, rows, _) = ask(http.get(url), Some(token)).await;
        (status, rows)
    };
    let (status, body) = rows(&token(&issuer, "ada")).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.to_string().contains("42"), "{body}");
    assert_eq!(rows(&bob).await.0, 404);
    let no_group = issuer.token_with("ada", "scope", "query".into());
    for refused in [None, Some("wrong"), Some(no_group.as_str())] {
        assert_eq!(begin(at_other, refused).await.0, 401);
    }

    // A gateway that starts after the issuer has changed its key knows the new one only.
    issuer.rotate("second").unwrap();
    let (_third, at_third) = start(&setup.path().join("third.log"));
    assert_eq!(begin(at_third, Some(&token(&issuer, "ada"))).await.0, 200);
    assert_eq!(begin(at_third, Some(&ada)).await.0, 401);
    for log in logs {
        let log = std::fs::read_to_string(log).unwrap();
        assert!([&ada, &bob].into_iter().all(|token| !log.contains(token.as_str())), "{log}");
    }
}
