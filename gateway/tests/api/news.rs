//! Server-sent events of a query, and going on at another gateway.

use std::sync::Arc;
use std::time::Duration;

use dunlin_gateway::{GatewayOptions, LocalRunner};
use dunlin_manifest::ids::QueryId;
use futures::StreamExt;
use serde_json::Value;

use super::queries::fleet;
use super::site::*;

/// One event.
#[derive(Clone, Debug)]
struct Told {
    kind: String,
    id: String,
    data: Value,
}

/// Reads events until one of this kind, or until the end.
async fn until(response: &mut reqwest::Response, rest: &mut String, kind: &str) -> Vec<Told> {
    let mut told = Vec::new();
    let read = async {
        loop {
            while let Some((event, after)) = rest.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = field("event: ").map(|kind| Told {
                    kind: kind.to_owned(),
                    id: field("id: ").unwrap().to_owned(),
                    data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                });
                *rest = after.to_owned();
                if let Some(event) = found {
                    let is_it = event.kind == kind;
                    told.push(event);
                    if is_it {
                        return;
                    }
                }
            }
            match response.chunk().await.unwrap() {
                Some(bytes) => rest.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => return,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_followed_to_its_end_and_from_one_gateway_to_another() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let location = header(&first.submit(&fleet()).send().await.unwrap(), "location");
    let path = format!("{location}/events");
    let mut response = first.get(&path).await;
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    let mut rest = String::new();
    let told = until(&mut response, &mut rest, "state").await;
    assert_eq!(told.last().unwrap().data["phase"], "queued");
    let last = told.last().unwrap().id.clone();
    // The gateway stops, and its clients are let go.
    let waiting = tokio::spawn(async move { until(&mut response, &mut rest, "end").await });
    first.stop.send(()).unwrap();
    first.served.await.unwrap().unwrap();
    assert!(waiting.await.unwrap().is_empty());

    let second = site.gateway(None, GatewayOptions::default()).await;
    let get = |gateway: &Running, last: &str| {
        gateway.client.get(format!("{}{path}", gateway.url)).header("last-event-id", last)
    };
    let mut response = get(&second, &last).send().await.unwrap();
    let query = QueryId::parse(location.rsplit('/').next().unwrap()).unwrap();
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query).await;
    let told = until(&mut response, &mut String::new(), "end").await;
    assert!(told.iter().all(|event| event.data["phase"] != "queued"), "{told:?}");
    let stage = told.iter().find(|event| event.kind == "stage");
    if let Some(stage) = stage {
        assert_eq!((stage.data["rows"].as_u64(), stage.data["tasks"].as_u64()), (Some(5), Some(1)));
    }
    let end = told.last().unwrap();
    assert_eq!((end.kind.as_str(), &end.data["status"]), ("end", &Value::from("SUCCEEDED")));
    assert!(end.data["links"]["results"].is_string());
    assert!(response.chunk().await.unwrap().is_none(), "nothing follows the end");
    // Who was told the end is sent away, and who was told nothing is told the end.
    assert_eq!(get(&second, &end.id).send().await.unwrap().status(), 204);
    let mut again = second.get(&path).await;
    let told = until(&mut again, &mut String::new(), "end").await;
    assert_eq!(told.last().unwrap().kind, "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_follow_a_query_and_a_foreign_id_is_no_query() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let location = header(&gateway.submit(&fleet()).send().await.unwrap(), "location");
    let path = format!("{location}/events");
    let followed = futures::stream::iter(0..8).map(|_| async {
        let mut response = gateway.get(&path).await;
        until(&mut response, &mut String::new(), "end").await.last().unwrap().data["status"].clone()
    });
    let followed = followed.buffer_unordered(8).collect::<Vec<_>>();
    let cancelled = async {
        let cancelled = gateway.post(&format!("{location}/cancel")).await;
        assert_eq!(json(cancelled).await["status"], "CANCELLED");
    };
    let (ends, ()) = tokio::join!(followed, cancelled);
    assert_eq!(ends, vec![Value::from("CANCELLED"); 8]);
    let unknown = QueryId::new(&site.env);
    let url = format!("{}/v1/queries/{unknown}/events", gateway.url);
    let request = gateway.client.get(url).header("last-event-id", "SUCCEEDED.0.0.");
    assert_eq!(problem(request).await.0, 404);
}
