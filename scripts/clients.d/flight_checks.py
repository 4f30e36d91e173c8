"""What ADBC and pyarrow get from two gateways: run by scripts/clients.d/flight with the addresses of both."""

import base64
import datetime
import decimal
import os
import signal
import sys
import threading
import time

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions, StatementOptions

from checks import ROWS, check, refused, run_all, same

FIRST, SECOND = sys.argv[1:3]


def connect(address=FIRST, key="key-of-reader", **more):
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {key}", **more}
    return dbapi.connect(f"grpc://{address}", db_kwargs=options, autocommit=True)


def rows(sql, parameters=None, **options):
    with connect(**options) as connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@check
def adbc_reads_tables():
    for table, count in ROWS.items():
        same(rows(f"select count(*) from {table}"), [(count,)], table)
    top = rows("select n_name, count(*) as c from nation join customer on n_nationkey = c_nationkey group by 1 order by 2 desc, 1 limit 3")
    same(len(top), 3)
    same(top, rows("select n_name, count(*) as c from customer join nation on n_nationkey = c_nationkey group by 1 order by 2 desc, 1 limit 3", address=SECOND))


@check
def adbc_reads_types():
    got = rows(
        "select cast(1 as tinyint) a, cast(-2 as bigint) b, cast(1.5 as double) c, cast(12.34 as decimal(10,2)) d, "
        "'ä' e, true f, date '2024-02-29' g, timestamp '2024-02-29T12:00:00' h, x'00ff' i, cast(null as int) j, [1,2] k, {a: 1} l"
    )[0]
    same(got[:8], (1, -2, 1.5, decimal.Decimal("12.34"), "ä", True, datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12)))
    same(got[8:11], (b"\x00\xff", None, [1, 2]))
    same(got[11], {"a": 1})


@check
def adbc_binds_parameters():
    sql = "select count(*) from orders where o_orderkey < $1 and o_orderdate >= $2 and o_totalprice > $3"
    values = (10000, datetime.date(1995, 1, 1), decimal.Decimal("1000.50"))
    literal = "select count(*) from orders where o_orderkey < 10000 and o_orderdate >= date '1995-01-01' and o_totalprice > 1000.50"
    wanted = rows(literal)
    same(rows(sql, values), wanted)
    same(rows(sql.replace("$1", "?").replace("$2", "?").replace("$3", "?"), values, address=SECOND), wanted)
    same(rows("select $1 as a, $2 as b, $3 as c", (None, "it's", 2.5)), [(None, "it's", 2.5)])
    # Text that looks like SQL stays text.
    same(rows("select count(*) from nation where n_name = $1", ("' or 1=1 --",)), [(0,)])
    with connect() as connection, connection.cursor() as cursor:
        refused(["more than one row of parameters"], lambda: cursor.executemany("select $1 as a", [(1,), (2,)]))


@check
def adbc_prepares():
    with connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_prepare("select n_name, n_nationkey + $1 as k from nation where n_regionkey = $2")
        same(len(schema), 2, schema)
        for region in range(3):
            cursor.execute("select n_name, n_nationkey + $1 as k from nation where n_regionkey = $2", (0, region))
            same(len(cursor.fetchall()), 5)


@check
def adbc_reads_catalogs():
    with connect() as connection:
        info = connection.adbc_get_info()
        same(info["vendor_name"], "Dunlin")
        objects = connection.adbc_get_objects(depth="columns", table_name_filter="nation").read_all().to_pylist()
        same([catalog["catalog_name"] for catalog in objects], ["datafusion"])
        schemas = {schema["db_schema_name"]: schema for schema in objects[0]["catalog_db_schemas"]}
        tables = schemas["public"]["db_schema_tables"]
        same([table["table_name"] for table in tables], ["nation"])
        names = [column["column_name"] for column in tables[0]["table_columns"]]
        same(names, ["n_nationkey", "n_name", "n_regionkey", "n_comment"])
        same(connection.adbc_get_table_types(), ["SYSTEM TABLE", "TABLE"])
        same(connection.adbc_get_table_schema("region").names, ["r_regionkey", "r_name", "r_comment"])


@check
def adbc_reads_parts_and_partitions():
    header = {f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}dunlin-settings": '{"route": "fleet"}'}
    with connect(**header) as connection, connection.cursor() as cursor:
        cursor.execute("select l_orderkey, l_comment from lineitem order by l_orderkey, l_linenumber")
        table = cursor.fetch_arrow_table()
        same(table.num_rows, ROWS["lineitem"])
        keys = table.column("l_orderkey").to_pylist()
        same(keys, sorted(keys), "in order")
        partitions, schema = cursor.adbc_execute_partitions("select l_orderkey from lineitem")
        same(schema.names, ["l_orderkey"])
    count = 0
    for partition in partitions:
        with connect(address=SECOND) as connection, connection.cursor() as cursor:
            cursor.adbc_read_partition(partition)
            count += cursor.fetch_arrow_table().num_rows
    same(count, ROWS["lineitem"], "read at another gateway")


@check
def adbc_polls():
    header = {f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}dunlin-settings": '{"route": "fleet"}'}
    with connect(**header) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        found = []
        for _ in range(100):
            partitions, _ = cursor.adbc_execute_partitions("select count(*) as c from lineitem")
            if not partitions:
                break
            found += partitions
        same(len(found), 1)
        cursor.adbc_read_partition(found[0])
        same(cursor.fetchall(), [(ROWS["lineitem"],)])


@check
def adbc_cancels():
    with connect() as connection, connection.cursor() as cursor:
        def cancel():
            time.sleep(1)
            cursor.adbc_cancel()

        threading.Thread(target=cancel).start()
        began = time.monotonic()
        runaway = "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b"
        refused([], lambda: (cursor.execute(runaway), cursor.fetchall()))
        assert time.monotonic() - began < 20, "it took too long"


@check
def adbc_writes():
    with connect(key="key-of-writer") as connection, connection.cursor() as cursor:
        statement = cursor.adbc_statement
        statement.set_sql_query("create table copied as select * from nation where n_nationkey < 10")
        same(statement.execute_update(), 10)
        statement.set_sql_query("insert into copied select * from nation where n_nationkey >= 10")
        same(statement.execute_update(), 15)
    same(rows("select count(*), count(distinct n_nationkey) from copied", address=SECOND), [(25, 25)])
    with connect() as connection, connection.cursor() as cursor:
        refused(["FORBIDDEN", "scope write"], lambda: cursor.execute("create table no as select 1 as a"))
        cursor.execute("select 1 as a")
        table = cursor.fetch_arrow_table()
        refused(["CommandStatementIngest"], lambda: cursor.adbc_ingest("ingested", table))


@check
def mistakes_say_what_to_do():
    refused(["PLANNING_FAILED", "n_name"], lambda: rows("select n_nam from nation"))
    refused(["SYNTAX_ERROR"], lambda: rows("selec 1"))
    refused(["EXECUTION_FAILED"], lambda: rows("select 1 / (n_nationkey - n_nationkey) from nation"))
    for key in ["", "key-of-nobody"]:
        refused(["UNAUTHORIZED"], lambda: rows("select 1 as a", key=key))


@check
def adbc_shows_a_password():
    options = {"username": "anyone", "password": "key-of-reader"}
    with dbapi.connect(f"grpc://{FIRST}", db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("select 2 as b")
        same(cursor.fetchall(), [(2,)])


@check
def clients_speak_tls():
    secure = os.environ["DUNLIN_SECURE"]
    with open(os.environ["DUNLIN_CA"], encoding="utf-8") as file:
        authority = file.read()
    options = {
        DatabaseOptions.TLS_ROOT_CERTS.value: authority,
        DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer key-of-reader",
    }
    with dbapi.connect(f"grpc+tls://{secure}", db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from nation")
            same(cursor.fetchall(), [(25,)])
    with flight.FlightClient(f"grpc+tls://{secure}", tls_root_certs=authority.encode()) as client:
        token = client.authenticate_basic_token("anyone", "key-of-reader")
        same(token[1], b"Bearer key-of-reader")
    # Who does not speak TLS is not heard.
    refused([], lambda: rows("select 1 as a", address=secure))


# pyarrow speaks Flight, and the commands of Flight SQL are messages of a few fields.
def field(number, data):
    length, size = b"", len(data)
    while True:
        byte, size = size & 0x7F, size >> 7
        length += bytes([byte | 0x80 if size else byte])
        if not size:
            return bytes([number << 3 | 2]) + length + data


def command(name, data=b""):
    url = f"type.googleapis.com/arrow.flight.protocol.sql.{name}".encode()
    return flight.FlightDescriptor.for_command(field(1, url) + field(2, data))


def query(sql):
    return command("CommandStatementQuery", field(1, sql.encode()))


def bearer(key="key-of-reader"):
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {key}".encode())], timeout=60)


@check
def pyarrow_reads():
    with flight.FlightClient(f"grpc://{FIRST}") as first, flight.FlightClient(f"grpc://{SECOND}") as second:
        # A token from one gateway, used at the other one.
        token = first.authenticate_basic_token("anyone", "key-of-reader")
        options = flight.FlightCallOptions(headers=[token])
        info = first.get_flight_info(query("select r_name from region order by 1"), options)
        same(info.schema.names, ["r_name"])
        names = second.do_get(info.endpoints[0].ticket, options).read_all().column(0).to_pylist()
        same(names, ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"])
        schema = first.get_schema(query("select n_name, n_nationkey from nation"), options).schema
        same(schema.names, ["n_name", "n_nationkey"])
        tables = first.get_flight_info(command("CommandGetTables"), options)
        found = first.do_get(tables.endpoints[0].ticket, options).read_all()
        assert "nation" in found.column("table_name").to_pylist()
        actions = {action.type for action in first.list_actions(options)}
        assert {"CancelFlightInfo", "CreatePreparedStatement"} <= actions, actions


@check
def pyarrow_cannot_use_what_is_not_its_own():
    with flight.FlightClient(f"grpc://{FIRST}") as client:
        info = client.get_flight_info(query("select 1 as a"), bearer())
        ticket = info.endpoints[0].ticket
        refused(["NOT_FOUND"], lambda: client.do_get(ticket, bearer("key-of-other")).read_all())
        changed = flight.Ticket(ticket.ticket[:-1] + bytes([ticket.ticket[-1] ^ 1]))
        refused(["NOT_FOUND"], lambda: client.do_get(changed, bearer()).read_all())
        refused(["INVALID_REQUEST"], lambda: client.do_get(flight.Ticket(b"garbage"), bearer()).read_all())
        refused(["UNSUPPORTED"], lambda: list(client.list_flights(options=bearer())))
        refused(["UNAUTHORIZED"], lambda: client.get_flight_info(query("select 1 as a")))
        wrong = base64.b64encode(b"anyone:key-of-nobody")
        headers = flight.FlightCallOptions(headers=[(b"authorization", b"Basic " + wrong)])
        refused(["UNAUTHORIZED"], lambda: client.get_flight_info(query("select 1 as a"), headers))


@check
def a_ticket_outlives_its_gateway():
    """The last check: it kills the first gateway between GetFlightInfo and DoGet."""
    headers = [(b"authorization", b"Bearer key-of-reader"), (b"dunlin-settings", b'{"route": "fleet"}')]
    options = flight.FlightCallOptions(headers=headers, timeout=60)
    with flight.FlightClient(f"grpc://{FIRST}") as first:
        info = first.get_flight_info(query("select count(*) as c, sum(l_quantity) as q from lineitem"), options)
    os.kill(int(os.environ["DUNLIN_FIRST_PID"]), signal.SIGKILL)
    with flight.FlightClient(f"grpc://{SECOND}") as second:
        got = second.do_get(info.endpoints[0].ticket, options).read_all().to_pylist()
    same(got, [{"c": ROWS["lineitem"], "q": rows("select sum(l_quantity) from lineitem", address=SECOND)[0][0]}])


print(f"  ADBC {adbc_driver_manager.__version__}, Flight SQL driver {adbc_driver_flightsql.__version__}, pyarrow {pyarrow.__version__}")
run_all()
