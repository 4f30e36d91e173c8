-- name: trap: a scan is counted once however many tasks it has
select count(*) as c, sum(id) as s from many;

-- name: trap: a scan under a union is counted once a branch
select count(*) as c from (select id from many union all select id from many union all select id from t) s;

-- name: trap: a union's branch keeps its partitions, so no task reads another's
select s.x, count(*) as c from (select 1 as x, id from lone union all select 2, id from many union all select 3, id from one) s group by s.x;

-- name: trap: a build side of one partition below a union is not emptied
select s.id, s.other from (
  select t.id, l.id as other from lone l join t on t.k = l.id
  union all select u.n, o.id from one o join u on u.w = o.k) s;

-- name: trap: a cross join's single side below a union is not emptied
select s.a, s.b from (
  select t.id as a, o.id as b from one o cross join t where t.id < 9
  union all select u.n, l.id from lone l cross join u where u.w = 2) s;

-- name: trap: a nested loop's single side below a union is not emptied
select s.a, s.b from (
  select t.id as a, l.id as b from lone l join t on t.k < l.id and t.id > 50
  union all select n as a, n + 1 as b from u where n < 3
  union all select t.id as a, o.id as b from one o join t on t.id > o.id + 55) s;

-- name: trap: a left nested loop with many right partitions gives each unmatched row once
select l.id, m.id as other from lone l left join many m on m.id < l.id - 7;

-- name: trap: a semi nested loop with many right partitions gives each row once
select l.id from lone l where exists (select 1 from many m where m.id * 2 < l.id);

-- name: trap: an anti nested loop with many right partitions gives each row once
select l.id from lone l where not exists (select 1 from many m where m.id > l.id + 99990);

-- name: trap: a mark nested loop with many right partitions gives each row once
select l.id from lone l where l.k = 1 or exists (select 1 from many m where m.id > l.id + 99990);

-- name: trap: a broadcast build side that emits rows is not broadcast
select l.id, m.id as other from lone l left join many m on l.id = m.id - 5;

-- name: trap: a broadcast build side of a full join is not broadcast
select count(*) as c, count(l.id) as l, count(m.id) as m from lone l full join many m on l.id = m.k;

-- name: trap: a broadcast build side of a left anti join is not broadcast
select l.id from lone l where l.id * 9999 not in (select id from many where id is not null);

-- name: trap: null-aware flags are seen by every partition
select id from many where k not in (select k from t) and id < 500;

-- name: trap: a null in one partition of the right side empties the whole answer
select id from many where id < 20 and id not in (select case when id = 77777 then null else id end from many where id > 10);

-- name: trap: a constant key below a hash cut is still partitioned by
select a, b, row_number() over (partition by a order by b) as r from sorted where a = 5;

-- name: trap: a constant key of an unordered table is still partitioned by
select k, id, row_number() over (partition by k order by id) as r, sum(id) over (partition by k order by id) as s from t where k = 5;

-- name: trap: a constant key of one of two partition columns
select b, k, id, rank() over (partition by b, k order by id) as r from t where b = true;

-- name: trap: a constant order column
select id, row_number() over (partition by b order by k, id) as r from t where k = 3;

-- name: trap: a constant key and groups
select k, g, count(*) as c from t where k = 2 group by k, g;

-- name: trap: a constant key and ordered groups
select a, b, count(*) as c, first_value(c order by b) as f from sorted where a = 3 group by a, b;

-- name: trap: a constant key under a sort and a limit
-- ordered
select a, b, c from sorted where a = 4 order by a, b limit 8;

-- name: trap: a constant key on both sides of a join
select s.b, o.b as other from sorted s join overlap o on s.a = o.a and s.b = o.b where s.a = 2;

-- name: trap: a constant key joined and then ranked
select s.a, s.b, row_number() over (partition by s.a order by s.b, u.n) as r from sorted s join u on s.b = u.n where s.a = 1;

-- name: trap: one partition keeps its order through a repartition
select k, id, lag(id) over (partition by k order by id) as p from (select id, k from t order by id) s;

-- name: trap: one sorted partition is merged and grouped in order
-- ordered
select k, count(*) as c from (select k, id from lone order by k, id) s group by k order by k;

-- name: trap: an ordered table's groups come once even without its statistics
select a, b, count(*) as c, sum(v) as s, array_agg(c order by v, c) as cs from overlap group by a, b having count(*) <> 1;

-- name: trap: groups over an ordered table below a merge
-- ordered
select a, count(*) as c, sum(v) as s from overlap group by a order by a;

-- name: trap: an ordered aggregate over a sorted join
-- ordered
select s.a, count(*) as c from sorted s join overlap o on s.a = o.a and s.b = o.b group by s.a order by s.a;

-- name: trap: windows over an ordered table whose constant is an expression
select a, b, sum(v) over (partition by a order by b rows between 2 preceding and current row) as s from sorted where a + 0 = 5;

-- name: trap: a scalar subquery in a scan's predicate
select id, k from many where id < (select max(n) from u) and k > (select min(k) from t where k > 5) * 100;

-- name: trap: a scalar subquery in a join's filter
select t.id, l.id as other from t left join lone l on t.k = l.k and t.id > (select avg(id) from t) + l.id;

-- name: trap: a scalar subquery in an aggregate's argument and filter
select k, sum(id * (select max(id) from lone)) filter (where id > (select min(n) from u where n > 20)) as s from t group by k;

-- name: trap: scalar subqueries of two levels in one plan
select id, (select count(*) from u where n > (select avg(id) from lone)) as c from t where id > (select max(id) from t where k = (select min(k) from u));

-- name: trap: one scalar subquery for the outer and the inner query
select s.k, s.c from (select k, count(*) as c from t where id > (select avg(id) from lone) group by k) s where s.c > (select avg(id) from lone) - 2;

-- name: trap: a scalar subquery under a union's second branch
select id from lone union all select id from t where id = (select max(id) from t) union all select n from u where n = (select min(n) from u);

-- name: trap: a scalar subquery of more than one row in a branch that matters little is still an error
-- error: more than one
select count(*) as c from t where k = (select k from t where id in (1, 2)) or id > 3;

-- name: trap: an opposite sort that is reused reverses lag
select id, lag(id, 1) over (partition by k order by id) as a, lag(id, 1) over (partition by k order by id desc) as b,
  first_value(g) over (partition by k order by id) as c, first_value(g) over (partition by k order by id desc) as d from t;

-- name: trap: a reversed nth_value
select id, nth_value(id, 3) over (partition by b order by id desc rows between unbounded preceding and unbounded following) as a,
  nth_value(id, 3) over (partition by b order by id rows between unbounded preceding and unbounded following) as c from t;

-- name: trap: lead that ignores nulls next to one that does not
select id, lead(k) ignore nulls over (order by id) as a, lead(k) over (order by id) as b, lead(k) ignore nulls over (order by id desc) as c from t;

-- name: trap: a window's filter next to none
select id, sum(id) over (partition by k) as a, sum(id) filter (where id % 2 = 0) over (partition by k) as b from t;

-- name: trap: NaN and minus zero keep their bucket
select a.id, b.id as other from t a join t b on a.v = b.v and a.k = b.k;

-- name: trap: minus zero and zero as keys of a partitioned aggregate
select v, count(*) as c from (select v from t where v = 0 union all select v from u where v = 0 union all select cast(0 as double) from lone) s group by v;

-- name: trap: equal keys of different layouts go to one bucket
select a.id, b.id as other from dict a full join (select id, concat('d', id % 3) as p from lone) b on a.dk = b.p;

-- name: trap: equal keys of different integers go to one bucket
select t.id, u.n, m.id as mid from t full join u on t.k = u.w join many m on m.id = u.k + 60000;

-- name: trap: equal keys of different scales go to one bucket
select a.id, b.id as other from t a full join (select id, cast(d as decimal(20, 4)) as d from t where id < 20) b on a.d = b.d;

-- name: trap: equal keys of different time units go to one bucket
select a.id, b.id as other from t a full join (select id, arrow_cast(ts, 'Timestamp(Nanosecond, None)') as ts from t where id < 12) b on a.ts = b.ts;

-- name: trap: an INTERSECT of nulls keeps null equality
select k, g from t intersect select k, g from u;

-- name: trap: an EXCEPT of nulls keeps null equality
select g from t except select g from u where n < 5;

-- name: trap: a null-safe join keeps null equality through an exchange
select count(*) as c from many m join t on m.k is not distinct from t.k;

-- name: trap: a limit over a merge is applied once
-- ordered
select id from many order by id desc limit 3 offset 9000;

-- name: trap: a limit below an aggregate is applied once
select count(*) as c from (select id from many order by k, id limit 777) s;

-- name: trap: a limit with no order is applied once over all partitions
select count(*) as c from (select * from t limit 63) s;

-- name: trap: a limit on a join's build side is kept
select count(*) as c from (select id from many limit 10) a join many b on a.id = b.id;

-- name: trap: a limit on a broadcast side under a cross join is kept
select count(*) as c from (select id from many limit 5) a cross join t;

-- name: trap: a limit of zero with an offset
select count(*) as c from (select id from t limit 0 offset 4) s;

-- name: trap: an offset past one partition's rows
-- ordered
select id from t order by id offset 61 limit 2;

-- name: trap: a limit above a union above limits
-- ordered
select id from ((select id from t order by id desc limit 4) union all (select id from lone order by id limit 4)) s order by id limit 6;

-- name: trap: OFFSET beyond four bytes
-- refused: Limit
select id from t order by id offset 5000000000;

-- name: trap: LIMIT beyond four bytes
-- refused: Limit
-- not at: 1
-- ordered
select id from t order by id limit 5000000000;

-- name: trap: LIMIT beyond four bytes without an order
-- refused: Limit
-- not at: 1
select id, k from t limit 5000000000;

-- name: trap: top-k with many ties below the threshold
select k, id from (select k, id from many order by k, id limit 150) s where k = 1;

-- name: trap: a minimum over partitions of which some have no rows
select min(id) as lo, max(id) as hi, min(k) as k from t where id in (10, 63);

-- name: trap: a minimum whose first partitions are all null
select min(k) as lo, max(k) as hi, min(v) as v from t where id >= 40;

-- name: trap: a mean over uneven partitions
select avg(k) as a, avg(id) as b, var_pop(id) as v, stddev(id) as s from t where id = 10 or id > 50;

-- name: trap: an empty partition adds no row to an aggregate without groups
select count(*) as c, min(s) as m from (select sum(id) as s from empty) x;

-- name: trap: an aggregate without groups joined to nothing
select a.c, e.id from (select count(*) as c from empty) a left join empty e on e.id = a.c;

-- name: trap: GROUPING SETS with more partitions than groups
select b, k is null as n, grouping(b) as gb, count(*) as c from t group by grouping sets ((b), (k is null), ());

-- name: trap: the empty grouping set gives one row, not one a partition
select k, count(*) as c from t where id < 0 group by rollup (k);

-- name: trap: a text with a newline is not a file's cut
select count(*) as c, count(distinct name) as n, sum(length(name)) as l from texts;

-- name: trap: JSON with an escaped newline is not a file's cut
select kind, count(*) as c from events group by kind;

-- name: trap: a dictionary's unused values are not rows
select count(distinct dk) as c from dict where dk = 'd2' or dk is null;

-- name: trap: views that point into a large buffer
select vk, substr(vk, 3, 20) as s, count(*) as c from dict where id % 2 = 0 group by vk, 2;

-- name: trap: slices of large texts through an exchange
select substr(s, 999990, 30) as x, count(*) as c from big group by 1;

-- name: trap: a sort that reads the same file twice
-- ordered
select a.id, b.id as other from t a join t b on a.id = b.id order by a.id desc;

-- name: trap: a table scanned with two different filters
select a.id, b.id as other from (select id, k from t where id < 30) a join (select id, k from t where id > 30) b on a.k = b.k;

-- name: trap: an exchange used by two readers
with a as (select k, count(*) as c, sum(id) as s from t group by k)
select x.k, y.c, z.s from a x join a y on x.k = y.k join a z on z.c = y.c and z.k = x.k;

-- name: trap: a rank over ties that one partition does not see
select g, rank() over (order by g nulls first) as r, count(*) as c from t group by g;

-- name: trap: a join of an aggregate with itself by another name
select a.k, b.kk from (select k, count(*) as c from t group by k) a full join (select k as kk, count(*) as c from t group by k) b on a.k = b.kk + 1 and a.c = b.c;

-- name: trap: a runtime filter drops no null-safe row
select l.id, t.id as other from lone l join t on l.k is not distinct from t.k where l.id = 4;

-- name: trap: a runtime filter of an empty build side
select m.id from many m join (select id from t where id > 62 and k = 99) s on m.id = s.id;

-- name: trap: a runtime filter on NaN and minus zero
select m.id, s.id as other from (select id, case id % 3 when 0 then cast('NaN' as double) when 1 then cast('-0.0' as double) else 0.0 end as v from many where id < 30) m
join (select id, v from t where isnan(v) or v = 0) s on m.v = s.v;

-- name: trap: a runtime filter below an outer join
select t.id, u.n, l.g from t left join u on t.k = u.k join lone l on l.id = t.id;

-- name: trap: a runtime filter on an expression with a cast
select m.id from many m join (select n * 100 as n from u where w = 3) s on m.id + 1 = s.n + 1;

-- name: trap: a lookup table of numbers is the same after decoding
select id, case k when 0 then 10 when 1 then 20 when 3 then 30 when 4 then 40 else 50 end as x from t;

-- name: trap: a lookup table of texts is the same after decoding
select case g when 'a' then 1 when 'b' then 2 when '' then 3 when 'A' then 4 else 5 end as x, count(*) as c from t group by 1;

-- name: trap: a lookup table in a join's key
select t.id, u.n from t join u on case t.g when 'a' then 4 when 'b' then 5 when '' then 6 else 7 end = u.k;

-- name: trap: a limit over files that are sorted
select count(*) as c from (select a, b from sorted limit 3) s;

-- name: trap: a count over a frame that ends before its row is not monotonic
-- ordered
select s.id, s.c from (select id, count(*) over (order by k range between 2 preceding and 1 preceding) as c from t) s order by c desc, id;

-- name: trap: a limited sum over a frame that ends before its row
-- ordered
select id, count(*) over (order by k groups between 2 preceding and 1 preceding) as c from t order by c, id limit 9;

-- name: trap: a build side of one partition below a union of nullable columns is not emptied
select s.a, s.b from (
  select nullif(t.id, -1) as a, nullif(l.id, -1) as b from lone l join t on t.k = l.id
  union all select nullif(u.n, -1) as a, nullif(o.id, -1) as b from one o join u on u.w = o.k) s;

-- name: trap: a single build side in the second branch only
select s.a, s.b from (
  select nullif(id, -1) as a, nullif(k, -1) as b from t
  union all select nullif(u.n, -1) as a, nullif(l.id, -1) as b from lone l join u on u.w = l.id) s;

-- name: trap: a cross join's single side below a union of nullable columns is not emptied
select s.a, s.b from (
  select nullif(t.id, -1) as a, nullif(o.id, -1) as b from one o cross join t where t.id < 9
  union all select nullif(u.n, -1) as a, nullif(l.id, -1) as b from lone l cross join u where u.w = 2) s;

-- name: trap: a nested loop's single side below a union of nullable columns is not emptied
select s.a, s.b from (
  select nullif(n, -1) as a, nullif(n, -2) as b from u where n < 3
  union all select nullif(t.id, -1) as a, nullif(l.id, -1) as b from lone l join t on t.k < l.id and t.id > 50
  union all select nullif(t.id, -1) as a, nullif(o.id, -1) as b from one o join t on t.id > o.id + 55) s;

-- name: trap: an outer nested loop below a union
select s.a, s.b from (
  select nullif(t.id, -1) as a, nullif(l.id, -1) as b from lone l left join t on t.k < l.id - 6
  union all select nullif(l.id, -1) as a, nullif(u.n, -1) as b from lone l full join u on u.w > l.id + 2) s;

-- name: trap: a union of a limit, an aggregate without groups, a sort and a scan
select s.a from (
  (select nullif(id, -1) as a from t order by id desc limit 3)
  union all select nullif(cast(count(*) as int), -1) as a from u
  union all (select nullif(k, -1) as a from t order by k nulls first, id limit 4)
  union all select nullif(n, -1) as a from u) s;

-- name: trap: a union of single rows under a cross join under a union
select s.a, s.b from (
  select x.a, nullif(t.id, -1) as b from (select nullif(id, -1) as a from one union all select nullif(max(id), -1) as a from t) x cross join t where t.id < 4
  union all select nullif(id, -1) as a, nullif(k, -1) as b from lone) s;

-- name: trap: a window over a union of unlike partition counts
select s.a, s.src, row_number() over (partition by s.k order by s.src, s.a) as r from (
  select nullif(id, -1) as a, nullif(k, -1) as k, 1 as src from lone
  union all select nullif(id, -1) as a, nullif(k, -1) as k, 2 as src from t
  union all select nullif(id, -1) as a, nullif(k, -1) as k, 3 as src from one) s;

-- name: trap: a union of unlike partition counts on both sides of a full join
select a.x, b.y from (select nullif(id, -1) as x from lone union all select nullif(id, -1) as x from t where id % 3 = 0) a
full join (select nullif(n, -1) as y from u union all select nullif(id, -1) as y from one) b on a.x = b.y;

-- name: trap: a union below a null-aware anti join
select id, k from t where k not in (select nullif(id, -1) as x from lone where id < 4 union all select nullif(id, -1) as x from one);

-- name: trap: a union with a null below a null-aware anti join
select id, k from t where k not in (select nullif(id, 3) as x from lone where id < 6 union all select nullif(id, -1) as x from one);

-- name: trap: a union under a scalar subquery
select id, (select max(x) from (select nullif(id, -1) as x from t union all select nullif(n, -1) as x from u union all select nullif(id, -1) as x from lone) s) as m from lone;

-- name: trap: a limit over a union under a join
select count(*) as c from (select nullif(id, -1) as x from many union all select nullif(id, -1) as x from t limit 70000) a cross join one;

-- name: trap: a union of groups by the same key is grouped again
select k, sum(c) as c from (
  select nullif(k, -1) as k, count(*) as c from t group by 1 union all select nullif(k, -1) as k, count(*) as c from many where k < 6 group by 1) s group by k;

-- name: trap: a union of joins on the same key is joined on it again
select s.k, l.g, s.n from (
  select t.k, u.n from t join u on t.k = u.k union all select t.k, u.n from t left join u on t.k = u.w and u.n < 9) s join lone l on l.id = s.k;

-- name: trap: a distinct union of groups under a window and a limit
-- ordered
select k, c, rank() over (order by c desc, k nulls first) as r from (
  select nullif(k, -1) as k, count(*) as c from t group by 1 union select nullif(k, -1) as k, count(*) as c from u where k < 8 group by 1) s order by r limit 6;
