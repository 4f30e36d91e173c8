//! Portals and cursors: some rows at a time, and rows that nobody comes for.

use std::time::Duration;

use dunlin_gateway::{GatewayOptions, InlineLimits};

use super::*;

/// More rows than the gateway computes ahead, in several batches.
const MANY: &str = "select value as n from generate_series(1, 100000)";

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_gives_as_many_rows_as_it_is_asked_for_and_goes_on() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let Talk { mut client, .. } = server.talk().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(MANY, &[]).await.unwrap();
    let other = transaction.bind("select 7::bigint as n", &[]).await.unwrap();
    let mut next = 1i64;
    for most in [1, 2, 8_191, 1, 50_000] {
        let rows = transaction.query_portal(&portal, most).await.unwrap();
        assert_eq!(rows.len(), usize::try_from(most).unwrap());
        for row in rows {
            assert_eq!(row.get::<_, i64>(0), next);
            next += 1;
        }
        // Another statement between two fetches disturbs nothing.
        assert_eq!(
            transaction.query_one("select 1::bigint", &[]).await.unwrap().get::<_, i64>(0),
            1
        );
    }
    assert_eq!(transaction.query_portal(&other, 5).await.unwrap().len(), 1);
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!(i64::try_from(rest.len()).unwrap(), 100_000 - next + 1);
    assert!(transaction.query_portal(&portal, 10).await.unwrap().is_empty());
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_read_forward_and_end_with_their_transaction() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    talk.texts("begin").await;
    talk.texts(&format!("declare \"a b\" cursor for {MANY}")).await;
    assert_eq!(talk.texts("fetch forward 3 from \"a b\"").await.len(), 3);
    talk.texts("move 10000 from \"a b\"").await;
    assert_eq!(talk.text("fetch next from \"a b\"").await, "10004");
    assert_eq!(talk.texts("fetch all from \"a b\"").await.len(), 100_000 - 10_004);
    assert_eq!(talk.texts("fetch 1 from \"a b\"").await.len(), 0);
    talk.texts("close \"a b\"").await;
    assert_eq!(talk.state("fetch 1 from \"a b\"").await, "34000");
    talk.texts("rollback; begin").await;
    talk.texts("declare c cursor for select 1; declare h cursor with hold for select 2; commit")
        .await;
    assert_eq!(talk.state("fetch 1 from c").await, "34000");
    assert_eq!(talk.text("fetch 1 from h").await, "2");
    // By the extended protocol, as drivers with named cursors send it.
    let client = &talk.client;
    client.execute("begin", &[]).await.unwrap();
    client
        .execute("declare d cursor for select value from generate_series(1, 5)", &[])
        .await
        .unwrap();
    let rows = client.query("fetch forward 2 from d", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [1, 2]);
    client.execute("close d", &[]).await.unwrap();
    client.execute("commit", &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_nobody_comes_for_give_their_place_back() {
    let site = Site::new();
    let inline = InlineLimits {
        slots: 1,
        queue: 0,
        time: Duration::from_secs(1),
        ..InlineLimits::default()
    };
    let server = site.postgres(GatewayOptions { inline, ..GatewayOptions::default() }).await;
    let (slow, other) = (server.talk().await, server.talk().await);
    slow.texts(&format!("begin; declare c cursor for {MANY}")).await;
    assert_eq!(slow.texts("fetch 2 from c").await.len(), 2);
    assert_eq!(other.state(&MANY.replace("100000", "99999")).await, "53000");
    let freed = async {
        while other.client.simple_query(&MANY.replace("100000", "10")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), freed).await.unwrap();
    assert_eq!(slow.state("fetch 1 from c").await, "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_more_is_let_go_and_its_query_ends() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::new();
    let mut options = GatewayOptions::default();
    options.door.limits.answer_stall = Duration::from_secs(3);
    options.inline = InlineLimits { slots: 1, queue: 0, ..InlineLimits::default() };
    let server = site.postgres(options).await;
    let mut deaf = server.bytes().await;
    deaf.write_all(&super::frames::startup("tests")).await.unwrap();
    let sql = "select repeat('x', 1000) from generate_series(1, 10000000)";
    deaf.write_all(&super::frames::frame(b'Q', &[sql.as_bytes(), b"\0"].concat())).await.unwrap();
    // Its rows have begun: it has the only place. Another query that came first would have had it.
    deaf.read_exact(&mut [0; 64 << 10]).await.unwrap();
    let talk = server.talk().await;
    // Until the deaf client is let go, it has the only place.
    let busy = async {
        while talk.client.simple_query(MANY).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), busy).await.unwrap();
    let freed = async {
        while talk.client.simple_query(MANY).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), freed).await.unwrap();
    drop(deaf);
}
