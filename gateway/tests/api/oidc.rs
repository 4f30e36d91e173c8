//! Tokens of an issuer on every protocol: one person, whatever the way in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use dunlin_gateway::auth::{OidcOptions, Workgroup};
use dunlin_gateway::{DoorOptions, GatewayOptions};
use dunlin_manifest::env::Clock;
use dunlin_sim::issuer::Issuer;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tonic::transport::{Channel, Endpoint};

use super::site::*;

async fn started() -> Issuer {
    Issuer::start().await.unwrap()
}

fn door(issuer: &Issuer, more: &Value) -> GatewayOptions {
    let mut config = json!({
        "issuer": issuer.url,
        "audience": "dunlin",
        "name_claim": "email",
        "secret": "0123456789abcdef0123456789abcdef",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let groups: Vec<_> = serde_json::from_value(json!([{ "name": "bi" }])).unwrap();
    let groups = Workgroup::all(&groups).unwrap();
    let oidc = OidcOptions::of(&serde_json::from_value(config).unwrap(), &groups).unwrap();
    let door = DoorOptions { oidc: Some(oidc), ..DoorOptions::default() };
    GatewayOptions { door, ..GatewayOptions::default() }
}

fn status(gateway: &Running, query: &str) -> RequestBuilder {
    gateway.client.get(format!("{}/v1/queries/{query}", gateway.url))
}

async fn code(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn flight(gateway: &Running) -> FlightSqlServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.flight_sql)).unwrap();
    let inner = FlightServiceClient::new(endpoint.connect().await.unwrap());
    FlightSqlServiceClient::new_from_inner(inner)
}

fn trino(gateway: &Running, sql: &str) -> RequestBuilder {
    let url = format!("{}/v1/statement", gateway.url);
    gateway.client.post(url).header("x-trino-user", "anybody").body(sql.to_owned())
}

async fn postgres(
    address: SocketAddr,
    password: &str,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(address.port()).user("anybody").password(password);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn texts(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap();
    let texts = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_is_one_owner_by_every_protocol_and_another_person_is_not() {
    let (site, issuer) = (Site::new(), started().await);
    let first = site.gateway(Some(site.worker(Outcome::Rows)), door(&issuer, &json!({}))).await;
    let second = site.gateway(None, door(&issuer, &json!({}))).await;
    let (ada, again, bob) = (issuer.token("ada"), issuer.token("ada"), issuer.token("bob"));
    assert_ne!(ada, again, "two tokens");

    let submitted = first.submit(&json!({ "sql": "select 1 as n" })).bearer_auth(&ada);
    let by_http = json(submitted.send().await.unwrap()).await["query_id"].clone();
    let mut flights = flight(&first).await;
    flights.set_token(ada.clone());
    let info = flights.execute("select 1 as n".to_owned(), None).await.unwrap();
    let by_flight = String::from_utf8(info.app_metadata.to_vec()).unwrap();
    let begun = trino(&first, "select 1 as n").bearer_auth(&ada).send().await.unwrap();
    let begun = json(begun).await;
    let queries = [by_http.as_str().unwrap(), &by_flight, begun["id"].as_str().unwrap()];

    // By another token, at another gateway.
    for query in queries {
        assert_eq!(code(status(&second, query).bearer_auth(&again)).await, 200, "{query}");
        assert_eq!(code(status(&second, query).bearer_auth(&bob)).await, 404, "{query}");
        assert_eq!(code(status(&second, query)).await, 401);
    }
    let seen = "select query_id from system.queries order by 1";
    let session = postgres(second.postgres, &again).await.unwrap();
    let mut sorted = queries.map(str::to_owned);
    sorted.sort();
    assert_eq!(texts(&session, seen).await, sorted);
    assert_eq!(texts(&session, "select current_user").await, ["ada@example"]);
    let others = postgres(second.postgres, &bob).await.unwrap();
    assert!(texts(&others, seen).await.is_empty());

    // What was handed out is redeemed elsewhere by the same person, whatever token it shows, and by no other.
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut redeeming = flight(&second).await;
    redeeming.handshake("anybody", &again).await.unwrap();
    let rows: Vec<_> = redeeming.do_get(ticket.clone()).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 5);
    redeeming.set_token(bob.clone());
    assert!(redeeming.do_get(ticket).await.is_err());
    let next = begun["nextUri"].as_str().unwrap();
    let next = format!("{}{}", second.url, &next[next.find("/v1/statement/").unwrap()..]);
    let page = second.client.get(&next).basic_auth("anybody", Some(&again));
    assert_eq!(code(page).await, 200);
    assert_eq!(code(second.client.get(&next).bearer_auth(&bob)).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_is_refused_by_every_protocol_alike() {
    let (site, issuer, stranger) = (Site::new(), started().await, started().await);
    let gateway = site.gateway(None, door(&issuer, &json!({}))).await;
    let mut forged = issuer.token("ada");
    forged.truncate(forged.len() - 4);
    let wrong = [
        forged,
        stranger.token("ada"),
        stranger.sign(&issuer.claims("ada")),
        issuer.token_with("ada", "aud", json!("others")),
        issuer.token_with("ada", "iss", json!(stranger.url)),
        issuer.token_with("ada", "exp", json!(1_000_000_000)),
        issuer.token_with("ada", "nbf", json!(4_000_000_000_u64)),
        issuer.token_with("ada", "groups", json!("x".repeat(9_000))),
        "wrong".to_owned(),
    ];
    let mut answers = Vec::new();
    for token in &wrong {
        let refused = gateway.sql("select 1").bearer_auth(token).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 401);
        answers.push(refused.text().await.unwrap());
        assert_eq!(code(trino(&gateway, "select 1").bearer_auth(token)).await, 401);
        assert_eq!(code(trino(&gateway, "select 1").basic_auth("a", Some(token))).await, 401);
        let mut flights = flight(&gateway).await;
        assert!(flights.handshake("anybody", token).await.is_err());
        flights.set_token(token.clone());
        assert!(flights.get_catalogs().await.is_err());
        let error = postgres(gateway.postgres, token).await.err().unwrap();
        // A message that is longer than any token is refused before it is looked at.
        let state = error.code().map(|code| code.code().to_owned());
        assert!(matches!(state.as_deref(), Some("28P01" | "54000")), "{error}");
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "a refusal says what was wrong");
    // A password is taken on the paths of Trino only, as for keys.
    let shown = gateway.sql("select 1").basic_auth("a", Some(issuer.token("ada")));
    assert_eq!(code(shown).await, 401);
    let long = issuer.token_with("ada", "groups", json!("x".repeat(5_800)));
    assert!((7_900..=8_192).contains(&long.len()), "{}", long.len());
    assert_eq!(code(gateway.sql("select 1").bearer_auth(&long)).await, 200);
    assert!(postgres(gateway.postgres, &long).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_groups_come_from_claims() {
    let (site, issuer) = (Site::new(), started().await);
    let more = json!({ "scopes_claim": "scope", "workgroup_claim": "groups" });
    let gateway = site.gateway(None, door(&issuer, &more)).await;
    let token = |scope: &str, groups: Value| {
        let mut claims = issuer.claims("ada");
        (claims["scope"], claims["groups"]) = (json!(scope), groups);
        issuer.sign(&claims)
    };
    let by = async |token: String| code(gateway.sql("select 1").bearer_auth(token)).await;
    assert_eq!(by(token("openid dunlin:query", json!(["staff", "bi"]))).await, 200);
    assert_eq!(by(token("dunlin:admin", json!("bi"))).await, 403);
    assert_eq!(by(token("openid", json!("bi"))).await, 401);
    assert_eq!(by(token("query", json!("staff"))).await, 401);
    let write = gateway.sql("copy (select 1 as n) to 'somewhere.csv'");
    assert_eq!(code(write.bearer_auth(token("query", json!("bi")))).await, 403);
}

/// A clock that a test sets ahead.
#[derive(Debug)]
struct Ahead {
    inner: Arc<dyn Clock>,
    seconds: AtomicU64,
}

impl Clock for Ahead {
    fn monotonic(&self) -> Duration {
        self.inner.monotonic() + Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn wall_ms(&self) -> u64 {
        self.inner.wall_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_the_issuer_is_found_and_an_old_one_is_no_longer_accepted() {
    let (mut site, mut issuer) = (Site::new(), started().await);
    let ahead =
        Arc::new(Ahead { inner: Arc::clone(&site.env.clock), seconds: AtomicU64::default() });
    site.env.clock = Arc::clone(&ahead) as _;
    let gateway = site.gateway(None, door(&issuer, &json!({}))).await;
    let by = async |token: &str| code(gateway.sql("select 1").bearer_auth(token)).await;
    let old = issuer.token("ada");
    assert_eq!(by(&old).await, 200);
    issuer.rotate("second").unwrap();
    let new = issuer.token("ada");
    assert_eq!(by(&new).await, 401, "keys were read a moment ago");
    assert_eq!(by(&old).await, 200);
    ahead.seconds.store(11, Ordering::SeqCst);
    assert_eq!(by(&new).await, 200);
    assert_eq!(by(&old).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_runs_is_cancelled_at_the_gateway_of_its_connection() {
    const LONG: &str = "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b where a.value + b.value < 0";
    let (site, issuer) = (Site::new(), started().await);
    let gateway = site.gateway(None, door(&issuer, &json!({}))).await;
    let session = postgres(gateway.postgres, &issuer.token("ada")).await.unwrap();
    let token = session.cancel_token();
    let cancelling = async {
        loop {
            token.cancel_query(NoTls).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let answered = async {
        tokio::select! {
            answer = session.simple_query(LONG) => answer,
            () = cancelling => unreachable!("it goes on until the statement ends"),
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(60), answered).await.unwrap().unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error}");
    assert_eq!(texts(&session, "select 1").await, ["1"]);
}
