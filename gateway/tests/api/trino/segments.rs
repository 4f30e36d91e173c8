//! Rows in segments: the rows that there are without, from any gateway, and for their client only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dunlin_gateway::GatewayOptions;
use dunlin_gateway::auth::Scope;
use reqwest::{RequestBuilder, header::HeaderValue};
use serde_json::{Value, json};

use super::super::site::*;
use super::client::*;

const ENCODING: &str = "x-trino-query-data-encoding";
const PASS: &str = "x-dunlin-pass";
/// Enough for a first page, for a page of several segments, and for one more.
const ROWS: i64 = 2_500_000;
const KEYS: [(&str, &[Scope]); 3] =
    [("mine", &[Scope::Query]), ("other", &[Scope::Query]), ("admin", &[Scope::Admin])];

fn segments(page: &Reply) -> &[Value] {
    page.body["data"]["segments"].as_array().map_or(&[][..], Vec::as_slice)
}

/// The rows in the bytes of a segment, as a client reads them.
fn decoded(encoding: &str, segment: &Value, bytes: &[u8]) -> Vec<Value> {
    let told = &segment["metadata"];
    let size = |name: &str| told[name].as_u64().map(|size| usize::try_from(size).unwrap());
    assert_eq!(size("segmentSize"), Some(bytes.len()));
    let json = match (encoding, size("uncompressedSize")) {
        (_, None) => bytes.to_vec(),
        ("json+zstd", Some(size)) => zstd::bulk::decompress(bytes, size).unwrap(),
        ("json+lz4", Some(size)) => lz4_flex::block::decompress(bytes, size).unwrap(),
        (other, Some(_)) => panic!("{other} is not compressed"),
    };
    assert_eq!(json.len(), size("uncompressedSize").unwrap_or(bytes.len()));
    let rows: Vec<Value> = serde_json::from_slice(&json).unwrap();
    assert_eq!(told["rowsCount"], rows.len());
    rows
}

/// The bytes of a segment, which a gateway gives if they are not in the answer.
async fn bytes(gateway: &Running, segment: &Value) -> Vec<u8> {
    if segment["type"] == "inline" {
        return STANDARD.decode(segment["data"].as_str().unwrap()).unwrap();
    }
    let address = at(gateway, segment["uri"].as_str().unwrap());
    let mut request = gateway.client.get(address);
    for (name, values) in segment["headers"].as_object().unwrap() {
        request = request.header(name, values[0].as_str().unwrap());
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let is_packed = !segment["metadata"]["uncompressedSize"].is_null();
    let kind = if is_packed { "application/octet-stream" } else { "application/json" };
    assert_eq!(header(&response, "content-type"), kind);
    response.bytes().await.unwrap().to_vec()
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_answer_is_one_segment_in_the_answer() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    for sql in ["select 1 as n", "show catalogs", "explain select 1 as n"] {
        let wanted = rows(&gateway, sql).await;
        for encoding in ["json", "json+zstd", "json+lz4"] {
            let begun = reply(statement(&gateway, sql).header(ENCODING, encoding)).await;
            assert_eq!(begun.body.get("data"), None);
            let last = told(|next| gateway.client.get(next), begun.next()).await;
            assert_eq!((last.next(), &last.body["error"]), ("", &Value::Null));
            assert_eq!(last.body["data"]["encoding"], encoding);
            let [segment] = segments(&last) else { panic!("{:?}", last.body) };
            let offset = &segment["metadata"]["rowOffset"];
            assert_eq!((&segment["type"], offset), (&json!("inline"), &json!(0)));
            let bytes = bytes(&gateway, segment).await;
            assert_eq!(decoded(encoding, segment, &bytes), wanted, "{sql} as {encoding}");
        }
    }
    let begun = reply(statement(&gateway, "show tables").header(ENCODING, "json")).await;
    let none = told(|next| gateway.client.get(next), begun.next()).await;
    assert_eq!(
        (none.body.get("data"), none.body["columns"][0]["name"].as_str()),
        (None, Some("Table"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_nothing_known_gets_rows_as_they_are() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    for header in [&b""[..], b"arrow", b"json+brotli,arrow+zstd", b"\xff"] {
        let header = HeaderValue::from_bytes(header).unwrap();
        let begun = reply(statement(&gateway, "select 1 as n").header(ENCODING, header)).await;
        let last = told(|next| gateway.client.get(next), begun.next()).await;
        assert_eq!(last.body["data"], json!([[0], [1], [2], [3], [4]]));
    }
    let known = statement(&gateway, "select 1 as n").header(ENCODING, "arrow, json+lz4, json");
    let last = told(|next| gateway.client.get(next), reply(known).await.next()).await;
    assert_eq!(last.body["data"]["encoding"], "json+lz4");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_from_two_gateways_are_the_rows_in_their_order() {
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let first = site.gateway(Some(worker), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    for encoding in ["json", "json+zstd", "json+lz4"] {
        let asked = statement(&first, "select 1 as n").header(ENCODING, encoding);
        let mut page = reply(asked).await;
        let (mut wanted, mut kinds) = (0, Vec::new());
        loop {
            assert_eq!((page.status, &page.body["error"]), (200, &Value::Null));
            for segment in segments(&page) {
                assert_eq!(segment["metadata"]["rowOffset"], wanted);
                // The first gateway has just made it, and the second one makes it again.
                let gateway = if kinds.len().is_multiple_of(2) { &second } else { &first };
                let bytes = bytes(gateway, segment).await;
                for row in decoded(encoding, segment, &bytes) {
                    assert_eq!(row[0], wanted);
                    wanted += 1;
                }
                kinds.push(segment["type"].as_str().unwrap().to_owned());
            }
            if page.next().is_empty() {
                break;
            }
            page = followed(&first, page.next()).await;
        }
        assert_eq!(wanted, ROWS + 3);
        let spooled = kinds.iter().filter(|kind| *kind == "spooled").count();
        assert!(kinds[0] == "inline" && spooled >= 4, "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_the_same_whoever_makes_it_and_after_its_client_has_it() {
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let first = site.gateway(Some(worker), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let asked = statement(&first, "select 1 as n").header(ENCODING, "json+zstd");
    let begun = reply(asked).await;
    let page = told(|next| first.client.get(next), begun.next()).await;
    let page = followed(&first, page.next()).await;
    let segment = &segments(&page)[1];
    assert_eq!((&segment["type"], &segment["headers"]), (&json!("spooled"), &json!({})));
    let kept = bytes(&first, segment).await;
    assert!(bytes(&second, segment).await == kept);
    let acknowledged = segment["ackUri"].as_str().unwrap();
    for gateway in [&first, &second, &first] {
        assert_eq!(status(gateway.client.get(at(gateway, acknowledged))).await, 200);
    }
    assert!(bytes(&first, segment).await == kept);
    // A page that is asked for again tells the same segments.
    let address = format!("{}/v1/statement/", first.url);
    assert!(segment["uri"].as_str().unwrap().starts_with(&address), "{segment}");
    let again = followed(&second, begun.next()).await;
    let again = followed(&second, again.next()).await;
    let metadata = |page: &Reply| -> Vec<Value> {
        segments(page).iter().map(|segment| segment["metadata"].clone()).collect()
    };
    assert_eq!(metadata(&page), metadata(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_for_its_client_and_its_pass_for_nothing_else() {
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let first = site.keyed(Some(worker), &KEYS).await;
    let second = site.keyed(None, &KEYS).await;
    let asked = statement(&first, "select 1 as n").bearer_auth("mine");
    let begun = reply(asked.header(ENCODING, "json+zstd")).await;
    let next = |next: &str| first.client.get(at(&first, next)).bearer_auth("mine");
    let page = told(next, begun.next()).await;
    let page = reply(next(page.next())).await;
    let [one, other, ..] = segments(&page) else { panic!("{:?}", page.body) };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (uri, pass) = (at(&second, &text(&one["uri"])), text(&one["headers"][PASS][0]));
    let get = |address: &str| second.client.get(address);
    // Clients of Trino send the headers of the segment, and no key.
    assert_eq!(status(get(&uri)).await, 401);
    assert_eq!(status(get(&uri).header(PASS, &pass)).await, 200);
    assert_eq!(status(get(&uri).bearer_auth("mine")).await, 200);
    for key in ["other", "admin"] {
        let got = reply(get(&uri).bearer_auth(key).header(PASS, &pass)).await;
        assert_eq!((got.status, &got.body["code"]), (404, &json!("NOT_FOUND")), "{key}");
        let got = status(get(&at(&second, &text(&one["ackUri"]))).bearer_auth(key)).await;
        assert_eq!(got, 404, "{key}");
    }
    assert_eq!(status(get(&uri).header(PASS, text(&other["headers"][PASS][0]))).await, 401);
    // The pass opens nothing else.
    let page_of = at(&second, begun.next());
    assert_eq!(status(get(&page_of).header(PASS, &pass)).await, 401);
    assert_eq!(status(statement(&second, "select 1 as n").header(PASS, &pass)).await, 401);
    let results = format!("{}/v1/queries", second.url);
    assert_eq!(status(get(&results).header(PASS, &pass)).await, 401);
    // A page is no segment, and a segment is no page.
    for address in
        [uri.replace("/spooled/", "/executing/"), page_of.replace("/executing/", "/spooled/")]
    {
        assert_eq!(status(get(&address).bearer_auth("mine")).await, 404);
        let deleted = second.client.delete(&address).bearer_auth("mine");
        assert_eq!(status(deleted).await, 404);
    }
    let token = uri.rfind('/').unwrap() + 1;
    // The last letter may have bits that say nothing.
    for at in token..uri.len() - 1 {
        let mut changed = uri.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        if changed != uri {
            assert_eq!(status(get(&changed).bearer_auth("mine")).await, 404, "letter {at}");
            assert_eq!(status(get(&changed).header(PASS, &pass)).await, 401, "letter {at}");
        }
    }
    let acknowledged = at(&second, &text(&one["ackUri"]));
    for request in
        [get(&acknowledged), second.client.delete(&acknowledged), second.client.delete(&uri)]
    {
        assert_eq!(status(request.header(PASS, &pass)).await, 200);
    }
    assert_eq!(status(get(&uri).header(PASS, &pass)).await, 200, "nothing was deleted");
}
