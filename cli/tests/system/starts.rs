//! What processes say at their start where they cannot work: each a sentence that says what to do. Workers wait, and go on
//! by themselves.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Process, start_gateway, start_listening};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::common::api::Api;
use crate::common::objects::until;
use crate::common::session::assume;
use crate::common::{S3, Setup, binary, unique};

const PATIENCE: Duration = Duration::from_secs(60);

/// A state on an S3 server.
fn config(bucket: &str, endpoint: &str, key: &str, secret: &str, more: &str) -> String {
    format!(
        "[state]\nlocation = \"s3://{bucket}/{}\"\n[state.params]\ns3_endpoint = \"{endpoint}\"\ns3_key = \"{key}\"\ns3_secret = \"{secret}\"\nallow_http = true\n{more}\n",
        unique("starts")
    )
}

/// What a gateway says that ends at its start.
async fn said(text: String) -> String {
    let began = Instant::now();
    let ended = tokio::task::spawn_blocking(move || {
        let setup = Setup::with(|_| text);
        start_gateway(binary(), &setup.config, &setup.path().join("gateway.log"))
            .expect_err("the gateway has started")
            .to_string()
    });
    let said = ended.await.unwrap();
    assert!(began.elapsed() < PATIENCE, "it took {:?}: {said}", began.elapsed());
    assert!(said.contains("the state store cannot be used"), "{said}");
    said
}

/// A server that answers everything in one way.
async fn answering(status: &'static str, body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = body.clone();
            tokio::spawn(async move {
                let mut request = [0; 16 << 10];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let head = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_says_why_its_state_cannot_be_used_and_what_to_do() {
    let Some(s3) = S3::from_env() else { return };
    let (key, secret) = s3.root();
    let (bucket, endpoint) = (s3.bucket.as_str(), s3.endpoint.as_str());
    let reader = assume(
        &s3,
        Some(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}"#,
        ),
    );
    let denied = format!("s3_session_token = \"{}\"", reader.token);
    let cases = [
        (config("no-such-bucket-here", endpoint, key, secret, ""), "NoSuchBucket", "make it"),
        (
            config(bucket, endpoint, key, "wrong", ""),
            "SignatureDoesNotMatch",
            "the secret key is wrong",
        ),
        (
            config(bucket, endpoint, "nobody", secret, ""),
            "InvalidAccessKeyId",
            "does not know the access key",
        ),
        (
            config(bucket, endpoint, &reader.key, &reader.secret, &denied),
            "AccessDenied",
            "see docs/security.md",
        ),
    ];
    for (text, word, meaning) in cases {
        let said = said(text).await;
        assert!(said.contains(word) && said.contains(meaning), "{word}: {said}");
    }
}

/// S3 answers so if a bucket is in another region than the one that requests are signed for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_in_another_region_is_told() {
    let answer = |code: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message></Error>"
        )
    };
    for (status, code) in [
        ("400 Bad Request", "AuthorizationHeaderMalformed"),
        ("301 Moved Permanently", "PermanentRedirect"),
    ] {
        let address = answering(status, answer(code)).await;
        let said = said(config("bucket", &format!("http://{address}"), "k", "s", "")).await;
        assert!(said.contains("another region: set s3_region"), "{code}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_nobody_serves_is_told_within_seconds() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = said(config("bucket", &endpoint, "k", "s", "")).await;
    // A busy machine may have no time for all tries.
    let words = ["Connection refused", "no answer within"];
    assert!(words.iter().any(|words| said.contains(words)), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_told() {
    let setup = Setup::with(|folder| {
        format!("[state]\nlocation = \"{}\"\n", folder.join("state").display())
    });
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = setup.config.display().to_string();
    let arguments = ["gateway", "--config", &config, "--http", &address];
    let output = std::process::Command::new(binary()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("Address already in use"), "{said}");
}

/// Forwards connections to `target` from an address that is given.
async fn forward(from: SocketAddr, target: String) {
    let listener = TcpListener::bind(from).await.unwrap();
    while let Ok((mut here, _)) = listener.accept().await {
        let target = target.clone();
        tokio::spawn(async move {
            if let Ok(mut there) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
}

/// The worker's way to the store does not exist when it starts, and a query waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_starts_before_its_store_works_as_soon_as_it_comes() {
    let Some(s3) = S3::from_env() else { return };
    let data = crate::common::data(0.01);
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let way = reserved.local_addr().unwrap();
    drop(reserved);
    let state = unique("late");
    let text = |endpoint: &str| {
        format!(
            "[state]\nlocation = \"s3://{}/{state}\"\n{}\n{}",
            s3.bucket,
            s3.params("state.params", endpoint),
            dunlin_cli::tpch::tables_toml(&format!("file://{}/", data.display())),
        )
    };
    let near = Setup::with(|_| text(&s3.endpoint));
    let late = Setup::with(|_| text(&format!("http://{way}")));
    let config = late.config.display().to_string();
    let log = late.path().join("worker.log");
    let _worker = Process::start(binary(), &["worker", "--config", &config], &log).unwrap();
    let logged = || std::fs::read_to_string(&log).unwrap_or_default();
    let refused = || logged().contains("the state store could not be looked at").then_some(());
    until("the worker's warning", PATIENCE, refused).await;
    let arguments = ["gateway", "--config", &near.config.display().to_string()];
    let (_gateway, address) =
        start_listening(Path::new(binary()), &arguments, &near.path().join("gateway.log")).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let query = api.begin("select count(*) as n from nation", &json!({ "route": "fleet" })).await;
    let target = s3.endpoint.trim_start_matches("http://").to_owned();
    tokio::spawn(forward(way, target));
    let answer = api.results(&query, PATIENCE).await;
    assert_eq!(answer.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
}

/// Makes a bucket, as a user does who has forgotten it.
fn make_bucket(s3: &S3, bucket: &str) {
    let (key, secret) = s3.root();
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--request", "PUT"]).args([
        "--aws-sigv4",
        "aws:amz:us-east-1:s3",
        "--user",
        &format!("{key}:{secret}"),
    ]);
    assert!(curl.arg(format!("{}/{bucket}", s3.endpoint)).status().unwrap().success());
}

/// A worker repeats why it can do nothing. When its bucket is there, it works without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_says_why_and_finds_a_bucket_that_was_missing() {
    let Some(s3) = S3::from_env() else { return };
    let (key, secret) = s3.root();
    let bucket = unique("missing");
    let tables =
        dunlin_cli::tpch::tables_toml(&format!("file://{}/", crate::common::data(0.01).display()));
    let text = config(&bucket, &s3.endpoint, key, secret, &tables);
    let cases = [
        (Setup::with(|_| text), "the bucket does not exist: make it", "NoSuchBucket"),
        (
            Setup::with(|_| config(&s3.bucket, &s3.endpoint, key, "wrong", &tables)),
            "the secret key is wrong",
            "SignatureDoesNotMatch",
        ),
    ];
    let mut workers = Vec::new();
    for (setup, meaning, word) in &cases {
        let config = setup.config.display().to_string();
        let log = setup.path().join("worker.log");
        workers.push(Process::start(binary(), &["worker", "--config", &config], &log).unwrap());
        until("the worker's word", PATIENCE, || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let told = text.lines().find(|line| line.contains("could not be looked at"))?;
            assert!(told.contains(meaning) && told.contains(word), "{told}");
            Some(())
        })
        .await;
    }
    make_bucket(&s3, &bucket);
    let setup = &cases[0].0;
    let (_gateway, address) =
        start_gateway(binary(), &setup.config, &setup.path().join("gateway.log")).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let query = api.begin("select count(*) as n from nation", &json!({ "route": "fleet" })).await;
    let answer = api.results(&query, PATIENCE).await;
    assert_eq!(answer.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    assert!(workers.iter_mut().all(Process::is_running));
}
