//! Statements, tickets, polling, cancelling, answers in parts.

use std::time::Duration;

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, Any, CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{
    CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, PollInfo,
};
use dunlin_gateway::GatewayOptions;
use dunlin_manifest::ids::QueryId;
use prost::Message;
use tonic::{Code, Status};

use super::super::site::*;
use super::client::*;

fn command(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

async fn poll(client: &mut Client, descriptor: FlightDescriptor) -> Result<PollInfo, Status> {
    client.inner_mut().poll_flight_info(descriptor).await.map(tonic::Response::into_inner)
}

fn query_of(metadata: &[u8]) -> QueryId {
    QueryId::parse(std::str::from_utf8(metadata).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_redeemed_by_another_gateway_after_the_first_has_died_and_again() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let info = client(&first).await.execute("select 1 as n".to_owned(), None).await.unwrap();
    first.served.abort();
    let _ = first.served.await;
    let mut client = client(&second).await;
    for _ in 0..2 {
        assert_eq!(numbers(&mut client, &info).await, [0, 1, 2, 3, 4]);
    }
    let query = query_of(&info.app_metadata);
    let status = json(second.get(&format!("/v1/queries/{query}")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_are_told_at_once_and_a_ticket_waits_for_the_end() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let info = client.execute("select 1 as n".to_owned(), None).await.unwrap();
    assert_eq!(info.clone().try_decode_schema().unwrap().field(0).name(), "n");
    assert_eq!((info.total_records, info.endpoint.len()), (-1, 1));
    let redeemed = tokio::spawn({
        let (mut client, info) = (with_key(&gateway, "any").await, info.clone());
        async move { numbers(&mut client, &info).await }
    });
    site.somebody_waits().await;
    assert!(!redeemed.is_finished());
    site.worker(Outcome::Rows).run(query_of(&info.app_metadata)).await;
    assert_eq!(redeemed.await.unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_says_so_by_its_status_and_names_itself() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let info = client.execute("select 1 as n".to_owned(), None).await.unwrap();
    let failed = client.do_get(ticket(&info.endpoint[0])).await.map(drop).unwrap_err();
    let failed = status(failed);
    assert_refused(&failed, Code::InvalidArgument, "EXECUTION_FAILED");
    assert!(failed.message().contains("divide by zero"), "{failed:?}");
    let named = failed.metadata().get("dunlin-query-id").unwrap().to_str().unwrap();
    assert_eq!(named.as_bytes(), &info.app_metadata[..]);
    let polled = poll(&mut client, command("select 1 as n")).await.unwrap_err();
    assert_refused(&polled, Code::InvalidArgument, "EXECUTION_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_have_the_codes_of_http_and_the_place() {
    use tonic_types::StatusExt;
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let mut refused =
        async |sql: &str| status(client.execute(sql.to_owned(), None).await.unwrap_err());
    let wrong = refused("select 1\n form t").await;
    assert_refused(&wrong, Code::InvalidArgument, "SYNTAX_ERROR");
    let details = wrong.get_details_error_info().unwrap().metadata;
    assert_eq!((details["line"].as_str(), details["column"].as_str()), ("2", "7"));
    let wrong = refused("select nothing from nowhere").await;
    assert_refused(&wrong, Code::InvalidArgument, "PLANNING_FAILED");
    assert_refused(&refused("").await, Code::InvalidArgument, "INVALID_REQUEST");
    let wrong = refused("set datafusion.execution.batch_size = 1").await;
    assert_refused(&wrong, Code::Unimplemented, "UNSUPPORTED");
    let long = refused(&"x".repeat((1 << 20) + 1)).await;
    assert_refused(&long, Code::InvalidArgument, "SQL_TOO_LARGE");
    let transaction = Some(bytes::Bytes::from_static(b"1"));
    let wrong = status(client.execute("select 1".to_owned(), transaction).await.unwrap_err());
    assert_refused(&wrong, Code::Unimplemented, "UNSUPPORTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_has_a_ticket_like_any_answer() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let info = client.execute("explain select 1 as x".to_owned(), None).await.unwrap();
    let rows = batches(&mut client, ticket(&info.endpoint[0])).await;
    assert_eq!(texts(&rows, "plan_type"), ["distributed_plan", "route", "estimate"]);
    assert_eq!(site.objects(), 0, "nothing is stored for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_is_told_after_the_end() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let info = client.execute("explain analyze select 1 as n".to_owned(), None).await.unwrap();
    let rows = batches(&mut client, ticket(&info.endpoint[0])).await;
    assert!(texts(&rows, "plan_type").contains(&"total".to_owned()), "{rows:?}");
    assert_eq!(rows[0].schema().fields(), info.try_decode_schema().unwrap().fields());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_is_polled_from_one_gateway_to_the_other() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let began = poll(&mut client(&first).await, command("select 1 as n")).await.unwrap();
    let info = began.info.unwrap();
    assert_eq!(info.endpoint, [], "no ticket before the end");
    assert_eq!(began.progress, Some(0.0));
    site.worker(Outcome::Rows).run(query_of(&info.app_metadata)).await;
    let mut client = client(&second).await;
    let ended = poll(&mut client, began.flight_descriptor.unwrap()).await.unwrap();
    assert_eq!((&ended.flight_descriptor, ended.progress), (&None, Some(1.0)));
    let info = ended.info.unwrap();
    assert_eq!((info.total_records, info.ordered), (5, true));
    assert_eq!(numbers(&mut client, &info).await, [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_by_its_info_in_both_ways_from_any_gateway() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let (mut here, mut there) = (client(&first).await, client(&second).await);
    let info = here.execute("select 1 as n".to_owned(), None).await.unwrap();
    let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
    let answer = acted(&mut there, "CancelFlightInfo", body.clone()).await.unwrap();
    let result = CancelFlightInfoResult::decode(&*answer[0]).unwrap();
    assert_eq!(result.status(), CancelStatus::Cancelled);
    let gone = here.do_get(ticket(&info.endpoint[0])).await.map(drop).unwrap_err();
    assert_refused(&status(gone), Code::Cancelled, "CANCELLED");
    // The older action, for another query.
    let info = here.execute("select 2 as n".to_owned(), None).await.unwrap();
    let body = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let answer = acted(&mut there, "CancelQuery", body.as_any().encode_to_vec()).await.unwrap();
    let result: ActionCancelQueryResult =
        Any::decode(&*answer[0]).unwrap().unpack().unwrap().unwrap();
    assert_eq!(result.result, CancelStatus::Cancelled as i32);
    // A query that has ended is not cancelled.
    let third = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let info = client(&third).await.execute("select 3 as n".to_owned(), None).await.unwrap();
    assert_eq!(numbers(&mut here, &info).await.len(), 5);
    let body = CancelFlightInfoRequest { info: Some(info) }.encode_to_vec();
    let answer = acted(&mut there, "CancelFlightInfo", body).await.unwrap();
    let result = CancelFlightInfoResult::decode(&*answer[0]).unwrap();
    assert_eq!(result.status(), CancelStatus::NotCancellable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_has_an_endpoint_for_each_part_and_they_are_the_answer() {
    const ROWS: i64 = 5_000_000;
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let first = site.gateway(Some(worker), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let mut asking = client(&first).await;
    asking.set_header("dunlin-wait", "60");
    let info = asking.execute("select 1 as n".to_owned(), None).await.unwrap();
    assert_eq!((info.total_records, info.endpoint.len()), (ROWS + 3, 3));
    assert!(info.ordered && info.total_bytes > 0);
    let mut reading = Vec::new();
    for (at, endpoint) in info.endpoint.iter().enumerate() {
        let mut client = client(if at % 2 == 0 { &first } else { &second }).await;
        let ticket = ticket(endpoint);
        reading.push(tokio::spawn(async move {
            let batches = batches(&mut client, ticket).await;
            let of = |batch: &arrow::array::RecordBatch| {
                use arrow::array::AsArray;
                batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
            };
            batches.iter().flat_map(of).collect::<Vec<i64>>()
        }));
    }
    let mut expected = 0;
    for part in reading {
        for number in part.await.unwrap() {
            assert_eq!(number, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, ROWS + 3);
    // Without the wait there is one ticket for all of it.
    let info = client(&first).await.execute("select 1 as n".to_owned(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 1);
    assert_eq!(numbers(&mut client(&second).await, &info).await.len(), 5_000_003);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_sent_again_with_its_key_is_the_same_query() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    client.set_header("idempotency-key", "once");
    let first = client.execute("select 1 as n".to_owned(), None).await.unwrap();
    let again = client.execute("select 1 as n".to_owned(), None).await.unwrap();
    assert_eq!(first.app_metadata, again.app_metadata);
    let other = client.execute("select 2 as n".to_owned(), None).await.unwrap_err();
    assert_refused(&status(other), Code::InvalidArgument, "IDEMPOTENCY_MISMATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_travel_in_the_metadata() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    client.set_header("dunlin-settings", "{\"route\":\"fleet\"}");
    let info = client.execute("select 1 as n".to_owned(), None).await.unwrap();
    let query = query_of(&info.app_metadata);
    let status_of = json(gateway.get(&format!("/v1/queries/{query}")).await).await;
    assert_eq!(status_of["route"], "fleet");
    client.set_header("dunlin-settings", "{\"colour\":\"red\"}");
    let wrong = client.execute("select 1 as n".to_owned(), None).await.unwrap_err();
    assert_refused(&status(wrong), Code::InvalidArgument, "INVALID_SETTING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_hands_its_clients_over_and_the_query_goes_on() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let mut asking = client(&first).await;
    let info = asking.execute("select 1 as n".to_owned(), None).await.unwrap();
    let one_ticket = ticket(&info.endpoint[0]);
    let waiting = tokio::spawn(async move { asking.do_get(one_ticket).await.map(drop) });
    site.somebody_waits().await;
    first.stop.send(()).unwrap();
    let told = status(waiting.await.unwrap().unwrap_err());
    assert_refused(&told, Code::Unavailable, "GATEWAY_BUSY");
    let served = tokio::time::timeout(Duration::from_secs(15), first.served).await;
    served.expect("the drain does not wait for idle connections").unwrap().unwrap();
    site.worker(Outcome::Rows).run(query_of(&info.app_metadata)).await;
    assert_eq!(numbers(&mut client(&second).await, &info).await, [0, 1, 2, 3, 4]);
}
