-- What Superset and Grafana ask beside what SQLAlchemy's inspector sends.
select pg_catalog.version()
-- expect: PostgreSQL
---
show standard_conforming_strings
-- expect: on
---
SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg_%' ORDER BY nspname
-- expect: public
---
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name
-- expect: lineitem
---
SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'orders' ORDER BY ordinal_position
-- expect: o_orderdate|date
---
SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns WHERE quote_ident(table_name) = 'orders'
-- expect: o_orderkey|bigint
---
SELECT current_setting('server_version_num')::int/100 as version
-- expect: 1600
---
SELECT has_schema_privilege('public', 'USAGE')
-- expect: t
