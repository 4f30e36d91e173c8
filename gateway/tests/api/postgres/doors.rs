//! Who may come in, and who may end what another one runs.

use std::time::Duration;

use dunlin_gateway::auth::{KeyOptions, NewKey, Scope, Scopes, Verifier};
use dunlin_gateway::{Current, GatewayOptions, InlineLimits};
use dunlin_manifest::keys;
use dunlin_manifest::store::ControlStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frames::startup;
use super::*;

/// A statement of the gateway that takes hours.
const LONG_INLINE: &str = "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b where a.value + b.value < 0";

fn key(name: &str, scram: bool) -> (String, KeyOptions) {
    let key = NewKey::generate().unwrap();
    let scopes: Scopes = [Scope::Query].into_iter().collect();
    let scram = scram.then(|| Verifier::of(key.text()).unwrap().text());
    let (name, sha256) = (name.to_owned(), key.sha256());
    let options = KeyOptions { name, sha256, scopes, scram, workgroup: None };
    (key.text().to_owned(), options)
}

fn with_keys(keys: Vec<KeyOptions>) -> GatewayOptions {
    let mut options = GatewayOptions::default();
    options.door.keys = keys;
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_logs_in_as_a_password_or_by_scram_and_no_other_does() {
    let site = Site::new();
    let (plain, plain_options) = key("plain", false);
    let (secret, secret_options) = key("secret", true);
    let server = site.postgres(with_keys(vec![plain_options, secret_options])).await;
    let log_in = async |user: &str, password: &str| {
        let mut config = server.config();
        config.user(user).password(password);
        talk(&config).await
    };
    assert_eq!(log_in("anybody", &plain).await.unwrap().text("select current_user").await, "plain");
    assert_eq!(
        log_in("secret", &secret).await.unwrap().text("select current_user").await,
        "secret"
    );
    for (user, password) in
        [("plain", "wrong"), ("secret", "wrong"), ("secret", &*plain), ("x", "")]
    {
        let error = log_in(user, password).await.err().unwrap();
        assert_eq!(state(&error), "28P01", "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_key_has_a_verifier_a_wrong_name_is_asked_like_a_right_one() {
    let site = Site::new();
    let (secret, options) = key("secret", true);
    let server = site.postgres(with_keys(vec![options])).await;
    let asked = async |user: &str| {
        let mut stream = server.bytes().await;
        stream.write_all(&startup(user)).await.unwrap();
        let mut head = [0u8; 24];
        stream.read_exact(&mut head).await.unwrap();
        head
    };
    assert_eq!(asked("secret").await, asked("nobody").await);
    let mut config = server.config();
    config.user("nobody").password(&secret);
    assert_eq!(state(&talk(&config).await.err().unwrap()), "28P01");
}

/// Runs a statement until `cancelling` ends it.
async fn is_cancelled(talk: &Talk, sql: &str, cancelling: impl Future<Output = ()>) {
    let answered = async {
        tokio::select! {
            answer = talk.client.simple_query(sql) => answer,
            () = cancelling => unreachable!("it goes on until the statement ends"),
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), answered).await;
    let answer = answer.expect("the cancel does not arrive");
    assert_eq!(state(&answer.unwrap_err()), "57014", "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_runs_is_cancelled_here_and_from_another_gateway() {
    let site = Site::new();
    let (mine, options) = key("mine", true);
    let (_, others) = key("others", true);
    let here = site.postgres(with_keys(vec![options.clone(), others])).await;
    let there = site.postgres(with_keys(vec![options])).await;
    let mut config = here.config();
    config.user("mine").password(&mine);
    let talk = talk(&config).await.unwrap();
    let token = talk.client.cancel_token();
    for sql in [LONG_INLINE, "set dunlin.route = 'fleet'; select 1 as n"] {
        // From the gateway of the connection. A request that comes before the statement ends nothing.
        let cancelling = async {
            loop {
                token.cancel_query(NoTls).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        is_cancelled(&talk, sql, cancelling).await;
        // From another one: the bytes that a driver sends, to another port.
        let relay = Relay::to(&there).await;
        let cancelling = async {
            loop {
                relay.cancel(&token).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        is_cancelled(&talk, sql, cancelling).await;
        talk.client.simple_query("set dunlin.route = 'auto'").await.unwrap();
    }
    assert_eq!(talk.text("select 1").await, "1");
}

/// Waits until a query of the client is in the store and has no end.
async fn started(talk: &Talk, site: &Site) {
    let told = async {
        loop {
            if let Some(query) = talk.query()
                && site.control.get(&keys::end(&query)).await.unwrap().is_none()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
}

/// Carries what a driver sends for one gateway to another one.
struct Relay {
    to: SocketAddr,
    from: tokio::net::TcpListener,
}

impl Relay {
    async fn to(there: &Server) -> Self {
        let from = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { to: there.address, from }
    }

    async fn cancel(&self, token: &tokio_postgres::CancelToken) {
        let stream = TcpStream::connect(self.from.local_addr().unwrap()).await.unwrap();
        let carrying = async {
            let (mut client, _) = self.from.accept().await.unwrap();
            let mut server = TcpStream::connect(self.to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        };
        let (sent, ()) = tokio::join!(token.cancel_query_raw(stream, NoTls), carrying);
        sent.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_survives_its_gateway_and_another_one_cancels_it() {
    let site = Site::new();
    let first = site.postgres(GatewayOptions::default()).await;
    let second = site.postgres(GatewayOptions::default()).await;
    let talk = first.talk().await;
    let token = talk.client.cancel_token();
    let running = talk.client.simple_query("set dunlin.route = 'fleet'; select 1 as n");
    let dying = async {
        started(&talk, &site).await;
        first.running.served.abort();
    };
    let (answer, ()) = tokio::join!(running, dying);
    assert!(answer.is_err(), "the connection ended with its gateway");
    let query = talk.query().unwrap();
    let status = json(second.running.get(&format!("/v1/queries/{query}")).await).await;
    assert_eq!(status["status"], "PENDING");
    Relay::to(&second).await.cancel(&token).await;
    let status = json(second.running.get(&format!("/v1/queries/{query}")).await).await;
    assert_eq!(status["status"], "CANCELLED");
    drop(talk.driving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_cancels_nothing() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    let process: u32 = talk.text("select pg_backend_pid()").await.parse().unwrap();
    let running = talk
        .client
        .simple_query("set statement_timeout = '2s'; set dunlin.route = 'fleet'; select 1 as n");
    let attacking = async {
        started(&talk, &site).await;
        for secret in [&[0u8; 4][..], &[0; 34], &[0; 5], &[]] {
            let body = [&80_877_102u32.to_be_bytes()[..], &process.to_be_bytes(), secret].concat();
            let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
            let mut stream = server.bytes().await;
            stream.write_all(&[&length[..], &body].concat()).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    };
    let (answer, ()) = tokio::join!(running, attacking);
    let error = answer.unwrap_err();
    let message = error.as_db_error().unwrap().message();
    assert!(message.contains("statement timeout"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_client_hold_for_every_protocol_together() {
    let site = Site::new();
    let mut options = GatewayOptions::default();
    options.door.limits.client_requests = 1;
    options.inline = InlineLimits::default();
    let server = site.postgres(options).await;
    let (one, two) = (server.talk().await, server.talk().await);
    one.texts("begin; declare c cursor for select value from generate_series(1, 1000000)").await;
    assert_eq!(two.state("select 1").await, "53300");
    let refused = server.running.sql("select 1").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    one.texts("commit").await;
    assert_eq!(two.text("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_tells_idle_clients_and_lets_answers_end() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let (idle, busy) = (server.talk().await, server.talk().await);
    let none: [&str; 0] = [];
    let sql = "select repeat('x', 1000) as x from generate_series(1, 50000)";
    let mut rows = Box::pin(busy.client.query_raw(sql, none).await.unwrap());
    // More than the system's buffers hold: the answer is under way.
    rows.next().await.unwrap().unwrap();
    server.running.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), idle.driving).await.unwrap().unwrap();
    assert_eq!(ended.err().map(|error| state(&error)).as_deref(), Some("57P01"));
    let mut count = 1;
    while let Some(row) = rows.next().await {
        row.unwrap();
        count += 1;
    }
    assert_eq!(count, 50_000);
    drop(rows);
    drop(busy);
    server.running.served.await.unwrap().unwrap();
}

/// A reload is in force at the next message, also for statements that were prepared before.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_what_the_newest_keys_say() {
    let site = Site::new();
    let (mine, other): (&[Scope], &[Scope]) = (&[Scope::Query], &[Scope::Query, Scope::Admin]);
    let before = Site::keys(&[("mine", mine), ("other", other)]);
    let current = Current::new(site.live(&before));
    let server =
        site.postgres(GatewayOptions { current: Some(current.clone()), ..before.clone() }).await;
    let log_in = async |key: &str| talk(server.config().user(key).password(key)).await.unwrap();
    let (removed, kept) = (log_in("mine").await, log_in("other").await);
    let prepared = kept.client.prepare("select 1 + $1::bigint").await.unwrap();
    assert_eq!(removed.text("select 1").await, "1");
    current.replace(site.live(&Site::keys(&[("other", other)])));
    assert_eq!(removed.state("select 1").await, "28000");
    assert!(removed.client.simple_query("select 1").await.is_err());
    let row = kept.client.query_one(&prepared, &[&2_i64]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 3);
    // The same key may do less.
    current.replace(site.live(&Site::keys(&[("other", &[Scope::Admin])])));
    assert_eq!(kept.state("select 1").await, "42501");
    let code = kept.client.query_one(&prepared, &[&2_i64]).await.unwrap_err();
    assert_eq!(code.code().unwrap().code(), "42501");
    // Who comes without a key to a gateway that had none must show one.
    current.replace(site.live(&GatewayOptions::default()));
    let open = server.talk().await;
    assert_eq!(open.text("select 1").await, "1");
    current.replace(site.live(&Site::keys(&[("other", other)])));
    assert_eq!(open.state("select 1").await, "28000");
}

/// Whoever leaves while its statement waits for a place, or cancels it, makes room for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_among_the_waiting_is_free_when_its_client_is_gone() {
    let site = Site::new();
    let inline = InlineLimits { slots: 1, queue: 1, ..InlineLimits::default() };
    let server = site.postgres(GatewayOptions { inline, ..GatewayOptions::default() }).await;
    let run = |talk: Talk| tokio::spawn(async move { talk.client.simple_query(LONG_INLINE).await });
    let busy = server.talk().await;
    let token = busy.client.cancel_token();
    let running = run(busy);
    // Refused at once, or it waits.
    let waits = async || {
        let talk = server.talk().await;
        let (token, connection) = (talk.client.cancel_token(), talk.driving.abort_handle());
        let mut asked = run(talk);
        match tokio::time::timeout(Duration::from_millis(500), &mut asked).await {
            Ok(refused) => {
                assert_eq!(state(&refused.unwrap().unwrap_err()), "53000");
                None
            }
            Err(_) => Some((asked, token, connection)),
        }
    };
    let soon = async || {
        let found = async {
            loop {
                if let Some(found) = waits().await {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), found).await.expect("nobody makes room")
    };
    let (_, _, connection) = soon().await;
    assert!(waits().await.is_none(), "one may wait");
    connection.abort();
    let (cancels, token_of_next, _) = soon().await;
    token_of_next.cancel_query(NoTls).await.unwrap();
    assert_eq!(state(&cancels.await.unwrap().unwrap_err()), "57014");
    let (last, token_of_last, _) = soon().await;
    token_of_last.cancel_query(NoTls).await.unwrap();
    assert!(last.await.unwrap().is_err());
    token.cancel_query(NoTls).await.unwrap();
    assert!(running.await.unwrap().is_err());
}
