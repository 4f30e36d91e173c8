"""SQLAlchemy over psycopg 3 and psycopg 2: schemas, tables and columns by reflection, queries by its expressions."""

import sys

from sqlalchemy import MetaData, Table, create_engine, func, inspect, select

for driver in ("psycopg", "psycopg2"):
    engine = create_engine(f"postgresql+{driver}://tests@127.0.0.1:{sys.argv[1]}/dunlin")
    inspector = inspect(engine)
    assert "public" in inspector.get_schema_names(), inspector.get_schema_names()
    tables = inspector.get_table_names()
    assert {"orders", "lineitem", "nation"} <= set(tables), tables
    assert inspector.has_table("orders") and not inspector.has_table("no_such_table")
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("orders")}
    assert columns["o_orderkey"] == "BIGINT", columns
    assert columns["o_orderdate"] == "DATE", columns
    assert columns["o_totalprice"].startswith("NUMERIC"), columns
    assert inspector.get_pk_constraint("orders")["constrained_columns"] == []
    assert inspector.get_foreign_keys("orders") == []
    assert inspector.get_indexes("orders") == []
    assert inspector.get_view_names() == []
    orders = Table("orders", MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        query = select(orders.c.o_orderpriority, func.count()).where(orders.c.o_orderkey < 1000)
        rows = connection.execute(query.group_by(orders.c.o_orderpriority).order_by(orders.c.o_orderpriority)).all()
        assert len(rows) == 5 and rows[0][0] == "1-URGENT", rows
        limited = connection.execute(select(orders.c.o_orderkey).order_by(orders.c.o_orderkey).limit(3).offset(2)).all()
        assert [key for (key,) in limited] == [3, 4, 5], limited
    engine.dispose()
print("ok")
