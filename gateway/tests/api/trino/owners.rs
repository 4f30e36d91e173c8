//! Keys: how they are shown, what they allow, and that a `nextUri` works only for the key that it was given to.

use dunlin_gateway::GatewayOptions;
use dunlin_gateway::auth::Scope;
use serde_json::json;

use super::super::site::*;
use super::client::*;

const KEYS: [(&str, &[Scope]); 3] =
    [("mine", &[Scope::Query]), ("other", &[Scope::Query]), ("admin", &[Scope::Admin])];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_as_bearer_or_as_a_password() {
    let site = Site::new();
    let first = site.keyed(Some(site.worker(Outcome::Rows)), &KEYS).await;
    let second = site.keyed(None, &KEYS).await;
    let refused = posted(&first, "select 1 as n").await;
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("UNAUTHORIZED")));
    for (user, password) in [("mine", "wrong"), ("mine", ""), ("", "")] {
        let shown = statement(&first, "select 1 as n").basic_auth(user, Some(password));
        assert_eq!(reply(shown).await.status, 401);
    }
    let shown = statement(&first, "select 1 as n").basic_auth("anybody", Some("mine"));
    let begun = reply(shown).await;
    assert_eq!(begun.status, 200);
    let get = |next: &str| first.client.get(at(&second, next));
    assert_eq!(reply(get(begun.next())).await.status, 401, "each request shows the key");
    let last = told(|next| get(next).bearer_auth("mine"), begun.next()).await;
    assert_eq!(last.body["data"].as_array().map(Vec::len), Some(5));
    // A password is for Trino's clients only: a browser would send it by itself.
    let sql = first.sql("select 1").basic_auth("anybody", Some("mine"));
    assert_eq!(sql.send().await.unwrap().status().as_u16(), 401);
    // Without keys, everybody is taken.
    let open = site.gateway(None, GatewayOptions::default()).await;
    assert_eq!(posted(&open, "show catalogs").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_do_what_its_scopes_say() {
    let site = Site::new();
    let gateway = site.keyed(None, &KEYS).await;
    let by = |key: &str, sql: &str| statement(&gateway, sql).bearer_auth(key);
    let refused = reply(by("admin", "select 1 as n")).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("FORBIDDEN")));
    let refused = reply(by("mine", "copy (select 1 as n) to 'somewhere.csv'")).await;
    assert_eq!(refused.error(), ("PERMISSION_DENIED", 4));
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_uri_is_useless_with_another_key_and_when_it_is_changed() {
    let site = Site::new();
    let gateway = site.keyed(Some(site.worker(Outcome::Rows)), &KEYS).await;
    for sql in ["select 1 as n", "show tables"] {
        let begun = reply(statement(&gateway, sql).bearer_auth("mine")).await;
        let address = at(&gateway, begun.next());
        for key in ["other", "admin"] {
            let got = reply(gateway.client.get(&address).bearer_auth(key)).await;
            assert_eq!((got.status, &got.body["code"]), (404, &json!("NOT_FOUND")), "{key}");
            let cancelled = reply(gateway.client.delete(&address).bearer_auth(key)).await;
            assert_eq!(cancelled.status, 404);
        }
        let token = address.rfind('/').unwrap() + 1;
        for at in token..address.len() {
            let mut changed = address.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last letter may have bits that say nothing.
            if at + 1 < address.len() {
                let got = reply(gateway.client.get(&changed).bearer_auth("mine")).await;
                assert_eq!(got.status, 404, "letter {at}");
            }
        }
        let get = |next: &str| gateway.client.get(at(&gateway, next)).bearer_auth("mine");
        let got = told(get, begun.next()).await;
        assert_eq!((got.status, &got.body["stats"]["state"]), (200, &json!("FINISHED")));
        let alive = gateway.client.head(&address).bearer_auth("mine").send().await.unwrap();
        assert_eq!(alive.status().as_u16(), 200);
    }
}
