//! What the tests of Flight SQL share: a client, and how its answers are read.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::super::site::Running;

pub(super) type Client = FlightSqlServiceClient<Channel>;

pub(super) async fn channel(gateway: &Running) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.flight_sql)).unwrap();
    endpoint.connect().await.unwrap()
}

pub(super) async fn client(gateway: &Running) -> Client {
    let inner = FlightServiceClient::new(channel(gateway).await);
    FlightSqlServiceClient::new_from_inner(inner.max_decoding_message_size(4 << 20))
}

/// A client that shows a key with every call.
pub(super) async fn with_key(gateway: &Running, key: &str) -> Client {
    let mut client = client(gateway).await;
    client.set_token(key.to_owned());
    client
}

pub(super) fn ticket(endpoint: &FlightEndpoint) -> Ticket {
    assert!(endpoint.location.is_empty(), "any gateway redeems it");
    endpoint.ticket.clone().unwrap()
}

pub(super) async fn batches(client: &mut Client, ticket: Ticket) -> Vec<RecordBatch> {
    client.do_get(ticket).await.unwrap().try_collect().await.unwrap()
}

/// The numbers of the first column of all endpoints, in their order.
pub(super) async fn numbers(client: &mut Client, info: &FlightInfo) -> Vec<i64> {
    let mut numbers = Vec::new();
    for endpoint in &info.endpoint {
        for batch in batches(client, ticket(endpoint)).await {
            assert_eq!(batch.schema().fields(), info.clone().try_decode_schema().unwrap().fields());
            numbers.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        }
    }
    numbers
}

/// The texts of a column.
pub(super) fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let columns = batches.iter().map(|batch| batch.column_by_name(column).unwrap());
    columns
        .flat_map(|column| column.as_string::<i32>().iter().flatten().map(str::to_owned))
        .collect()
}

/// The status of a call of the client that failed.
pub(super) fn status(error: arrow_flight::error::FlightError) -> Status {
    match error {
        arrow_flight::error::FlightError::Tonic(status) => *status,
        other => panic!("no status: {other}"),
    }
}

/// A status has this code and Dunlin's own code in its details.
pub(super) fn assert_refused(status: &Status, code: Code, own: &str) {
    let reason = status.get_details_error_info().map(|info| info.reason);
    assert_eq!((status.code(), reason.as_deref()), (code, Some(own)), "{status:?}");
    assert!(status.message().starts_with(own), "{status:?}");
}

pub(super) async fn acted(
    client: &mut Client,
    name: &str,
    body: impl Into<Bytes>,
) -> Result<Vec<Bytes>, Status> {
    let action = Action { r#type: name.to_owned(), body: body.into() };
    let answered = client.do_action(action).await.map_err(status)?;
    let messages: Vec<arrow_flight::Result> = answered.try_collect().await?;
    Ok(messages.into_iter().map(|message| message.body).collect())
}
