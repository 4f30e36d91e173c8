//! Keys: how they are shown, what they allow, and that tickets and handles work only for the key they were given to.

use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{CancelFlightInfoRequest, FlightDescriptor, Ticket};
use dunlin_gateway::auth::Scope;
use prost::Message;
use tonic::Code;

use super::super::site::*;
use super::client::*;

const KEYS: [(&str, &[Scope]); 3] =
    [("mine", &[Scope::Query]), ("other", &[Scope::Query]), ("admin", &[Scope::Admin])];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_as_bearer_or_as_a_password_and_a_handshake_gives_a_token_for_any_gateway() {
    let site = Site::new();
    let first = site.keyed(Some(site.worker(Outcome::Rows)), &KEYS).await;
    let second = site.keyed(None, &KEYS).await;
    for key in [None, Some("wrong"), Some("")] {
        let mut client = client(&first).await;
        if let Some(key) = key {
            client.set_token(key.to_owned());
        }
        let refused = status(client.execute("select 1 as n".to_owned(), None).await.unwrap_err());
        assert_refused(&refused, Code::Unauthenticated, "UNAUTHORIZED");
    }
    let mut asking = client(&first).await;
    assert!(asking.handshake("anyone", "wrong").await.is_err());
    asking.handshake("anyone", "mine").await.unwrap();
    let info = asking.execute("select 1 as n".to_owned(), None).await.unwrap();
    let token = asking.token().unwrap().clone();
    assert_eq!(numbers(&mut with_key(&second, &token).await, &info).await, [0, 1, 2, 3, 4]);
    // Without keys, everybody is taken, with or without words.
    let open = site.gateway(None, dunlin_gateway::GatewayOptions::default()).await;
    let mut anyone = client(&open).await;
    anyone.handshake("", "").await.unwrap();
    assert!(anyone.get_catalogs().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_do_what_its_scopes_say() {
    let site = Site::new();
    let gateway = site.keyed(None, &KEYS).await;
    let mut admin = with_key(&gateway, "admin").await;
    let refused = status(admin.execute("select 1 as n".to_owned(), None).await.unwrap_err());
    assert_refused(&refused, Code::PermissionDenied, "FORBIDDEN");
    let mut reader = with_key(&gateway, "mine").await;
    let write = "copy (select 1 as n) to 'somewhere.csv'".to_owned();
    let refused = reader.execute_update(write.clone(), None).await.unwrap_err();
    assert!(refused.to_string().contains("needs the scope write"), "{refused}");
    let refused = status(reader.execute(write, None).await.unwrap_err());
    assert_refused(&refused, Code::PermissionDenied, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_handles_are_useless_with_another_key_and_when_they_are_changed() {
    let site = Site::new();
    let gateway = site.keyed(Some(site.worker(Outcome::Rows)), &KEYS).await;
    let (mut mine, mut other) =
        (with_key(&gateway, "mine").await, with_key(&gateway, "other").await);
    let info = mine.execute("select 1 as n".to_owned(), None).await.unwrap();
    let ticket = ticket(&info.endpoint[0]);
    assert_eq!(numbers(&mut mine, &info).await.len(), 5);
    let refused = status(other.do_get(ticket.clone()).await.map(drop).unwrap_err());
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
    let refused = acted(&mut other, "CancelFlightInfo", body).await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    let mut poll = tonic::Request::new(FlightDescriptor::new_cmd(ticket.ticket.clone()));
    poll.metadata_mut().insert("authorization", "Bearer other".parse().unwrap());
    let refused = other.inner_mut().poll_flight_info(poll).await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    // Each byte of the token counts.
    let Some(TicketStatementQuery { statement_handle }) =
        Any::decode(&*ticket.ticket).unwrap().unpack().unwrap()
    else {
        panic!("no ticket")
    };
    for at in 0..statement_handle.len() {
        let mut changed = statement_handle.to_vec();
        changed[at] ^= 0x40;
        let changed = TicketStatementQuery { statement_handle: changed.into() };
        let ticket = Ticket { ticket: changed.as_any().encode_to_vec().into() };
        let refused = status(mine.do_get(ticket).await.map(drop).unwrap_err());
        assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    }
    // A handle, too.
    let request = ActionCreatePreparedStatementRequest {
        query: "select 1 as n".to_owned(),
        transaction_id: None,
    };
    let made = acted(&mut mine, "CreatePreparedStatement", request.as_any().encode_to_vec()).await;
    let made: ActionCreatePreparedStatementResult =
        Any::decode(&*made.unwrap()[0]).unwrap().unpack().unwrap().unwrap();
    let command =
        CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
    let mut execute =
        tonic::Request::new(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
    execute.metadata_mut().insert("authorization", "Bearer other".parse().unwrap());
    let refused = other.inner_mut().get_flight_info(execute).await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
}
