//! Prepared statements: what is told of them, their parameters, and that a handle works anywhere.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery,
    DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{FlightDescriptor, FlightInfo};
use arrow_schema::DataType;
use bytes::Bytes;
use dunlin_gateway::GatewayOptions;
use futures::TryStreamExt;
use prost::Message;
use serde_json::json as value;
use tonic::{Code, Status};

use super::super::site::*;
use super::client::*;

fn parameters(rows: usize) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("1", Arc::new(Int64Array::from(vec![7; rows])) as ArrayRef),
        ("2", Arc::new(StringArray::from(vec!["x"; rows])) as ArrayRef),
    ])
    .unwrap()
}

async fn prepare(client: &mut Client, sql: &str) -> ActionCreatePreparedStatementResult {
    let request =
        ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
    let answer = acted(client, "CreatePreparedStatement", request.as_any().encode_to_vec()).await;
    Any::decode(&*answer.unwrap()[0]).unwrap().unpack().unwrap().unwrap()
}

fn descriptor(handle: Bytes) -> FlightDescriptor {
    let command = CommandPreparedStatementQuery { prepared_statement_handle: handle };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

async fn bind(client: &mut Client, handle: Bytes, row: RecordBatch) -> Result<Bytes, Status> {
    let data = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor(handle)))
        .build(futures::stream::iter([Ok(row)]));
    let data: Vec<_> = data.try_collect().await.unwrap();
    let put = client.do_put(futures::stream::iter(data)).await.map_err(status)?;
    let results: Vec<_> = put.try_collect().await?;
    let result = DoPutPreparedStatementResult::decode(&*results[0].app_metadata).unwrap();
    Ok(result.prepared_statement_handle.unwrap())
}

async fn execute(client: &mut Client, handle: Bytes) -> Result<FlightInfo, Status> {
    let info = client.inner_mut().get_flight_info(descriptor(handle)).await;
    info.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_and_parameters_are_told_before_the_parameters_are_known() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    for sql in [
        "select x, y from (values (1, 'a')) as t(x, y) where x = $1 and y = $2 and x > $3",
        "select x, y from (values (1, 'a')) as t(x, y) where x = ? and y = ? and x > ?",
    ] {
        let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        let columns = prepared.dataset_schema().unwrap();
        let kinds: Vec<_> = columns.fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(kinds, [&DataType::Int64, &DataType::Utf8]);
        let taken = prepared.parameter_schema().unwrap();
        let kinds: Vec<_> = taken.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(kinds, [DataType::Int64, DataType::Utf8, DataType::Int64]);
        prepared.close().await.unwrap();
    }
    let wrong = client.prepare("select nothing from nowhere".to_owned(), None).await;
    assert!(wrong.is_err());
    assert_eq!(site.objects(), 0, "nothing is kept for a prepared statement");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_made_bound_and_executed_at_three_gateways() {
    let site = Site::new();
    let plain = GatewayOptions::default;
    let (first, second) = (site.gateway(None, plain()).await, site.gateway(None, plain()).await);
    let third = site.gateway(Some(site.worker(Outcome::Rows)), plain()).await;
    let sql = "select cast($1 as bigint) as n where $2 = 'x'";
    let made = prepare(&mut client(&first).await, sql).await;
    first.served.abort();
    let handle = made.prepared_statement_handle;
    let bound = bind(&mut client(&second).await, handle.clone(), parameters(1)).await.unwrap();
    second.served.abort();
    let mut client = client(&third).await;
    let info = execute(&mut client, bound).await.unwrap();
    assert_eq!(numbers(&mut client, &info).await, [0, 1, 2, 3, 4]);
    // The plan of the query has the values of the parameters.
    let query = std::str::from_utf8(&info.app_metadata).unwrap();
    let plan = json(third.get(&format!("/v1/queries/{query}/plan")).await).await;
    assert!(plan["distributed_plan"].as_str().unwrap().contains('7'), "{plan}");
    // The handle without parameters still has none.
    let unbound = execute(&mut client, handle.clone()).await.unwrap_err();
    assert_eq!(unbound.code(), Code::InvalidArgument, "{unbound:?}");
    let close = ActionClosePreparedStatementRequest { prepared_statement_handle: handle };
    let closed = acted(&mut client, "ClosePreparedStatement", close.as_any().encode_to_vec()).await;
    assert_eq!(closed.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_cannot_be_bound_are_refused_by_name() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let handle = prepare(&mut client, "select $1 as n, $2 as t").await.prepared_statement_handle;
    let many = bind(&mut client, handle.clone(), parameters(2)).await.unwrap_err();
    assert_refused(&many, Code::Unimplemented, "UNSUPPORTED");
    assert!(many.message().contains("more than one row of parameters"), "{many:?}");
    let long = "x".repeat(3 << 20);
    let long =
        RecordBatch::try_from_iter([("1", Arc::new(StringArray::from(vec![long])) as ArrayRef)]);
    let long = bind(&mut client, handle.clone(), long.unwrap()).await.unwrap_err();
    assert_refused(&long, Code::InvalidArgument, "BODY_TOO_LARGE");
    let wide = (0..1_001).map(|n| (n.to_string(), Arc::new(Int64Array::from(vec![n])) as ArrayRef));
    let bound = bind(&mut client, handle.clone(), RecordBatch::try_from_iter(wide).unwrap()).await;
    let wide = execute(&mut client, bound.unwrap()).await.unwrap_err();
    assert_refused(&wide, Code::InvalidArgument, "INVALID_REQUEST");
    // Fewer parameters than the statement names.
    let few = RecordBatch::try_from_iter([("1", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let few = bind(&mut client, handle, few.unwrap()).await.unwrap();
    assert_eq!(execute(&mut client, few).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(value!(site.objects()), value!(0));
}
