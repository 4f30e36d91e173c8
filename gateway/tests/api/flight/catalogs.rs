//! Catalog commands, what the server tells of itself, and its health.

use arrow::array::{AsArray, RecordBatch};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    ProstMessageExt, SqlInfo,
};
use arrow_flight::{FlightDescriptor, FlightInfo};
use arrow_ipc::convert::try_schema_from_ipc_buffer;
use dunlin_gateway::GatewayOptions;
use futures::StreamExt;
use prost::Message;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::super::site::*;
use super::client::*;

async fn asked(client: &mut Client, command: impl ProstMessageExt) -> (FlightInfo, RecordBatch) {
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let info = client.inner_mut().get_flight_info(descriptor.clone()).await.unwrap().into_inner();
    let told = client.inner_mut().get_schema(descriptor).await.unwrap().into_inner();
    let columns = info.clone().try_decode_schema().unwrap();
    assert_eq!(try_schema_from_ipc_buffer(&told.schema).unwrap(), columns);
    let rows = batches(client, ticket(&info.endpoint[0])).await;
    let rows = arrow::compute::concat_batches(&columns.clone().into(), &rows).unwrap();
    (info, rows)
}

fn tables(pattern: &str, include_schema: bool) -> CommandGetTables {
    CommandGetTables {
        table_name_filter_pattern: Some(pattern.to_owned()),
        include_schema,
        ..CommandGetTables::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_listed_with_their_columns_and_a_missing_file_hides_no_other() {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().display();
    std::fs::write(data.path().join("rows.csv"), "zebra,apple\n1,x\n2,y\n").unwrap();
    let table = |name: &str, file: &str| {
        format!("[[tables]]\nname = \"{name}\"\nlocation = \"{at}/{file}\"\nformat = \"csv\"\n")
    };
    let site = Site::with(&(table("orders", "rows.csv") + &table("gone", "gone.csv")));
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let public = CommandGetTables {
        db_schema_filter_pattern: Some("public".to_owned()),
        ..CommandGetTables::default()
    };
    let (_, all) = asked(&mut client, public).await;
    assert_eq!(texts(std::slice::from_ref(&all), "table_name"), ["gone", "orders"]);
    assert_eq!(texts(&[all], "catalog_name"), ["datafusion", "datafusion"]);
    let (_, one) = asked(&mut client, tables("or%", true)).await;
    assert_eq!(texts(std::slice::from_ref(&one), "table_name"), ["orders"]);
    let schema = one.column_by_name("table_schema").unwrap().as_binary::<i32>().value(0);
    let schema = try_schema_from_ipc_buffer(schema).unwrap();
    let columns: Vec<_> = schema.fields().iter().map(|field| field.to_string()).collect();
    assert_eq!(columns.len(), 2, "{columns:?}");
    assert!(columns[0].contains("zebra") && columns[0].contains("Int64"), "{columns:?}");
    let of_type = |name: &str, table_type: &str| CommandGetTables {
        table_types: vec![table_type.to_owned()],
        ..tables(name, true)
    };
    let (_, queries) = asked(&mut client, of_type("%", "SYSTEM TABLE")).await;
    let names = texts(std::slice::from_ref(&queries), "table_name");
    let at = names.iter().position(|name| name == "queries").unwrap();
    assert_eq!(texts(std::slice::from_ref(&queries), "db_schema_name")[at], "system");
    let columns = queries.column_by_name("table_schema").unwrap().as_binary::<i32>().value(at);
    assert_eq!(try_schema_from_ipc_buffer(columns).unwrap().field(0).name(), "query_id");
    let (_, both) = asked(&mut client, of_type("%", "TABLE")).await;
    let schemas = both.column_by_name("table_schema").unwrap().as_binary::<i32>();
    assert_eq!(try_schema_from_ipc_buffer(schemas.value(0)).unwrap().fields().len(), 0, "gone");
    let views =
        CommandGetTables { table_types: vec!["VIEW".into()], ..CommandGetTables::default() };
    assert_eq!(asked(&mut client, views).await.1.num_rows(), 0);
    // A name that the catalog tells can be written in a statement.
    let sql = "select * from datafusion.public.orders".to_owned();
    assert_eq!(client.prepare(sql, None).await.unwrap().dataset_schema().unwrap(), &schema);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_catalog_command_answers_with_its_columns() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut client = client(&gateway).await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(
        texts(&batches(&mut client, ticket(&info.endpoint[0])).await, "catalog_name"),
        ["datafusion"]
    );
    let (_, rows) = asked(&mut client, CommandGetDbSchemas::default()).await;
    assert_eq!(texts(&[rows], "db_schema_name"), ["information_schema", "public", "system"]);
    let (_, rows) = asked(&mut client, CommandGetTableTypes {}).await;
    assert_eq!(texts(&[rows], "table_type"), ["SYSTEM TABLE", "TABLE"]);
    let (_, rows) = asked(&mut client, CommandGetXdbcTypeInfo { data_type: None }).await;
    assert!(texts(&[rows], "type_name").contains(&"DECIMAL".to_owned()));
    let info = client
        .get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerTransaction])
        .await
        .unwrap();
    let rows = batches(&mut client, ticket(&info.endpoint[0])).await;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    let none = [
        asked(&mut client, CommandGetPrimaryKeys { table: "t".into(), ..Default::default() })
            .await
            .1,
        asked(&mut client, CommandGetExportedKeys { table: "t".into(), ..Default::default() })
            .await
            .1,
        asked(&mut client, CommandGetImportedKeys { table: "t".into(), ..Default::default() })
            .await
            .1,
        asked(&mut client, CommandGetCrossReference::default()).await.1,
    ];
    assert_eq!(
        none.map(|rows| (rows.num_rows(), rows.num_columns())),
        [(0, 6), (0, 13), (0, 13), (0, 13)]
    );
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_what_ready_tells_and_asks_for_no_key() {
    let site = Site::new();
    let gateway = site.keyed(None, &[("mine", &[dunlin_gateway::auth::Scope::Query])]).await;
    let mut health = HealthClient::new(channel(&gateway).await);
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "arrow.flight.protocol.FlightService"] {
        let told = health.check(request(service)).await.unwrap().into_inner();
        assert_eq!(told.status(), ServingStatus::Serving);
    }
    assert_eq!(health.check(request("other")).await.unwrap_err().code(), Code::NotFound);
    let mut watched = health.watch(request("")).await.unwrap().into_inner();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    gateway.stop.send(()).unwrap();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watched.next().await.is_none());
    gateway.served.await.unwrap().unwrap();
}
