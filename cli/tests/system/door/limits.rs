//! Clients that are slow, and clients that are too many: each is let go, and is in nobody else's way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};

use super::site::{Key, PATIENCE, Site, ask, until};
use crate::common::{Setup, data};

const GET: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Everything that comes until the other side closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the farewell is an end too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads up to the end of one answer to [`GET`].
fn one_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0u8; 4096];
    while !text.contains("{\"status\":\"ok\"}") {
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "closed after {text:?}");
        text += &String::from_utf8_lossy(&bytes[..count]);
    }
    text
}

/// Sends `text` a byte at a time until the other side has had enough.
fn dribble(stream: &mut TcpStream, text: &str) -> Duration {
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut peeked = [0u8; 1];
    for byte in text.bytes().cycle() {
        if stream.write_all(&[byte]).is_err() || stream.peek(&mut peeked).is_ok() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "still waited for");
    }
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    start.elapsed()
}

#[test]
fn headers_that_dribble_are_not_waited_for() {
    let site = Site::start("[gateway.limits]\nheaders_ms = 400\nidle_ms = 60000\n");
    let mut stream = site.connect();
    stream.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    let took = dribble(&mut stream, "x: y\r\n");
    assert!(took >= Duration::from_millis(300), "{took:?}");
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(answer.contains("\"code\":\"REQUEST_TIMEOUT\""), "{answer:?}");

    // Nor on a connection that has been served before.
    let mut stream = site.connect();
    stream.write_all(GET.as_bytes()).unwrap();
    one_answer(&mut stream);
    std::thread::sleep(Duration::from_millis(600));
    stream.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    assert!(rest(&mut stream).starts_with("HTTP/1.1 408 "));

    // Who says nothing at all is told nothing.
    assert_eq!(rest(&mut site.connect()), "");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let site = Site::start("[gateway.limits]\nheaders_ms = 60000\nidle_ms = 500\n");
    let mut stream = site.connect();
    for _ in 0..5 {
        stream.write_all(GET.as_bytes()).unwrap();
        one_answer(&mut stream);
        std::thread::sleep(Duration::from_millis(200));
    }
    let start = Instant::now();
    assert_eq!(rest(&mut stream), "");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_body_that_dribbles_is_not_waited_for() {
    let site = Site::start("[gateway.limits]\nbody_ms = 400\n");
    let mut stream = site.connect();
    let head = "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let took = dribble(&mut stream, "select 1 ");
    assert!(took >= Duration::from_millis(300), "{took:?}");
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(answer.contains("connection: close"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_large_body_hears_why_it_is_refused() {
    let key = Key::new("ci", "query");
    let site = Site::start(&key.toml);
    let large = || Client::new().post(site.url("/v1/sql")).body(vec![b' '; 5 << 20]);
    for _ in 0..5 {
        let (status, body, _) = ask(large(), None).await;
        assert_eq!((status, &body["code"]), (401, &Value::from("UNAUTHORIZED")));
        let (status, body, _) = ask(large(), Some(&key.text)).await;
        assert_eq!((status, &body["code"]), (413, &Value::from("BODY_TOO_LARGE")));
    }
}

#[test]
fn headers_are_bounded_by_number_and_size() {
    let site = Site::start("[gateway.limits]\nheader_count = 10\nheader_bytes = 10000\n");
    for (count, bytes, status) in [(5, 10, 200), (11, 10, 431), (5, 4_000, 431)] {
        let mut stream = site.connect();
        let header = |n: usize| format!("x-{n}: {}\r\n", "y".repeat(bytes));
        let headers: String = (0..count).map(header).collect();
        let request = format!("GET /health HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
        let _ = stream.write_all(request.as_bytes());
        let answer = rest(&mut stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count} {bytes}: {answer:?}");
    }
}

#[test]
fn an_answer_that_nobody_reads_ends_with_its_work() {
    let site = Site::start("[gateway.limits]\nanswer_stall_ms = 500\n");
    let mut stream = site.connect();
    // Endless for the purposes of any test.
    let sql = "select value from generate_series(1, 100000000000)";
    let head = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\naccept: text/csv\r\ncontent-length: {}\r\n\r\n{sql}",
        sql.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0u8; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    // The connection is gone, though this side has closed nothing …
    until("end of the connection", || connections(&site, &stream).is_none().then_some(()));
    // … and so is the work.
    until("rest", || {
        let before = site.process.usage().0;
        std::thread::sleep(Duration::from_millis(500));
        (site.process.usage().0 - before < 0.1).then_some(())
    });
    let health = site.connect();
    drop(health);
}

/// Whether the server still has its end of `stream` open.
fn connections(site: &Site, stream: &TcpStream) -> Option<()> {
    let (server, client) = (site.address.port(), stream.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (server, client) = (format!(":{server:04X}"), format!(":{client:04X}"));
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        // 01 is established.
        (local.ends_with(&server) && remote.ends_with(&client) && state == "01").then_some(())
    })
}

#[test]
fn an_answer_that_is_read_slowly_is_given_to_its_end() {
    let site = Site::start("[gateway.limits]\nanswer_stall_ms = 2000\n");
    let mut stream = site.connect();
    let sql = "select value from generate_series(1, 2000000)";
    let head = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept: text/csv\r\ncontent-length: {}\r\n\r\n{sql}",
        sql.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut part = vec![0u8; 1 << 20];
    loop {
        let count = stream.read(&mut part).unwrap();
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..count]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(String::from_utf8_lossy(&bytes).contains("\n2000000\n"));
}

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let site = Site::start("[gateway.limits]\nconnections = 2\n");
    let mut held: Vec<TcpStream> = (0..2).map(|_| site.connect()).collect();
    for stream in &mut held {
        stream.write_all(GET.as_bytes()).unwrap();
        one_answer(stream);
    }
    let start = Instant::now();
    assert_eq!(rest(&mut site.connect()), "");
    assert!(start.elapsed() < Duration::from_secs(5), "closed at once");
    held.pop();
    until("place", || {
        let mut stream = site.connect();
        stream.write_all(GET.as_bytes()).ok()?;
        let mut byte = [0u8; 1];
        matches!(stream.read(&mut byte), Ok(1)).then_some(())
    });
}

/// A gateway without workers, where queries of the fleet wait, and each wait is a request in hand.
fn waiting(toml: &str) -> Site {
    Site::start_as(Setup::folder(&data(0.01), toml), "gateway", "info")
}

fn count() -> Value {
    json!({ "sql": "select count(*) from nation", "wait_timeout": "40s" })
}

/// Sends `enough` requests that are in hand until they are given up; one that is refused is sent again.
fn hold(site: &Site, key: Option<&str>, enough: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let request = |_| {
        let mut request = Client::new().post(site.url("/v1/queries")).json(&count());
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        tokio::spawn(async move {
            while let Some(again) = request.try_clone() {
                let Ok(answer) = again.send().await else { return };
                if !matches!(answer.status().as_u16(), 429 | 503) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    };
    (0..enough).map(request).collect()
}

/// The first answer that is not `status`, which is what comes while requests are still on their way.
async fn refused(site: &Site, key: Option<&str>) -> (u16, Value, reqwest::header::HeaderMap) {
    let start = Instant::now();
    loop {
        let answer = ask(Client::new().get(site.url("/v1/queries/x")), key).await;
        if answer.0 != 404 {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "never refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_hand_are_bounded_and_health_is_not() {
    let site = waiting("[gateway.limits]\nrequests = 2\n");
    let held = hold(&site, None, 2);
    let (status, body, headers) = refused(&site, None).await;
    assert_eq!((status, &body["code"]), (503, &Value::from("GATEWAY_BUSY")));
    assert_eq!(body["retryable"], true);
    assert!(headers.contains_key("retry-after"));
    for path in ["/health", "/v1/ready"] {
        let (status, ..) = ask(Client::new().get(site.url(path)), None).await;
        assert_eq!(status, 200, "{path}");
    }
    for request in held {
        request.abort();
    }
    let start = Instant::now();
    while ask(Client::new().get(site.url("/v1/queries/x")), None).await.0 != 404 {
        assert!(start.elapsed() < PATIENCE, "places are given back when clients go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_at_its_bound_leaves_room_for_others() {
    let (greedy, modest) = (Key::new("greedy", "query"), Key::new("modest", "query"));
    let toml = format!("{}{}[gateway.limits]\nclient_requests = 2\n", greedy.toml, modest.toml);
    let site = waiting(&toml);
    let held = hold(&site, Some(&greedy.text), 2);
    let (status, body, headers) = refused(&site, Some(&greedy.text)).await;
    assert_eq!((status, &body["code"]), (429, &Value::from("TOO_MANY_REQUESTS")));
    assert!(headers.contains_key("retry-after"));
    let (status, ..) = ask(Client::new().get(site.url("/v1/queries/x")), Some(&modest.text)).await;
    assert_eq!(status, 404, "another key is let in");
    drop(held);
}
