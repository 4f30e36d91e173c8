//! Bad input: what is no request, what is too long or too slow, and clients that do not read. Each gets a typed error or is
//! let go, and the gateway goes on.

use std::time::Duration;

use arrow_flight::sql::{
    CommandStatementIngest, CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt,
};
use arrow_flight::{Action, Criteria, Empty, FlightData, FlightDescriptor, Ticket};
use bytes::Bytes;
use dunlin_gateway::{DoorLimits, DoorOptions, GatewayOptions};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::super::site::*;
use super::client::*;

fn limited(limits: DoorLimits) -> GatewayOptions {
    GatewayOptions { door: DoorOptions { limits, ..DoorOptions::default() }, ..Default::default() }
}

async fn still_answers(gateway: &Running) {
    assert!(client(gateway).await.get_catalogs().await.is_ok());
}

async fn info_of(client: &mut Client, descriptor: FlightDescriptor) -> Status {
    client.inner_mut().get_flight_info(descriptor).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_is_refused_in_every_call() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let garbage: [&[u8]; 4] = [b"", b"\xff\xff\xff\xff", b"select 1", &[0; 5_000]];
    for bytes in garbage {
        let bytes = bytes.to_vec();
        let descriptor = FlightDescriptor::new_cmd(bytes.clone());
        let refused = info_of(&mut client, descriptor.clone()).await;
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        let inner = client.inner_mut();
        let refused = inner.get_schema(descriptor.clone()).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        let refused = inner.poll_flight_info(descriptor.clone()).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        let refused = inner.do_get(Ticket { ticket: bytes.clone().into() }).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        let data = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
        let refused = inner.do_put(futures::stream::iter([data])).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        for name in ["CreatePreparedStatement", "CancelQuery", "ClosePreparedStatement", "Other"] {
            let action = Action { r#type: name.to_owned(), body: bytes.clone().into() };
            let refused = inner.do_action(action).await.unwrap_err();
            assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        }
    }
    let path = FlightDescriptor::new_path(vec!["orders".to_owned()]);
    assert_refused(&info_of(&mut client, path).await, Code::Unimplemented, "UNSUPPORTED");
    let none = client.inner_mut().do_put(futures::stream::empty()).await.unwrap_err();
    assert_refused(&none, Code::InvalidArgument, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_has_and_dunlin_has_not_is_refused_by_name() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let put = |command: Bytes| {
        let descriptor = FlightDescriptor::new_cmd(command);
        let data = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
        futures::stream::iter([data])
    };
    let ingest = CommandStatementIngest { table: "t".into(), ..CommandStatementIngest::default() };
    let refused = client.inner_mut().do_put(put(ingest.as_any().encode_to_vec().into())).await;
    let refused = refused.unwrap_err();
    assert_refused(&refused, Code::Unimplemented, "UNSUPPORTED");
    assert!(refused.message().contains("CommandStatementIngest"), "{refused:?}");
    let plan = CommandStatementSubstraitPlan::default().as_any().encode_to_vec();
    let refused = info_of(&mut client, FlightDescriptor::new_cmd(plan)).await;
    assert_refused(&refused, Code::Unimplemented, "UNSUPPORTED");
    for name in ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint"] {
        let refused = acted(&mut client, name, Bytes::new()).await.unwrap_err();
        assert_refused(&refused, Code::Unimplemented, "UNSUPPORTED");
    }
    let inner = client.inner_mut();
    let refused = inner.list_flights(Criteria::default()).await.unwrap_err();
    assert_refused(&refused, Code::Unimplemented, "UNSUPPORTED");
    let refused = inner.do_exchange(futures::stream::empty()).await.unwrap_err();
    assert_refused(&refused, Code::Unimplemented, "UNSUPPORTED");
    let actions = inner.list_actions(Empty {}).await.unwrap().into_inner();
    let actions: Vec<_> = actions.map(|action| action.unwrap().r#type).collect().await;
    assert!(actions.contains(&"CancelFlightInfo".to_owned()));
    assert!(!actions.contains(&"BeginTransaction".to_owned()));
    // A query is no update.
    let update = CommandStatementUpdate { query: "select 1".into(), transaction_id: None };
    let refused = inner.do_put(put(update.as_any().encode_to_vec().into())).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(site.objects(), 0, "nothing was submitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_and_one_that_never_ends_are_refused() {
    let site = Site::new();
    let limits = DoorLimits { body: Duration::from_millis(500), ..DoorLimits::default() };
    let gateway = site.gateway(None, limited(limits)).await;
    let mut client = client(&gateway).await;
    let long = FlightDescriptor::new_cmd(vec![0; 5 << 20]);
    let refused = info_of(&mut client, long).await;
    assert!(matches!(refused.code(), Code::OutOfRange | Code::InvalidArgument), "{refused:?}");
    // A client that keeps its stream open and sends nothing.
    let slow = client.inner_mut().do_put(futures::stream::pending()).await.unwrap_err();
    assert_refused(&slow, Code::DeadlineExceeded, "REQUEST_TIMEOUT");
    // A client that sends without end.
    let flood = FlightData { data_body: vec![0; 1 << 20].into(), ..FlightData::default() };
    let command = CommandStatementUpdate { query: "select 1".into(), transaction_id: None };
    let first = FlightData {
        flight_descriptor: Some(FlightDescriptor::new_cmd(command.as_any().encode_to_vec())),
        ..flood.clone()
    };
    let endless = futures::stream::iter([first]).chain(futures::stream::repeat(flood));
    let ended = client.inner_mut().do_put(endless).await.unwrap_err();
    assert!(ended.code() != Code::Ok, "{ended:?}");
    still_answers(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http2_end_their_connection_only() {
    let site = Site::new();
    let limits = DoorLimits { headers: Duration::from_millis(300), ..DoorLimits::default() };
    let gateway = site.gateway(None, limited(limits)).await;
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..];
    let frames: [Vec<u8>; 5] = [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0xff; 4_096],
        [preface, &[0xff; 64]].concat(),
        // Half of a preface, and then silence.
        preface[..10].to_vec(),
        Vec::new(),
    ];
    for bytes in frames {
        let mut stream = TcpStream::connect(&gateway.flight_sql).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        // An error of the connection ends it, too.
        let _ = ended.await.expect("the connection is ended");
        still_answers(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_let_go_and_one_that_reads_slowly_is_not() {
    let site = Site::new();
    let limits = DoorLimits { answer_stall: Duration::from_secs(1), ..DoorLimits::default() };
    let worker = site.worker(Outcome::Many(3_000_000));
    let gateway = site.gateway(Some(worker), limited(limits)).await;
    let mut asking = client(&gateway).await;
    let info = asking.execute("select 1 as n".to_owned(), None).await.unwrap();
    // Slowly: a pause between batches, longer in all than the limit.
    let mut rows = asking.do_get(ticket(&info.endpoint[0])).await.unwrap();
    let mut slowly = 0;
    for _ in 0..4 {
        slowly += rows.try_next().await.unwrap().unwrap().num_rows();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    while let Some(batch) = rows.try_next().await.unwrap() {
        slowly += batch.num_rows();
    }
    assert_eq!(slowly, 3_000_003);
    // Not at all.
    let mut stalled = client(&gateway).await.do_get(ticket(&info.endpoint[0])).await.unwrap();
    let first = stalled.try_next().await.unwrap().unwrap();
    let mut read = first.num_rows();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let outcome = loop {
        match stalled.try_next().await {
            Ok(Some(batch)) => read += batch.num_rows(),
            other => break other,
        }
    };
    assert!(outcome.is_err() && read < 3_000_003, "cut after {read} rows");
    // Its ticket is as good as before.
    assert_eq!(numbers(&mut client(&gateway).await, &info).await.len(), 3_000_003);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_connections_are_bounded() {
    let site = Site::new();
    let limits = DoorLimits { client_requests: 1, connections: 2, ..DoorLimits::default() };
    let gateway = site.gateway(None, limited(limits)).await;
    let mut waiting = client(&gateway).await;
    let info = waiting.execute("select 1 as n".to_owned(), None).await.unwrap();
    let one = ticket(&info.endpoint[0]);
    let held = tokio::spawn(async move { waiting.do_get(one).await.map(drop) });
    site.somebody_waits().await;
    let mut second = client(&gateway).await;
    let refused = status(second.get_catalogs().await.unwrap_err());
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
    let third = TcpStream::connect(&gateway.flight_sql).await.unwrap();
    let mut third = third;
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed at once");
    held.abort();
    let _ = held.await;
    let freed = async {
        while second.get_catalogs().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_in_good_manners() {
    let site = Site::new();
    let limits = DoorLimits { idle: Duration::from_millis(300), ..DoorLimits::default() };
    let gateway = site.gateway(None, limited(limits)).await;
    let mut client = client(&gateway).await;
    for _ in 0..3 {
        // A client connects again without an error.
        assert!(client.get_catalogs().await.is_ok());
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}
