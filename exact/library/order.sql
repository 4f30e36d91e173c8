-- name: ORDER BY descending with nulls first
-- ordered
select k, id from t order by k desc nulls first, id;

-- name: ORDER BY descending with nulls last
-- ordered
select k, id from t order by k desc nulls last, id desc;

-- name: ORDER BY ascending with nulls first and last
-- ordered
select k, g, id from t order by k nulls first, g nulls last, id;

-- name: ORDER BY an expression
-- ordered
select id from t order by id % 7, -id;

-- name: ORDER BY a column that is not selected
-- ordered
select g from t order by id desc;

-- name: ORDER BY position
-- ordered
select k, id from t order by 1 desc, 2;

-- name: ORDER BY an alias that hides a column
-- ordered
select -id as id, k from t order by id;

-- name: ORDER BY floats with NaN and infinities
-- ordered
select v, id from t where v <> 0 or v is null order by v, id;

-- name: ORDER BY decimals, dates and timestamps
-- ordered
select d, dt, ts, id from t order by d desc, dt, ts desc, id;

-- name: ORDER BY timestamps with a zone
-- ordered
select tz, id from t order by tz nulls first, id;

-- name: ORDER BY booleans and binaries
-- ordered
select b, bin, id from t order by b desc, bin nulls first, id;

-- name: ORDER BY texts
-- ordered
select g, id from t order by g, id;

-- name: ORDER BY over an empty table
-- ordered
select id, k from empty order by k, id;

-- name: ORDER BY over columns that are all null
-- ordered
select id, k, g from nulls order by k, g desc;

-- name: ORDER BY many rows
-- ordered
select id, k from many where k < 30 order by k desc, id;

-- name: top-k
-- ordered
select id, k from t order by k desc nulls last, id limit 5;

-- name: top-k of many rows
-- ordered
select id, k, v from many order by v desc, k, id limit 20;

-- name: top-k of more rows than there are
-- ordered
select id from t order by id limit 1000;

-- name: LIMIT 0
select id, g from t order by id limit 0;

-- name: LIMIT 0 without an order
select * from t limit 0;

-- name: OFFSET past the end
select id from t order by id limit 5 offset 1000;

-- name: OFFSET without LIMIT
-- ordered
select id from t order by id offset 60;

-- name: LIMIT and OFFSET over the last rows
-- ordered
select id from t order by id limit 10 offset 58;

-- name: OFFSET over a tie that a second key breaks
-- ordered
select k, id from t order by k nulls first, id limit 6 offset 11;

-- name: LIMIT over many rows with OFFSET
-- ordered
select id from many order by k, id desc limit 5 offset 50000;

-- name: LIMIT of as many rows as there are
select id from t limit 64;

-- name: a count of a LIMIT without an order
select count(*) as c from (select id from many limit 1234) s;

-- name: a count of a LIMIT and OFFSET without an order
select count(*) as c from (select id from many limit 50000 offset 70000) s;

-- name: a count of a LIMIT over a filter
select count(*) as c from (select id from many where k = 7 limit 60) s;

-- name: a LIMIT in a subquery
select k, count(*) as c from (select k, id from t order by id desc limit 20) s group by k;

-- name: LIMITs in both branches of a UNION
select id from ((select id from t order by id limit 3) union all (select n from u order by n limit 4)) s;

-- name: LIMIT over a UNION of sorted branches
-- ordered
select id from (select id from t union all select n from u) s order by id nulls last limit 12;

-- name: LIMIT over a LIMIT
-- ordered
select id from (select id from t order by id desc limit 20) s order by id limit 5;

-- name: OFFSET over a LIMIT over an OFFSET
-- ordered
select id from (select id from t order by id limit 30 offset 10) s order by id limit 10 offset 5;

-- name: a LIMIT on each side of a join
select a.id, b.n from (select id, k from t order by id limit 15) a join (select n, k from u order by n desc nulls last limit 25) b on a.k = b.k;

-- name: LIMIT over a join
-- ordered
select t.id, u.n from t join u on t.k = u.k order by t.id, u.n limit 9;

-- name: LIMIT over an outer join
-- ordered
select t.id, u.n from t left join u on t.k = u.k order by u.n nulls first, t.id limit 9;

-- name: LIMIT over an aggregate
-- ordered
select g, sum(id) as s from t group by g order by s desc limit 2;

-- name: LIMIT over DISTINCT
-- ordered
select distinct k from t order by k nulls first limit 3;

-- name: LIMIT of one over nothing
select id from t where id > 1000 order by id limit 1;

-- name: LIMIT of a constant table
select 1 as x limit 0;

-- name: ORDER BY in a subquery that does not matter
select count(*) as c, sum(id) as s from (select id from t order by k, id desc) x;

-- name: ORDER BY on an ordered table
-- ordered
select a, b, c from sorted order by a, b;

-- name: ORDER BY on an ordered table, reversed
-- ordered
select a, b, c from sorted order by a desc, b desc;

-- name: top-k on an ordered table
-- ordered
select a, b from sorted order by a, b limit 10;

-- name: top-k on an ordered table with a filter
-- ordered
select a, b, v from sorted where v > 8 order by a, b limit 10 offset 3;

-- name: ORDER BY a prefix and another column of an ordered table
-- ordered
select a, v, b from sorted order by a, v desc, b;

-- name: ORDER BY on an ordered table whose files overlap
-- ordered
select a, b, c from overlap order by a, b;

-- name: top-k on an ordered table whose files overlap
-- ordered
select a, b, c from overlap order by a, b limit 13;

-- name: groups by the keys of an ordered table
select a, b, count(*) as c, sum(v) as s from sorted group by a, b;

-- name: groups by the first key of an ordered table
select a, count(*) as c, min(b) as lo, max(b) as hi from sorted group by a;

-- name: groups by the second key of an ordered table
select b, count(*) as c, sum(v) as s from sorted group by b;

-- name: groups by the keys of an ordered table, ordered
-- ordered
select a, b, count(*) as c from overlap group by a, b order by a, b;

-- name: groups by a prefix of an ordered table whose files overlap
select a, count(*) as c, array_agg(b order by b) as bs from overlap group by a;

-- name: first_value over an ordered table
select a, first_value(b order by b) as f, last_value(c order by b) as l from sorted group by a;

-- name: a window over an ordered table
select a, b, row_number() over (partition by a order by b) as r, sum(v) over (partition by a order by b) as s from sorted;

-- name: a window over the whole of an ordered table
select a, b, row_number() over (order by a, b) as r, lag(b) over (order by a, b) as p from sorted;

-- name: a window against the order of an ordered table
select a, b, row_number() over (partition by a order by b desc) as r from sorted;

-- name: a window over the second key of an ordered table
select a, b, sum(v) over (partition by b order by a) as s from sorted;

-- name: a window over an ordered table whose files overlap
select a, b, lag(b) over (partition by a order by b) as p from overlap;

-- name: DISTINCT over an ordered table
select distinct a from sorted;

-- name: a join on the keys of ordered tables
select s.a, s.b, o.c from sorted s join overlap o on s.a = o.a and s.b = o.b;

-- name: a join on the keys of ordered tables, ordered
-- ordered
select s.a, s.b, o.v from sorted s left join overlap o on s.a = o.a and s.b = o.b + 1 order by s.a, s.b;

-- name: a union of ordered tables, merged
-- ordered
select a, b, v from sorted where a < 2 union all select a, b, v from overlap where a > 5 order by a, b, v;

-- name: DISTINCT ON over an ordered table
select distinct on (a) a, b, c from sorted order by a, b desc;
