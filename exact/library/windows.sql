-- name: row_number by key
select id, k, row_number() over (partition by k order by id) as r from t;

-- name: row_number of the whole table
select id, row_number() over (order by id desc) as r from t;

-- name: rank and dense_rank with ties
select id, rank() over (partition by b order by k) as r, dense_rank() over (partition by b order by k) as d from t;

-- name: percent_rank and cume_dist
select id, percent_rank() over (partition by b order by k) as p, cume_dist() over (partition by b order by k) as c from t;

-- name: ntile
select id, ntile(3) over (partition by b order by id) as n, ntile(5) over (order by id) as m from t;

-- name: ntile of more tiles than rows
select id, ntile(100) over (partition by k order by id) as n from t;

-- name: lag and lead
select id, lag(id) over (partition by k order by id) as p, lead(id, 2) over (partition by k order by id) as n from t;

-- name: lag and lead with defaults
select id, lag(k, 3, -1) over (order by id) as p, lead(g, 1, 'none') over (order by id) as n from t;

-- name: lag with a negative and a zero offset
select id, lag(id, 0) over (order by id) as z, lag(id, -1) over (order by id) as n from t;

-- name: first, last and nth value
select id, first_value(id) over (partition by k order by id) as f, last_value(id) over (partition by k order by id) as l,
  nth_value(id, 2) over (partition by k order by id) as n from t;

-- name: a sum over the whole partition
select id, sum(id) over (partition by k) as s, count(*) over (partition by k) as c from t;

-- name: a sum over the whole table
select id, sum(id) over () as s, count(g) over () as c from t;

-- name: a running sum
select id, sum(id) over (order by id) as s, avg(d) over (order by id) as a from t;

-- name: a running sum with peers
select id, sum(id) over (partition by b order by k) as s from t;

-- name: a running minimum and maximum
select id, min(k) over (partition by g order by id) as lo, max(k) over (partition by g order by id) as hi from t;

-- name: a ROWS frame around the row
select id, sum(id) over (partition by k order by id rows between 1 preceding and 1 following) as s from t;

-- name: a ROWS frame that ends before the row
select id, sum(id) over (order by id rows between 3 preceding and 2 preceding) as s, count(*) over (order by id rows between 3 preceding and 2 preceding) as c from t;

-- name: a ROWS frame that begins after the row
select id, min(id) over (partition by k order by id rows between 1 following and 2 following) as m from t;

-- name: a ROWS frame that is always empty
-- error: cannot be larger than end bound
select id, count(*) over (order by id rows between 2 following and 1 following) as c from t;

-- name: ROWS to the end
select id, max(id) over (partition by k order by id rows between current row and unbounded following) as m from t;

-- name: ROWS without bounds
select id, sum(id) over (partition by k order by id rows between unbounded preceding and unbounded following) as s from t;

-- name: ROWS of the current row
select id, sum(id) over (order by id rows between current row and current row) as s from t;

-- name: a RANGE frame with offsets
select id, k, sum(id) over (partition by b order by k range between 1 preceding and 2 following) as s from t;

-- name: a RANGE frame over nulls first and last
select id, count(*) over (order by k nulls first range between 1 preceding and current row) as f,
  count(*) over (order by k nulls last range between 1 preceding and current row) as l from t;

-- name: a RANGE frame in descending order
select id, sum(id) over (order by k desc range between 2 preceding and 1 preceding) as s from t;

-- name: a RANGE frame over decimals
select id, count(*) over (order by d range between 2.5 preceding and 2.5 following) as c from t;

-- name: a RANGE frame over dates with an interval
select id, count(*) over (order by dt range between interval '2' day preceding and interval '1' day following) as c from t;

-- name: a RANGE frame over timestamps with an interval
select id, count(*) over (partition by b order by ts range between interval '1 hour' preceding and current row) as c from t;

-- name: a RANGE frame of peers
select id, sum(id) over (order by k range between current row and current row) as s from t;

-- name: RANGE to the end
select id, sum(id) over (partition by b order by k range between current row and unbounded following) as s from t;

-- name: a GROUPS frame
select id, sum(id) over (partition by b order by k groups between 1 preceding and 1 following) as s from t;

-- name: a GROUPS frame that ends before the row
select id, sum(id) over (order by k groups between 2 preceding and 1 preceding) as s from t;

-- name: a GROUPS frame from the start
select id, count(*) over (order by k groups between unbounded preceding and 1 following) as s from t;

-- name: a GROUPS frame over two keys
select id, count(*) over (order by b, k groups between 1 preceding and current row) as c from t;

-- name: FILTER in a window
select id, sum(id) filter (where g = 'a') over (partition by k order by id) as s from t;

-- name: FILTER in a window over the whole table
select id, count(*) filter (where b) over () as c, count(*) over () as a from t;

-- name: FILTER in a window that nothing passes
select id, sum(id) filter (where false) over (partition by k) as s, count(*) filter (where null) over (partition by k) as c from t;

-- name: FILTER in a window with a frame
select id, count(*) filter (where k > 2) over (order by id rows between 4 preceding and current row) as c from t;

-- name: different filters in one query
select id, count(*) filter (where k > 2) over (partition by b order by id) as a, count(*) filter (where k <= 2) over (partition by b order by id) as c from t;

-- name: lag that ignores nulls
select id, lag(g) ignore nulls over (order by id) as p, lag(g) over (order by id) as q from t;

-- name: lead that ignores nulls by key
select id, lead(g, 2) ignore nulls over (partition by b order by id) as p from t;

-- name: first_value that ignores nulls
select id, first_value(k) ignore nulls over (partition by b order by id) as f, first_value(k) over (partition by b order by id) as g from t;

-- name: last_value that ignores nulls fills gaps
select id, last_value(k) ignore nulls over (order by id) as l from t;

-- name: last_value that ignores nulls to the end
select id, last_value(k) ignore nulls over (order by id rows between unbounded preceding and unbounded following) as l from t;

-- name: nth_value that ignores nulls
select id, nth_value(g, 3) ignore nulls over (partition by b order by id) as n from t;

-- name: lag that respects nulls
select id, lag(g) respect nulls over (order by id) as p from t;

-- name: opposite orders in one query
select id, row_number() over (partition by k order by id) as up, row_number() over (partition by k order by id desc) as down from t;

-- name: lag and lead in opposite orders
select id, lag(id) over (order by id) as a, lag(id) over (order by id desc) as b from t;

-- name: sums in opposite orders
select id, sum(id) over (partition by b order by id) as up, sum(id) over (partition by b order by id desc) as down from t;

-- name: first values in opposite orders
select id, first_value(id) over (partition by b order by id) as f, first_value(id) over (partition by b order by id desc) as l,
  last_value(id) over (partition by b order by id desc rows between unbounded preceding and unbounded following) as m from t;

-- name: lead in opposite orders by key, with defaults
select id, lead(id, 1, -1) over (partition by k order by id desc) as a, lag(id, 1, -2) over (partition by k order by id) as b,
  lead(id, 2, -3) over (partition by k order by id) as c from t;

-- name: nth_value in opposite orders
select id, nth_value(id, 2) over (order by id) as a, nth_value(id, 2) over (order by id desc) as b from t;

-- name: ranks in opposite orders with nulls on either end
select id, rank() over (order by k nulls first) as a, rank() over (order by k desc nulls last) as b, rank() over (order by k desc nulls first) as c from t;

-- name: several windows over different keys
select id, row_number() over (partition by k order by id) as a, row_number() over (partition by g order by id) as b,
  sum(id) over (partition by b order by id) as c, count(*) over (partition by dt) as d from t;

-- name: windows over a key and its prefix
select id, count(*) over (partition by b, k) as a, count(*) over (partition by b) as b, count(*) over (partition by b, k, g) as c from t;

-- name: windows over the same keys in another order
select id, sum(id) over (partition by b, k order by id) as a, sum(id) over (partition by k, b order by id desc) as c from t;

-- name: a named window
select id, sum(id) over w as s, row_number() over w as r from t window w as (partition by k order by id);

-- name: two named windows
select id, sum(id) over w as s, rank() over x as r from t window w as (partition by k order by id), x as (order by b, id);

-- name: QUALIFY
select id, k from t qualify row_number() over (partition by k order by id desc) <= 2;

-- name: a filter on a row number
select id, k from (select id, k, row_number() over (partition by k order by id) as r from t) s where r <= 2;

-- name: a filter on a rank
select id, k from (select id, k, rank() over (order by k desc nulls last) as r from t) s where r <= 9;

-- name: a window over an aggregate
select k, count(*) as c, rank() over (order by count(*) desc, k) as r from t group by k;

-- name: a window over an aggregate by another key
select b, k, sum(id) as s, sum(sum(id)) over (partition by b order by k) as r from t group by b, k;

-- name: an aggregate over a window
select r, count(*) as c, sum(id) as s from (select id, row_number() over (partition by k order by id) as r from t) s group by r;

-- name: a window over a window
select id, r, sum(r) over (partition by b order by id) as s from (select id, b, row_number() over (partition by k order by id) as r from t) x;

-- name: a window joined
select s.id, u.n, s.r from (select id, k, row_number() over (partition by g order by id) as r from t) s join u on s.k = u.k and s.r = u.w;

-- name: two windows joined
select a.id, b.n, a.r from (select id, row_number() over (order by id) as r from t) a
full join (select n, row_number() over (order by n nulls last) as r from u) b on a.r = b.r - 10;

-- name: a window over a join
select t.id, u.n, row_number() over (partition by u.n order by t.id) as r from t join u on t.k = u.k;

-- name: a window over a union
select id, src, row_number() over (partition by k order by src, id) as r from (
  select id, k, 't' as src from t union all select id, k, 'l' from lone) s;

-- name: a distinct count in a window
select id, count(distinct g) over (partition by k) as c from t;

-- name: a running distinct count
select id, count(distinct k) over (order by id) as c, sum(distinct k) over (order by id) as s from t;

-- name: array_agg in a window
select id, array_agg(id) over (partition by k order by id rows between 1 preceding and current row) as a from t;

-- name: string_agg in a window
select id, string_agg(g, ',') over (partition by b order by id) as s from t;

-- name: windows partitioned by NaN and minus zero
select id, count(*) over (partition by v) as c from t;

-- name: windows ordered by floats
select id, rank() over (order by v nulls first) as r from t;

-- name: windows partitioned by every kind of key
select id, count(*) over (partition by d, dt) as a, count(*) over (partition by bin, ts) as b, count(*) over (partition by tz, g) as c from t;

-- name: windows partitioned by expressions
select id, sum(id) over (partition by k % 2, id / 20 order by id) as s from t;

-- name: windows over constants
select id, sum(1) over (partition by 1 order by id) as s, row_number() over (order by 'x', id) as r from t;

-- name: windows over an empty table
select id, sum(id) over (partition by k order by id) as s, row_number() over () as r from empty;

-- name: windows over one row
select id, lag(id) over (order by id) as p, rank() over (partition by k order by id) as r, sum(id) over () as s from one;

-- name: windows over columns that are all null
select count(*) over (partition by k) as a, sum(id) over (order by g) as s, rank() over (order by v) as r, lag(id, 1, 5) over (order by k) as l from nulls;

-- name: windows over many rows
select max(r) as r, sum(s) as s, count(p) as p from (
  select row_number() over (partition by g order by id) as r, sum(v) over (partition by g order by id) as s,
    lag(id) over (partition by k order by id) as p from many) x;

-- name: a window over many rows without a key
select max(r) as r, sum(l) as l from (select row_number() over (order by id desc) as r, lead(k) over (order by id desc) as l from many) x;

-- name: the top of each of many groups
select g, id, v from (select g, id, v, row_number() over (partition by g order by v desc, id) as r from many) s where r <= 3;

-- name: ORDER BY a window's value with a limit
-- ordered
select id, sum(id) over (partition by k order by id) as s from t order by s desc, id limit 7;

-- name: a limit below a window
select id, row_number() over (order by id desc) as r from (select id from t order by id limit 9 offset 4) s;

-- name: a window in ORDER BY only
-- ordered
select id, k from t order by row_number() over (partition by k order by id), k nulls first;

-- name: a share of a total
select id, id * 1.0 / sum(id) over (partition by b) as share from t;

-- name: a difference to the row before
select id, id - lag(id) over (partition by k order by id) as gap, d - first_value(d) over (partition by k order by id) as diff from t;
