-- name: a CTE used once
with a as (select k, count(*) as c from t group by k) select * from a where c > 2;

-- name: a CTE used twice
with a as (select k, count(*) as c from t group by k) select x.k, x.c, y.c as d from a x join a y on x.k = y.k + 1;

-- name: a CTE used three times
with a as (select id, k from t where id % 2 = 0)
select x.id, y.id as yid, z.id as zid from a x join a y on x.k = y.k and x.id < y.id left join a z on z.id = y.id + 2;

-- name: CTEs that use each other
with a as (select id, k from t where id > 10), b as (select k, max(id) as m from a group by k), c as (select a.id, b.m from a join b on a.k = b.k)
select m, count(*) as n, sum(id) as s from c group by m;

-- name: a CTE inside a CTE
with a as (with b as (select k, sum(id) as s from t group by k) select k, s from b where s > 100) select a.k, u.n from a join u on a.k = u.k;

-- name: a CTE in a subquery
select id from t where k in (with a as (select w from u where w > 2) select w from a);

-- name: a CTE in both branches of a union
with a as (select k, count(*) as c from t group by k) select k from a where c > 3 union all select c from a;

-- name: a CTE against its own maximum
with a as (select k, count(*) as c from t group by k) select k, c from a where c = (select max(c) from a);

-- name: a CTE against its own aggregate in a join and a scalar subquery
with a as (select k, sum(id) as s from t group by k)
select a.k, a.s, b.avg from a cross join (select avg(s) as avg from a) b where a.s > (select min(s) from a);

-- name: a CTE that hides a table
with t as (select id, k from u) select count(*) as c, sum(id) as s from t;

-- name: a CTE with column names
with a(x, y) as (select k, count(*) from t group by k) select x, y from a;

-- name: a CTE that nobody uses
with a as (select k from t) select id from lone;

-- name: a CTE with a limit, used twice
with a as (select id, k from t order by id desc limit 10) select x.id, y.id as other from a x join a y on x.k = y.k;

-- name: a CTE with a window, used twice
with a as (select id, k, row_number() over (partition by k order by id) as r from t)
select x.k, x.id, y.id as next from a x left join a y on x.k = y.k and x.r = y.r - 1;

-- name: a CTE of a union
with a as (select id, k from t union all select n, k from u) select k, count(*) as c from a group by k;

-- name: VALUES
select * from (values (1, 'a'), (2, null), (3, 'c')) as v(x, y);

-- name: VALUES joined
select t.id, v.y from t join (values (1, 'a'), (2, null), (null, 'n')) as v(x, y) on t.k = v.x;

-- name: VALUES on the outer side
select v.x, t.id from (values (1), (99), (null)) as v(x) left join t on t.k = v.x;

-- name: VALUES alone
-- ordered
values (3, 'x'), (1, null), (2, 'z') order by 1;

-- name: VALUES with types to coerce
select x from (values (1), (2.5), (null)) as v(x);

-- name: VALUES in an IN
select id from t where k in (select x from (values (1), (4)) as v(x));

-- name: VALUES in a union with rows
select x from (values (1), (2)) as v(x) union all select k from t;

-- name: generate_series
select value from generate_series(1, 10);

-- name: generate_series with a step
select value from generate_series(10, 1, -3);

-- name: generate_series of nothing
select value from generate_series(5, 1);

-- name: range
select value from range(0, 7);

-- name: generate_series joined
select t.id, s.value from t join generate_series(0, 5) s on t.k = s.value;

-- name: generate_series on the outer side finds gaps
select s.value, count(t.id) as c from generate_series(0, 9) s left join t on t.k = s.value group by s.value;

-- name: generate_series crossed
select a.value as a, b.value as b from generate_series(1, 3) a cross join generate_series(1, 4) b;

-- name: generate_series in an aggregate
select value % 3 as r, count(*) as c, sum(value) as s from generate_series(1, 1000) group by value % 3;

-- name: generate_series in a union
select value from generate_series(1, 3) union all select id from lone;

-- name: generate_series of dates
select value from generate_series(date '2024-01-30', date '2024-02-02', interval '1' day);

-- name: generate_series in a list
select id, generate_series(1, id % 4) as l from lone;

-- name: generate_series in a window
select value, sum(value) over (order by value) as s from generate_series(1, 20);

-- name: a recursive CTE that counts
-- refused: RecursiveQueryExec
with recursive r as (select 1 as n union all select n + 1 from r where n < 20) select n from r;

-- name: a recursive CTE over a table
-- refused: RecursiveQueryExec
with recursive r as (select id, k, 0 as depth from lone where id = 0 union all select l.id, l.k, r.depth + 1 from r join lone l on l.id = r.id + 2 where r.depth < 9)
select id, k, depth from r;

-- name: a recursive CTE joined
-- refused: RecursiveQueryExec
with recursive r as (select 0 as n union all select n + 1 from r where n < 9) select r.n, count(t.id) as c from r left join t on t.k = r.n group by r.n;

-- name: a recursive CTE under a projection
-- refused: RecursiveQueryExec
with recursive r as (select 1 as n union all select n + 1 from r where n < 20) select n + 1 as m from r;
