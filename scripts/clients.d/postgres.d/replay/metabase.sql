-- What Metabase asks when it synchronises a database (its own SQL and that of its JDBC driver).
SHOW transaction_isolation
-- expect: read committed
---
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)' ORDER BY nspname
-- expect: public
---
select
    n.nspname as schema,
    c.relname as name,
    case c.relkind
      when 'r' then 'TABLE'
      when 'p' then 'PARTITIONED TABLE'
      when 'v' then 'VIEW'
      when 'f' then 'FOREIGN TABLE'
      when 'm' then 'MATERIALIZED VIEW'
      else null
    end as type,
    d.description as description,
    stat.n_live_tup as estimated_row_count
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  left join pg_catalog.pg_description as d on c.oid = d.objoid and d.objsubid = 0 and d.classoid = 'pg_class'::regclass
  left join pg_stat_user_tables as stat on n.nspname = stat.schemaname and c.relname = stat.relname
  where c.relnamespace = n.oid
    and (n.nspname !~ '^pg_' and n.nspname <> 'information_schema')
    and c.relkind in ('r', 'p', 'v', 'f', 'm')
  order by type asc, schema asc, name asc
-- expect: public|orders|TABLE
---
SELECT
  c.column_name AS name,
  c.udt_name AS "database-type",
  c.ordinal_position - 1 AS "database-position",
  c.table_schema AS "table-schema",
  c.table_name AS "table-name",
  c.column_default IS NOT NULL AS "database-is-auto-increment",
  c.is_nullable = 'YES' AS "nullable"
FROM information_schema.columns AS c
WHERE c.table_schema !~ '^information_schema|catalog_history|pg_'
ORDER BY c.table_schema, c.table_name, c.ordinal_position
-- expect: o_orderkey|int8|0|public|orders
---
SELECT kcu.table_schema, kcu.table_name, kcu.column_name
FROM information_schema.table_constraints AS tc
JOIN information_schema.key_column_usage AS kcu
  ON tc.constraint_name = kcu.constraint_name AND tc.table_schema = kcu.table_schema
WHERE tc.constraint_type = 'PRIMARY KEY'
---
with table_privileges as (
  select NULL as role, t.schemaname as schema, t.tablename as "table",
    has_table_privilege(current_user, '"' || t.schemaname || '"' || '.' || '"' || t.tablename || '"', 'SELECT') as "select"
  from pg_catalog.pg_tables t
  where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema'
)
select t.* from table_privileges t
-- expect: public|orders|t
