-- name: counts by key with nulls
select k, count(*) as c, count(g) as g, count(v) as v from t group by k;

-- name: an aggregate without groups
select count(*) as c, count(k) as k, sum(id) as s, min(g) as lo, max(g) as hi, avg(d) as a from t;

-- name: an aggregate without groups over an empty table
select count(*) as c, sum(id) as s, min(g) as lo, max(v) as hi, avg(d) as a, bool_and(b) as b from empty;

-- name: a grouped aggregate over an empty table
select k, count(*) as c from empty group by k;

-- name: an aggregate without groups over nothing that passes
select count(*) as c, sum(id) as s from t where id > 1000;

-- name: an aggregate over columns that are all null
select count(*) as c, count(id) as i, sum(k) as s, min(g) as g, avg(v) as v, max(v) as m from nulls;

-- name: groups by a column that is all null
select k, count(*) as c from nulls group by k;

-- name: groups by two columns with nulls in both
select k, g, count(*) as c, sum(id) as s from t group by k, g;

-- name: groups by NaN, minus zero and infinities
select v, count(*) as c from t group by v;

-- name: groups by NaN from two tables
select v, count(*) as c from (select v from t union all select v from u) s group by v;

-- name: groups by an expression
select k % 3 as r, id / 10 as tens, count(*) as c from t group by k % 3, id / 10;

-- name: groups by CASE
select case when k < 3 then 'low' when k < 6 then 'middle' end as level, count(*) as c from t group by 1;

-- name: groups by a text with case and accents
select g, count(*) as c, min(id) as m from t group by g;

-- name: groups by a decimal
select d, count(*) as c, sum(d) as s from t group by d;

-- name: groups by a date
select dt, count(*) as c from t group by dt;

-- name: groups by timestamps
select ts, tz, count(*) as c from t group by ts, tz;

-- name: groups by a truncated timestamp
select date_trunc('hour', ts) as h, count(*) as c from t group by 1;

-- name: groups by a boolean
select b, count(*) as c from t group by b;

-- name: groups by a binary
select bin, count(*) as c, min(bin) as m from t group by bin;

-- name: groups by ten columns
select k, g, v, d, dt, ts, tz, b, bin, count(*) as c from t group by k, g, v, d, dt, ts, tz, b, bin;

-- name: groups by position and by alias
select k as key, g, count(*) as c from t group by key, 2;

-- name: many groups
select k, count(*) as c, sum(v) as s, min(id) as lo, max(id) as hi from many group by k;

-- name: as many groups as rows, counted
select count(*) as c, sum(s) as s from (select id, sum(v) as s from many group by id) x;

-- name: HAVING without an aggregate in SELECT
select k from t group by k having sum(id) > 200;

-- name: HAVING without GROUP BY
select sum(id) as s from t having count(*) > 10;

-- name: HAVING without GROUP BY that fails
select sum(id) as s from t having count(*) > 1000;

-- name: HAVING on a null
select k, min(g) as m from t group by k having min(g) is null or k is null;

-- name: a distinct count
select count(distinct k) as c from t;

-- name: several distinct counts
select count(distinct k) as k, count(distinct g) as g, count(distinct v) as v, count(*) as c from t;

-- name: a distinct count by key
select k, count(distinct g) as c, count(g) as n from t group by k;

-- name: several distinct aggregates by key
select k, count(distinct g) as g, sum(distinct id % 5) as s, count(distinct dt) as d, max(id) as m from t group by k;

-- name: a distinct sum next to a plain sum
select sum(distinct k) as d, sum(k) as s, avg(distinct k) as a from t;

-- name: a distinct count over an empty table
select count(distinct k) as c, sum(distinct k) as s from empty;

-- name: a distinct count of many rows
select g, count(distinct k) as c, count(distinct id) as i from many group by g;

-- name: a distinct count of NaN and minus zero
select count(distinct v) as c from t;

-- name: a distinct count of decimals and binaries
select count(distinct d) as d, count(distinct bin) as b, count(distinct tz) as t from t;

-- name: aggregates with FILTER
select k, count(*) filter (where g = 'a') as a, sum(id) filter (where id > 30) as s, count(*) as c from t group by k;

-- name: FILTER without groups
select count(*) filter (where k > 3) as c, max(id) filter (where b) as m, min(id) filter (where false) as n from t;

-- name: FILTER with DISTINCT
select k, count(distinct g) filter (where id % 2 = 0) as c from t group by k;

-- name: FILTER on a null condition
select k, count(*) filter (where g > 'a') as c, count(*) filter (where null) as n from t group by k;

-- name: array_agg with ORDER BY
select k, array_agg(id order by id desc) as ids from t group by k;

-- name: array_agg with ORDER BY of another column
select k, array_agg(g order by id) as gs from t group by k;

-- name: array_agg with ORDER BY without groups
select array_agg(id order by k desc nulls last, id) as ids from t;

-- name: array_agg DISTINCT with ORDER BY
select b, array_agg(distinct g order by g) as gs from t group by b;

-- name: array_agg with FILTER and ORDER BY
select k, array_agg(id order by id) filter (where g is not null) as ids from t group by k;

-- name: array_agg of nothing
select array_agg(id order by id) as ids from empty;

-- name: two array_aggs in opposite orders
select k, array_agg(id order by id) as up, array_agg(id order by id desc) as down from t group by k;

-- name: string_agg with ORDER BY
select k, string_agg(g, ',' order by id) as s from t group by k;

-- name: string_agg with ORDER BY without groups
select string_agg(g, '|' order by id desc) as s from t;

-- name: first_value and last_value with ORDER BY
select k, first_value(id order by id) as f, last_value(id order by id) as l from t group by k;

-- name: first_value with ORDER BY of another column, without groups
select first_value(g order by id) as f, last_value(g order by v nulls first, id) as l from t;

-- name: first_value with ORDER BY and nulls first
select b, first_value(id order by k nulls first, id) as f, first_value(k order by k desc nulls last, id) as g from t group by b;

-- name: nth_value with ORDER BY
select k, nth_value(id, 2 order by id desc) as n from t group by k;

-- name: ordered aggregates of many rows
select g, first_value(id order by id desc) as f, last_value(k order by id) as l from many group by g;

-- name: GROUPING SETS
select k, g, count(*) as c, grouping(k) as gk, grouping(g) as gg from t group by grouping sets ((k, g), (k), (g), ());

-- name: ROLLUP
select k, b, sum(id) as s, grouping(k, b) as l from t group by rollup (k, b);

-- name: CUBE
select k, b, g, count(*) as c from t group by cube (k, b, g);

-- name: GROUPING SETS over an empty table
select k, count(*) as c from empty group by grouping sets ((k), ());

-- name: GROUPING SETS without the empty set over an empty table
select k, g, count(*) as c from empty group by grouping sets ((k), (g));

-- name: ROLLUP with HAVING and ORDER BY
-- ordered
select k, g, count(*) as c, grouping(k) as gk, grouping(g) as gg from t group by rollup (k, g) having count(*) > 1
order by gk, gg, k nulls first, g nulls first;

-- name: ROLLUP with a distinct count
select b, k, count(distinct g) as c from t group by rollup (b, k);

-- name: CUBE of expressions
select id % 2 as odd, k % 2 as kodd, count(*) as c from t group by cube (id % 2, k % 2);

-- name: GROUPING SETS that name a set twice
select k, count(*) as c from t group by grouping sets ((k), (k));

-- name: a GROUP BY of a column and ROLLUP
select b, k, count(*) as c from t group by b, rollup (k);

-- name: bool_and and bool_or
select k, bool_and(b) as a, bool_or(b) as o from t group by k;

-- name: bit aggregates
select k, bit_and(id) as a, bit_or(id) as o, bit_xor(id) as x from t group by k;

-- name: variance and deviation
select k, stddev(id) as s, stddev_pop(id) as sp, var_samp(id) as v, var_pop(id) as vp from t group by k;

-- name: variance of one row and of none
select var_samp(id) as a, var_pop(id) as b, stddev(id) as c from one;

-- name: correlation, covariance and regression
select b, corr(id, k) as c, covar_samp(id, k) as s, covar_pop(id, k) as p, regr_slope(id, k) as r from t group by b;

-- name: the median
select k, median(id) as m, median(d) as d from t group by k;

-- name: the median without groups
select median(id) as m, median(distinct k) as d from t;

-- name: a continuous percentile
select k, percentile_cont(0.25) within group (order by id) as p from t group by k;

-- name: a continuous percentile, descending, without groups
select percentile_cont(0.75) within group (order by id desc) as p from t;

-- name: an approximate distinct count of few values
select approx_distinct(k) as k, approx_distinct(g) as g from t;

-- name: averages of decimals
select k, avg(d) as a, sum(d) as s, min(d) as lo, max(d) as hi from t group by k;

-- name: sums of NaN and infinities
select b, sum(v) as s, avg(v) as a from t group by b;

-- name: minimum and maximum of floats
select b, min(v) as lo, max(v) as hi from t where not isnan(v) group by b;

-- name: minimum and maximum of texts, dates and binaries
select k, min(g) as g, max(g) as gg, min(dt) as d, max(ts) as t, max(bin) as b from t group by k;

-- name: a sum near the end of its type
select sum(9223372036854775000 - 200000000000000000 - id * 144115188075855872) as s from t where id in (0, 63);

-- name: a decimal sum that needs a wider type
select sum(cast(id as decimal(38, 2)) * 10) as s, avg(cast(id as decimal(30, 10))) as a from t;

-- name: an aggregate of an aggregate
select c, count(*) as n from (select k, count(*) as c from t group by k) s group by c;

-- name: an aggregate of an aggregate of an aggregate
select max(n) as m from (select c, count(*) as n from (select k, g, count(*) as c from t group by k, g) s group by c) x;

-- name: groups by a group's subset
select k, sum(c) as c from (select k, g, count(*) as c from t group by k, g) s group by k;

-- name: an aggregate over a union
select k, count(*) as c from (select k from t union all select k from u union all select k from lone) s group by k;

-- name: groups by a constant
select 'all' as label, count(*) as c from t group by 'all';

-- name: groups by a constant over an empty table
select 'all' as label, count(*) as c from empty group by 'all';

-- name: DISTINCT
select distinct k, g from t;

-- name: DISTINCT of NaN and minus zero
select distinct v from t;

-- name: DISTINCT of an expression, ordered and limited
-- ordered
select distinct k * 2 as kk from t order by kk nulls first limit 4;

-- name: DISTINCT ON with a total order
-- ordered
select distinct on (k) k, id, g from t order by k, id desc;

-- name: DISTINCT ON of two keys
select distinct on (b, g) b, g, id from t order by b, g, id;

-- name: DISTINCT over an aggregate
select distinct c from (select k, count(*) as c from t group by k) s;

-- name: DISTINCT of many rows
select distinct k, g from many where k < 40;

-- name: GROUP BY without an aggregate
select k, g from t group by k, g;

-- name: GROUP BY with a limit on a total order
-- ordered
select k, count(*) as c from many group by k order by c desc, k limit 5 offset 3;

-- name: counts with a condition inside
select sum(case when b then 1 else 0 end) as t, count(case when b then 1 end) as c, count(nullif(k, 3)) as n from t;

-- name: an aggregate without columns
select count(*) as c from many;

-- name: an aggregate without columns over a filter
select count(*) as c from t where g is null and k is not null;

-- name: minimum and maximum of the whole table
select min(id) as lo, max(id) as hi, count(*) as c from many;

-- name: an aggregate over a join over an aggregate
select s.c, sum(u.n) as n from u join (select k, count(*) as c from t group by k) s on s.k = u.k group by s.c;
