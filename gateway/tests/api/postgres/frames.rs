//! Bytes that no driver would send. Whatever they are, the client is told what is wrong or let go, and the gateway serves on.

use std::time::Duration;

use dunlin_gateway::GatewayOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

pub(super) fn startup(user: &str) -> Vec<u8> {
    let body = [&(3u32 << 16).to_be_bytes()[..], b"user\0", user.as_bytes(), b"\0\0"].concat();
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

pub(super) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// Everything that comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all));
    let _ = read.await.expect("the gateway neither answers nor closes");
    all
}

/// The messages in some bytes: their tags, and the SQLSTATEs of errors.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while bytes.len() >= 5 {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let body = &bytes[5..=length];
        let state = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
        found.push(match (bytes[0], state) {
            (b'E', Some(state)) => format!("E{}", String::from_utf8_lossy(state)),
            (tag, _) => char::from(tag).to_string(),
        });
        bytes = &bytes[length + 1..];
    }
    found
}

/// The errors and ready messages that bytes of a session are answered with, until the connection ends.
async fn answered(server: &Server, sent: &[&[u8]]) -> Vec<String> {
    let mut stream = server.bytes().await;
    stream.write_all(&startup("tests")).await.unwrap();
    for part in sent {
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let _ = stream.write_all(&frame(b'X', b"")).await;
    let all = messages(&rest(&mut stream).await);
    let start = all.iter().position(|message| message == "Z").map_or(0, |at| at + 1);
    all[start..].iter().filter(|it| it.starts_with('E') || *it == "Z").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_read_are_refused_by_sqlstate() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let sync = frame(b'S', b"");
    let query = frame(b'Q', b"select 1\0");
    for (sent, expected) in [
        // A tag that is none, lengths that cannot be, a body that is too short or too long.
        (frame(b'~', b""), vec!["E08P01"]),
        (vec![b'Q', 0, 0, 0, 3], vec!["E08P01"]),
        (vec![b'Q', 0xff, 0xff, 0xff, 0xff], vec!["E08P01"]),
        (vec![b'Q', 0x7f, 0xff, 0xff, 0xff], vec!["E08P01"]),
        (frame(b'Q', b"no end"), vec!["E08P01"]),
        (frame(b'Q', b"a\0b"), vec!["E08P01"]),
        (frame(b'B', b"\0\0\0\x01"), vec!["E08P01"]),
        (frame(b'D', b"?x\0"), vec!["E08P01"]),
        (frame(b'p', b"secret\0"), vec!["E08P01"]),
        // These end only their statement.
        (frame(b'Q', b"\xff\xfe\0"), vec!["E22021", "Z", "Z"]),
        (frame(b'F', b"\0\0\0\0"), vec!["E0A000", "Z", "Z"]),
        (frame(b'E', b"nobody\0\0\0\0\0"), vec!["E34000", "Z", "Z"]),
        (frame(b'B', b"\0nobody\0\0\0\0\0\0\0"), vec!["E26000", "Z", "Z"]),
        (frame(b'P', b"\0select $1\0\0\x01\0\0\xff\xff"), vec!["E0A000", "Z", "Z"]),
        (frame(b'P', b"\0select 1; select 2\0\0\0"), vec!["E42601", "Z", "Z"]),
    ] {
        let mut found = answered(&server, &[&sent, &sync, &query]).await;
        // A message of the extended protocol has no answer of its own before Sync; a query has.
        found.truncate(expected.len());
        assert_eq!(found, expected, "{sent:?}");
    }
    assert_eq!(server.talk().await.text("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_after_an_error_are_skipped_until_sync() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let parse = |sql: &str| frame(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
    let (bind, execute, sync) =
        (frame(b'B', b"\0\0\0\0\0\0\0\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b""));
    let sent = [
        &parse("select 1 +")[..],
        &bind,
        &execute,
        &parse("select 2"),
        &sync,
        &parse("select 3"),
        &bind,
        &execute,
        &sync,
    ];
    assert_eq!(answered(&server, &sent).await, ["E42601", "Z", "Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused_and_the_session_goes_on() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let long = frame(b'Q', &[vec![b' '; 3 << 20], b"\0".to_vec()].concat());
    let query = frame(b'Q', b"select 1\0");
    assert_eq!(answered(&server, &[&long, &query]).await, ["E54000", "Z", "Z"]);
    let text = frame(b'Q', &[vec![b'x'; (1 << 20) + 1], b"\0".to_vec()].concat());
    assert_eq!(answered(&server, &[&text, &query]).await, ["E54000", "Z", "Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_messages_that_begin_no_session_end_the_connection() {
    let site = Site::new();
    let mut options = GatewayOptions::default();
    options.door.limits.headers = Duration::from_millis(300);
    options.door.limits.tls_handshake = Duration::from_millis(100);
    let server = site.postgres(options).await;
    let code = |code: u32| [&8u32.to_be_bytes()[..], &code.to_be_bytes()].concat();
    for (sent, expected) in [
        // HTTP, TLS without certificates, nothing, half a message.
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "E08P01"),
        (vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], ""),
        (Vec::new(), ""),
        (vec![0, 0], ""),
        (vec![0, 0, 0, 3], "E08P01"),
        (code(2 << 16), "E08P01"),
        ([&[0u8, 0, 0, 9][..], &(3u32 << 16).to_be_bytes(), b"\0"].concat(), "E28000"),
    ] {
        let mut stream = server.bytes().await;
        stream.write_all(&sent).await.unwrap();
        let found = messages(&rest(&mut stream).await).concat();
        assert_eq!(found, expected, "{sent:?}");
    }
    // Without certificates TLS is declined, and plain text follows.
    let mut stream = server.bytes().await;
    stream.write_all(&code(80_877_103)).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'N');
    stream.write_all(&startup("tests")).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'R');
    // A message that stops half-way does not hold its connection for ever.
    assert_eq!(server.talk().await.text("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_stops_half_way_is_given_up() {
    let site = Site::new();
    let mut options = GatewayOptions::default();
    options.door.limits.body = Duration::from_millis(200);
    let server = site.postgres(options).await;
    let mut stream = server.bytes().await;
    stream.write_all(&startup("tests")).await.unwrap();
    stream.write_all(&[b'Q', 0, 0]).await.unwrap();
    let all = messages(&rest(&mut stream).await);
    assert_eq!(all.last().unwrap(), "E08P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_never_end_the_gateway() {
    let site = Site::new();
    let mut options = GatewayOptions::default();
    options.door.limits.body = Duration::from_millis(50);
    options.door.limits.headers = Duration::from_millis(50);
    options.door.limits.tls_handshake = Duration::from_millis(50);
    let server = site.postgres(options).await;
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    for round in 0..200 {
        let mut stream = server.bytes().await;
        let mut sent = if round % 2 == 0 { Vec::new() } else { startup("tests") };
        let tags = b"QPBDECSHXpdcfF";
        for _ in 0..8 {
            let body: Vec<u8> = (0..random() % 32).map(|_| random()).collect();
            sent.extend(frame(tags[usize::from(random()) % tags.len()], &body));
        }
        sent.extend(frame(b'X', b""));
        let _ = stream.write_all(&sent).await;
        rest(&mut stream).await;
    }
    assert_eq!(server.talk().await.text("select 1").await, "1");
}

/// What would keep a thread busy for minutes is read in no time, and answers do not pile up until the client says Sync.
#[tokio::test(flavor = "multi_thread")]
async fn long_texts_and_long_pipelines_cost_what_they_are_worth() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let names = format!("select {}\0", vec!["pg_am"; 170_000].join(","));
    let began = std::time::Instant::now();
    let told = answered(&server, &[&frame(b'Q', names.as_bytes())]).await;
    assert!(told.len() == 2 && told[0].starts_with('E'), "{told:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let told = answered(
        &server,
        &[&frame(b'Q', &[b"select ".as_slice(), &[b'1'; 2 << 20], b"\0"].concat())],
    )
    .await;
    assert_eq!(told[0], "E54000", "{told:?}");
    // A client that reads, and does not say Sync, gets what it asked for.
    let mut stream = server.bytes().await;
    stream.write_all(&startup("tests")).await.unwrap();
    let columns = (0..500).map(|at| format!("1 as {}{at}", "c".repeat(55))).collect::<Vec<_>>();
    let sql = format!("s\0select {}\0\0\0", columns.join(","));
    stream.write_all(&frame(b'P', sql.as_bytes())).await.unwrap();
    let describe = frame(b'D', b"Ss\0").repeat(200);
    stream.write_all(&describe).await.unwrap();
    let mut found = vec![0; 1 << 20];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut found));
    read.await.expect("nothing is sent before Sync").unwrap();
}
