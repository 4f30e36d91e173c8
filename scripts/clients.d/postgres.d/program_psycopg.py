"""What psycopg sends: both protocols, parameters as text and binary, named cursors, COPY, cancel, pipelines."""

import datetime
import decimal
import sys
import threading
import time

import psycopg
import psycopg2

port, other = sys.argv[1], sys.argv[2]
url = f"host=127.0.0.1 port={port} user=tests dbname=dunlin"

with psycopg.connect(url) as connection:
    # In a transaction, as psycopg does by default.
    count = connection.execute("select count(*) from orders where o_orderdate < %s", [datetime.date(1995, 1, 1)]).fetchone()
    plain = connection.execute("select count(*) from orders where o_orderdate < date '1995-01-01'").fetchone()
    assert count == plain and count[0] > 0, (count, plain)
    for binary in (False, True):
        row = connection.execute(
            "select %s::bigint, %s, %s::double precision, %s::numeric, %s::date, %s::timestamp, %s::boolean, %s::text",
            [7, "ä'", 0.5, decimal.Decimal("1.50"), datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 4), True, None],
            binary=binary,
        ).fetchone()
        assert row[0] == 7 and row[1] == "ä'" and row[2] == 0.5 and row[3] == decimal.Decimal("1.5"), row
        assert row[4] == datetime.date(2024, 2, 29) and row[5] == datetime.datetime(2024, 2, 29, 1, 2, 3, 4), row
        assert row[6] is True and row[7] is None, row
        row = connection.execute(
            "select cast(1.25 as decimal(10,2)), [1, null, 3], interval '1 day 2 hours', x'00ff', o_orderdate from orders order by o_orderkey limit 1",
            binary=binary,
        ).fetchone()
        assert row[0] == decimal.Decimal("1.25") and row[1] == [1, None, 3], row
        assert row[2] == datetime.timedelta(days=1, hours=2) and row[3] == b"\x00\xff", row
        assert row[4] == datetime.date(1996, 1, 2), row
    few = connection.execute("select o_orderkey from orders where o_totalprice < %s and o_orderstatus = %s", [decimal.Decimal("1000.555"), "O"]).fetchall()
    assert all(isinstance(key, int) for (key,) in few)
    with connection.cursor(name="named") as cursor:
        cursor.itersize = 1000
        cursor.execute("select l_orderkey from lineitem order by l_orderkey limit %s", [5000])
        rows = [row[0] for row in cursor]
    assert len(rows) == 5000 and rows == sorted(rows)
    with connection.cursor() as cursor:
        with cursor.copy("COPY (select n_nationkey, n_name from nation order by 1) TO STDOUT") as copy:
            copied = list(copy.rows())
    assert len(copied) == 25 and copied[0] == ("0", "ALGERIA"), copied[:2]
    try:
        connection.execute("select nothing from orders")
        raise AssertionError("a wrong column is answered")
    except psycopg.errors.UndefinedColumn as error:
        assert error.diag.statement_position == "8", error.diag.statement_position
    try:
        connection.execute("select 1")
        raise AssertionError("a failed transaction goes on")
    except psycopg.errors.InFailedSqlTransaction:
        connection.rollback()
    assert connection.execute("select 1").fetchone() == (1,)

with psycopg.connect(url, autocommit=True) as connection:
    # Prepared on the server after some uses.
    for number in range(8):
        row = connection.execute("select n_name from nation where n_nationkey = %s", [number], prepare=True).fetchone()
        assert row is not None
    with connection.pipeline():
        first = connection.execute("select 1")
        second = connection.execute("select count(*) from nation")
    assert first.fetchone() == (1,) and second.fetchone() == (25,)
    notices = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))
    connection.execute("set dunlin.route = 'fleet'")
    rows = connection.execute("select l_returnflag, sum(l_quantity) from lineitem group by 1 order by 1").fetchall()
    assert [flag for flag, _ in rows] == ["A", "N", "R"], rows
    assert any(notice.startswith("query ") and "fleet" in notice for notice in notices), notices
    connection.execute("set statement_timeout = '1s'")
    slow = "select count(*) from lineitem a, lineitem b, lineitem c where a.l_comment || b.l_comment = c.l_comment"
    try:
        connection.execute(slow)
        raise AssertionError("a statement runs longer than it may")
    except psycopg.errors.QueryCanceled as error:
        assert "statement timeout" in str(error), error
    connection.execute("set statement_timeout = 0; reset dunlin.route")
    threading.Thread(target=lambda: (time.sleep(1), connection.cancel())).start()
    try:
        connection.execute(slow)
        raise AssertionError("a cancelled statement is answered")
    except psycopg.errors.QueryCanceled as error:
        assert "user request" in str(error), error
    assert connection.execute("select 2").fetchone() == (2,)

# psycopg 2 speaks the simple protocol only.
old = psycopg2.connect(url)
with old.cursor() as cursor:
    cursor.execute("select o_orderkey, o_totalprice, o_orderdate from orders where o_orderkey = %s", [1])
    row = cursor.fetchone()
    assert row[0] == 1 and row[2] == datetime.date(1996, 1, 2), row
with old.cursor("old") as cursor:
    cursor.execute("select n_name from nation order by 1")
    assert len(cursor.fetchall()) == 25
old.close()

with psycopg.connect(url.replace(port, other)) as connection:
    assert connection.execute("select count(*) from orders").fetchone() == (15000,)
print("ok")
