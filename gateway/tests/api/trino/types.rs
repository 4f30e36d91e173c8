//! Types and values as clients read them.

use dunlin_gateway::GatewayOptions;
use serde_json::{Value, json};

use super::super::site::*;
use super::client::*;

/// A query with a value of each kind. It names the session, so the gateway answers it itself.
const SQL: &str = "select cast(1 as tinyint) as a, cast(2 as smallint) as b, 3 as c, cast(4 as int unsigned) as d, \
     arrow_cast(5, 'UInt64') as e, cast(0.1 as real) as f, cast('NaN' as double) as g, \
     cast('-1.50' as decimal(10,2)) as h, 'ä\"' as i, x'00ff' as j, true as k, date '2024-02-29' as l, \
     arrow_cast('2024-02-29T12:00:00.123456789', 'Timestamp(Nanosecond, None)') as m, \
     arrow_cast('2024-02-29T12:00:00', 'Timestamp(Second, Some(\"+00:00\"))') as n, \
     arrow_cast('12:34:56.5', 'Time64(Microsecond)') as o, [1, null] as p, \
     map(['k'], [1.5]) as q, named_struct('x', 1, 'y', null) as r, null as s, \
     arrow_cast(90061001, 'Duration(Millisecond)') as t, version() is null as u";

#[tokio::test(flavor = "multi_thread")]
async fn every_type_has_its_name_its_parts_and_its_values() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let begun = posted(&gateway, SQL).await;
    let (last, rows) = ended(&gateway, begun).await;
    assert_eq!(last.body["error"], Value::Null);
    let columns = last.body["columns"].as_array().unwrap();
    let types: Vec<_> = columns.iter().map(|column| column["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "tinyint",
            "smallint",
            "bigint",
            "bigint",
            "decimal(20,0)",
            "real",
            "double",
            "decimal(10,2)",
            "varchar",
            "varbinary",
            "boolean",
            "date",
            "timestamp(9)",
            "timestamp(0) with time zone",
            "time(6)",
            "array(bigint)",
            "map(varchar, double)",
            "row(\"x\" bigint, \"y\" unknown)",
            "unknown",
            "interval day to second",
            "boolean",
        ]
    );
    assert_eq!(
        rows,
        [json!([
            1, 2, 3, 4, "5", 0.1, "NaN", "-1.50", "ä\"", "AP8=", true, "2024-02-29",
            "2024-02-29 12:00:00.123456789", "2024-02-29 12:00:00 UTC", "12:34:56.500000",
            [1, null], {"k": 1.5}, [1, null], null, "1 01:01:01.001", false
        ])]
    );
    let signature = &columns[7]["typeSignature"];
    assert_eq!(
        *signature,
        json!({"rawType": "decimal", "arguments": [{"kind": "LONG", "value": 10}, {"kind": "LONG", "value": 2}]})
    );
    let field = &columns[17]["typeSignature"]["arguments"][0];
    assert_eq!(
        (&field["kind"], &field["value"]["fieldName"]["name"]),
        (&json!("NAMED_TYPE"), &json!("x"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_no_digits_gets_milliseconds() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let old = gateway
        .client
        .post(format!("{}/v1/statement", gateway.url))
        .header("x-trino-user", "old")
        .body(SQL);
    let (last, rows) = ended(&gateway, reply(old).await).await;
    let column = &last.body["columns"][12];
    assert_eq!(
        (&column["type"], &column["typeSignature"]),
        (&json!("timestamp"), &json!({"rawType": "timestamp", "arguments": []}))
    );
    assert_eq!(
        (&rows[0][12], &rows[0][13]),
        (&json!("2024-02-29 12:00:00.123"), &json!("2024-02-29 12:00:00.000 UTC"))
    );
}
