"""What trino's client for Python, SQLAlchemy and dbt get from gateways: run by scripts/clients.d/trino with their addresses."""

import datetime
import decimal
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests
import sqlalchemy
import trino
from trino.auth import BasicAuthentication, JWTAuthentication
from trino.client import SegmentIterator, SpooledSegment
from trino.mapper import RowMapperFactory
from trino.transaction import IsolationLevel

from checks import ROWS, check, refused, run_all, same

FIRST, SECOND, OPEN, BOTH = sys.argv[1:5]
CA = os.environ["DUNLIN_CA"]
WORK = os.environ["DUNLIN_WORK"]
FLEET = {"dunlin.route": "fleet"}
# The client asks for all of these by itself, and for rows as they are if it is told None.
FORMS = [None, ["json+zstd", "json+lz4", "json"], "json+lz4", "json"]
# Its rows need several pages.
WIDE = "select l_orderkey, l_linenumber, l_extendedprice, l_comment, repeat(l_comment, 8) as more from lineitem order by 1, 2"


def connect(address=FIRST, key="key-of-reader", **more):
    host, port = address.rsplit(":", 1)
    if address == OPEN:
        return trino.dbapi.connect(host=host, port=int(port), user="anyone", catalog="datafusion", schema="public", **more)
    more = {"auth": BasicAuthentication("anyone", key), **more}
    return trino.dbapi.connect(
        host=host, port=int(port), user="anyone", http_scheme="https", verify=CA, catalog="datafusion", schema="public", **more
    )


def rows(sql, parameters=None, **options):
    with connect(**options) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        return [tuple(row) for row in cursor.fetchall()]


@check
def trino_reads_tables():
    for table, count in ROWS.items():
        same(rows(f"select count(*) from {table}"), [(count,)], table)
    sql = "select n_name, count(*) as c from nation join customer on n_nationkey = c_nationkey group by 1 order by 2 desc, 1 limit 3"
    top = rows(sql, session_properties=FLEET)
    same(len(top), 3)
    same(top, rows(sql, address=SECOND))
    same(top, rows(sql, address=OPEN))
    same(top, rows(sql, auth=JWTAuthentication("key-of-reader")))
    same(rows("select count(*) from datafusion.public.nation"), [(25,)])


@check
def trino_reads_types():
    for form in FORMS:
        types(form)


def types(form):
    with connect(encoding=form) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "select cast(1 as tinyint) a, cast(-2 as bigint) b, cast(1.5 as double) c, cast(12.34 as decimal(10,2)) d, "
            "'ä' e, true f, date '2024-02-29' g, timestamp '2024-02-29T12:00:00.123456' h, x'00ff' i, cast(null as int) j, "
            "[1,2] k, named_struct('x', 1, 'y', 'z') l, map(['k'], [1]) m, cast('NaN' as double) n, "
            "arrow_cast('2024-02-29T12:00:00', 'Timestamp(Microsecond, Some(\"+00:00\"))') o"
        )
        got = cursor.fetchall()[0]
        same(got[:7], [1, -2, 1.5, decimal.Decimal("12.34"), "ä", True, datetime.date(2024, 2, 29)])
        same(got[7], datetime.datetime(2024, 2, 29, 12, 0, 0, 123456))
        same(got[8:11], [b"\x00\xff", None, [1, 2]])
        same((got[11].x, got[11].y), (1, "z"))
        same(got[12], {"k": 1})
        same(str(got[13]), "nan")
        same(got[14], datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc))
        names = [column.type_code for column in cursor.description]
        same(names[3:5], ["decimal(10,2)", "varchar"])
        same(cursor.description[3].precision, 10)


VALUES = (10000, datetime.date(1995, 1, 1), decimal.Decimal("1000.50"))
BOUND = "select count(*) from orders where o_orderkey < ? and o_orderdate >= ? and o_totalprice > ?"
LITERAL = "select count(*) from orders where o_orderkey < 10000 and o_orderdate >= date '1995-01-01' and o_totalprice > 1000.50"


@check
def trino_binds_parameters():
    wanted = rows(LITERAL)
    same(rows(BOUND, VALUES), wanted)
    same(rows(BOUND, VALUES, legacy_prepared_statements=True), wanted)
    same(rows("select ? as a, ? as b, ? as c, ? as d", (None, "it's", 2.5, True)), [(None, "it's", 2.5, True)])
    moment = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456)
    zoned = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    got = rows("select ? as a, ? as b, ? as c, ? as d", (moment, b"\x00\xff", [1, 2], zoned))[0]
    same(got[:3], (moment, b"\x00\xff", [1, 2]))
    same(got[3], zoned)
    ident = uuid.uuid4()
    same(rows("select ? as a", (ident,)), [(str(ident),)])
    # Text that looks like SQL stays text.
    same(rows("select count(*) from nation where n_name = ?", ("' or 1=1 --",)), [(0,)])
    long = "x" * 30_000
    same(rows("select ? as a", (long,)), [(long,)])


@check
def trino_reads_many_rows():
    for form in FORMS:
        many("select l_orderkey, l_comment, l_extendedprice from lineitem order by l_orderkey, l_linenumber", form)


def many(sql, form, address=FIRST):
    with connect(address=address, session_properties=FLEET, encoding=form) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        keys, total = [], 0
        for row in cursor:
            keys.append(row[0])
            total += row[2]
        same(len(keys), ROWS["lineitem"], form)
        same(keys, sorted(keys), "in order")
        same(cursor.stats["state"], "FINISHED")
        same(cursor.stats["processedRows"] > 0, True)
    same([(total,)], rows("select sum(l_extendedprice) from lineitem"))


@check
def trino_reads_segments():
    for form in FORMS:
        many(WIDE, form, address=BOTH)
    same(len(rows(WIDE, address=OPEN)), ROWS["lineitem"])


@check
def trino_reads_segments_of_another_gateway():
    for form in FORMS[1:]:
        with connect(session_properties=FLEET, encoding=form) as connection:
            cursor = connection.cursor("segment")
            cursor.execute(WIDE)
            told = cursor.fetchall()
            mapper = RowMapperFactory().create(columns=cursor._query.columns, legacy_primitive_types=False)
        place = 0
        for each in told:
            same(each.encoding, form if isinstance(form, str) else form[0])
            same(each.segment.metadata["rowOffset"], place)
            place += each.segment.metadata["rowsCount"]
        same(place, ROWS["lineitem"], form)
        spooled = [each.segment for each in told if isinstance(each.segment, SpooledSegment)]
        same(len(spooled) > 1, True, "segments with an address")
        for segment in spooled:
            # The second gateway has told none of them.
            for name in ["uri", "ackUri"]:
                segment._segment[name] = segment._segment[name].replace(FIRST, SECOND)
        with ThreadPoolExecutor(4) as pool:
            got = [row for part in pool.map(lambda each: list(SegmentIterator(each, mapper)), told) for row in part]
        same([row[:2] for row in got], sorted(row[:2] for row in got), "in order")
        same(all(row[4] == row[3] * 8 for row in got), True)
        segments_are_for_their_client(spooled[0])


def segments_are_for_their_client(segment):
    given = {name: values[0] for name, values in segment.headers.items()}
    mine, others = {"Authorization": "Bearer key-of-reader"}, {"Authorization": "Bearer key-of-other"}
    for headers, status in [({}, 401), (given, 200), (mine, 200), (others, 404), ({**given, **others}, 404)]:
        for address in [segment.uri, segment.ack_uri]:
            same(requests.get(address, headers=headers, verify=CA, timeout=60).status_code, status, str(sorted(headers)))
    damaged = segment.uri[:-9] + ("A" if segment.uri[-9] != "A" else "B") + segment.uri[-8:]
    same(requests.get(damaged, headers=mine, verify=CA, timeout=60).status_code, 404)


@check
def trino_reads_catalogs():
    same(rows("show catalogs"), [("datafusion",), ("system",)])
    same(rows("show schemas"), [("information_schema",), ("public",)])
    same([name for name, in rows("show tables like 'n%'")], ["nation"])
    same([row[0] for row in rows("describe nation")], ["n_nationkey", "n_name", "n_regionkey", "n_comment"])
    same(len(rows("select * from system.jdbc.columns where table_name = 'region'")), 3)
    same(rows("select version()")[0][0].startswith("dunlin-"), True)


@check
def trino_is_told_of_mistakes():
    error = refused(["n_name"], lambda: rows("select n_nam from nation"))
    same((error.error_name, error.error_type), ("COLUMN_NOT_FOUND", "USER_ERROR"))
    error = refused(["line 1"], lambda: rows("selec 1"))
    same(error.error_name, "SYNTAX_ERROR")
    error = refused(["nations"], lambda: rows("select 1 from nations"))
    same(error.error_name, "TABLE_NOT_FOUND")
    error = refused([], lambda: rows("select 1 / (n_nationkey - n_nationkey) from nation"))
    same(error.error_name, "DIVISION_BY_ZERO")
    refused(["401"], lambda: rows("select 1", key="key-of-nobody"))
    refused(["CATALOG_NOT_FOUND"], lambda: connect_elsewhere())


def connect_elsewhere():
    connection = connect()
    connection._client_session.catalog = "hive"
    connection.cursor().execute("select 1").fetchall()


@check
def trino_writes():
    with connect(key="key-of-writer") as connection:
        cursor = connection.cursor()
        cursor.execute("create table by_trino as select * from region")
        same(cursor.fetchall(), [[5]])
        same((cursor.update_type, cursor.rowcount), ("CREATE TABLE", 5))
        cursor.execute("insert into by_trino select * from region")
        cursor.fetchall()
        same((cursor.update_type, cursor.rowcount), ("INSERT", 5))
    same(rows("select count(*) from by_trino", address=SECOND), [(10,)])
    refused(["scope write"], lambda: rows("insert into by_trino select * from region"))


@check
def trino_opens_transactions():
    with connect(isolation_level=IsolationLevel.REPEATABLE_READ) as connection:
        cursor = connection.cursor()
        cursor.execute("select count(*) from region")
        same(cursor.fetchall(), [[5]])
        connection.commit()


@check
def trino_cancels():
    with connect() as connection:
        cursor = connection.cursor()
        began = time.monotonic()
        timer = threading.Timer(1.0, cursor.cancel)

        def run():
            cursor.execute("select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b")
            cursor.fetchall()
            if not cursor._query.cancelled:
                raise AssertionError("it ended")
            raise InterruptedError("cancelled")

        timer.start()
        refused(["ancel"], run)
        same(time.monotonic() - began < 20, True, "in time")
        query = cursor.query_id
    for _ in range(100):
        status = requests.get(f"https://{SECOND}/v1/queries/{query}", headers={"Authorization": "Bearer key-of-reader"}, verify=CA, timeout=10)
        if status.json()["status"] == "CANCELLED":
            return
        time.sleep(0.1)
    raise AssertionError(f"the query goes on: {status.text}")


def engine(address=FIRST, key="key-of-reader", catalog="datafusion/public"):
    url = f"trino://anyone:{key}@{address}/{catalog}" if address != OPEN else f"trino://anyone@{address}/{catalog}"
    arguments = {} if address == OPEN else {"http_scheme": "https", "verify": CA}
    return sqlalchemy.create_engine(url, connect_args=arguments)


@check
def sqlalchemy_looks_around():
    inspector = sqlalchemy.inspect(engine())
    same(inspector.get_schema_names(), ["information_schema", "public"])
    same("nation" in inspector.get_table_names(), True)
    same(inspector.get_view_names(), [])
    columns = inspector.get_columns("orders")
    kinds = {column["name"]: str(column["type"]) for column in columns}
    same((kinds["o_orderkey"], kinds["o_orderdate"], kinds["o_totalprice"]), ("BIGINT", "DATE", "DECIMAL(15, 2)"))
    same(inspector.has_table("nothing"), False)
    same(inspector.get_indexes("nation"), [])
    same(inspector.get_table_comment("nation"), {"text": None})
    same(inspector.get_pk_constraint("nation")["constrained_columns"], [])


@check
def sqlalchemy_runs_statements():
    for address in [FIRST, OPEN]:
        one = engine(address)
        meta = sqlalchemy.MetaData()
        nation = sqlalchemy.Table("nation", meta, autoload_with=one)
        customer = sqlalchemy.Table("customer", meta, autoload_with=one)
        join = nation.join(customer, nation.c.n_nationkey == customer.c.c_nationkey)
        query = (
            sqlalchemy.select(nation.c.n_name, sqlalchemy.func.count().label("c"))
            .select_from(join)
            .where(nation.c.n_regionkey == 3, customer.c.c_acctbal > decimal.Decimal("0.5"))
            .group_by(nation.c.n_name)
            .order_by(sqlalchemy.desc("c"), nation.c.n_name)
            .limit(2)
            .offset(1)
        )
        with one.connect() as connection:
            got = connection.execute(query).fetchall()
            wanted = rows(
                "select n_name, count(*) from nation join customer on n_nationkey = c_nationkey "
                "where n_regionkey = 3 and c_acctbal > 0.5 group by 1 order by 2 desc, 1 limit 2 offset 1"
            )
            same([tuple(row) for row in got], wanted)
            same(connection.execute(sqlalchemy.text("select :a as a"), {"a": 7}).scalar(), 7)
            same(connection.dialect.server_version_info is not None, True)


DBT_PROJECT = {
    "dbt_project.yml": "name: dunlin_try\nversion: '1.0'\nprofile: dunlin_try\nmodel-paths: [models]\n",
    "models/by_region.sql": "{{ config(materialized='table') }}\nselect n_regionkey, count(*) as nations from {{ source('tpch', 'nation') }} group by 1\n",
    "models/sources.yml": "version: 2\nsources:\n  - name: tpch\n    schema: public\n    tables:\n      - name: nation\n",
}


def dbt(*arguments):
    folder = f"{WORK}/dbt"
    for name, text in DBT_PROJECT.items():
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    host, port = FIRST.rsplit(":", 1)
    profile = (
        "dunlin_try:\n  target: dev\n  outputs:\n    dev:\n      type: trino\n      method: ldap\n      user: anyone\n"
        f"      password: key-of-writer\n      http_scheme: https\n      cert: {CA}\n      host: {host}\n      port: {port}\n"
        "      database: datafusion\n      schema: public\n      threads: 1\n"
    )
    with open(f"{folder}/profiles.yml", "w", encoding="utf-8") as file:
        file.write(profile)
    command = [os.environ["DBT"], "--no-use-colors", *arguments, "--profiles-dir", folder, "--project-dir", folder]
    environment = dict(os.environ, DBT_SEND_ANONYMOUS_USAGE_STATS="false")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


@check
def dbt_connects():
    run = dbt("debug")
    same("All checks passed" in run.stdout, True, run.stdout)


@check
def dbt_makes_a_table():
    run = dbt("run")
    same("Completed successfully" in run.stdout, True, run.stdout)
    same(rows("select sum(nations) from by_region"), [(25,)])


@check
def any_gateway_goes_on():
    headers = {"X-Trino-User": "raw", "Authorization": "Bearer key-of-reader", "X-Trino-Session": "dunlin.route=fleet"}
    sql = "select l_orderkey, l_comment from lineitem order by l_orderkey, l_linenumber"
    answer = requests.post(f"https://{FIRST}/v1/statement", data=sql, headers=headers, verify=CA, timeout=60).json()
    asked = {**headers, "X-Trino-Query-Data-Encoding": "json"}
    page = requests.post(f"https://{FIRST}/v1/statement", data=WIDE, headers=asked, verify=CA, timeout=60).json()
    while page.get("data", {"segments": [{}]})["segments"][0].get("type") != "spooled":
        page = requests.get(page["nextUri"], headers=headers, verify=CA, timeout=60).json()
    os.kill(int(os.environ["DUNLIN_FIRST_PID"]), signal.SIGKILL)
    keys, pages = [], 0
    while "nextUri" in answer:
        path = urllib.parse.urlsplit(answer["nextUri"]).path
        got = requests.get(f"https://{SECOND}{path}", headers=headers, verify=CA, timeout=60)
        same(got.status_code, 200, got.text)
        answer = got.json()
        same(answer.get("error"), None)
        keys += [row[0] for row in answer.get("data", [])]
        pages += 1
    same(len(keys), ROWS["lineitem"])
    same(keys, sorted(keys), "in order")
    for segment in page["data"]["segments"]:
        given = {name: values[0] for name, values in segment["headers"].items()}
        got = requests.get(segment["uri"].replace(FIRST, SECOND), headers=given, verify=CA, timeout=60)
        same((got.status_code, len(got.content)), (200, segment["metadata"]["segmentSize"]))
        same(len(got.json()), segment["metadata"]["rowsCount"])


run_all()
