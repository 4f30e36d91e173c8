-- name: casts
select id, cast(k as varchar) as s, cast(d as int) as i, cast(v as float) as f, cast(dt as timestamp) as t, cast(ts as date) as dd, cast(b as int) as bb from t where v is null or v between -100 and 100;

-- name: try_cast
select id, try_cast(g as int) as i, try_cast(concat(k, '') as int) as k, try_cast('2024-13-01' as date) as d from t;

-- name: CASE with a base
select id, case k when 1 then 'one' when 2 then 'two' else g end as c from t;

-- name: CASE without ELSE
select id, case when k > 3 then id when g = 'a' then -1 end as c from t;

-- name: coalesce, nullif, nvl
select id, coalesce(k, -1) as c, coalesce(g, cast(k as varchar), 'none') as d, nullif(k, 3) as n, nvl(k, 100) as v from t;

-- name: greatest and least
select id, greatest(k, id % 5, 2) as g, least(k, id % 5) as l from t;

-- name: regular expressions
select id, regexp_like(g, '^[ab]') as m, regexp_replace(vk, 'v(.)ew', 'V\1') as r from (select t.id, t.g, d.vk from t join dict d on t.id = d.id) s;

-- name: a regular expression as a filter
select id, vk from dict where vk ~ 'value [12]$';

-- name: LIKE and ILIKE
select id from t where g like '%a%' or g ilike 'Ä';

-- name: LIKE with an escape and NOT LIKE
select id from dict where vk not like '%2' and lk like 'l_';

-- name: functions of texts
select id, upper(g) as u, length(g) as l, concat(g, '-', k) as c, substr(vk, 10, 4) as s, strpos(vk, 'view') as p, split_part(vk, ' ', 3) as sp, reverse(g) as r, lpad(g, 3, '*') as lp
from (select t.id, t.g, t.k, d.vk from t join dict d on t.id = d.id) s;

-- name: the length of a text with accents
select id, char_length(g) as c, octet_length(g) as o, ascii(g) as a from t;

-- name: arithmetic of decimals
select id, d + 1.25 as a, d * d as m, d / 3 as q, -d as n, d % 2 as r, round(d, 1) as ro from t;

-- name: decimals through an exchange and a window
select id, d, sum(d) over (partition by k order by id) as s, avg(d) over (partition by k) as a from t;

-- name: arithmetic of dates
select id, dt + interval '1' month as m, dt - date '2024-02-01' as days, extract(year from dt) as y, extract(dow from dt) as w from t;

-- name: arithmetic of timestamps
select id, ts + interval '90 minutes' as a, ts - timestamp '2024-02-27T00:00:00' as b, date_part('hour', ts) as h, date_bin(interval '2 hours', ts) as bin from t;

-- name: groups by an interval
select ts - timestamp '2024-02-27T00:00:00' as d, count(*) as c from t group by 1;

-- name: intervals through an exchange
select i, count(*) as c, max(k) as k from (select k, case id % 3 when 0 then interval '1 day' when 1 then interval '2 months' else interval '3 hours' end as i from t) a group by i;

-- name: intervals ordered
-- ordered
select id, dt - date '2024-02-20' as d from t where dt is not null order by d, id;

-- name: an interval constant through a join
select t.id, u.n, interval '3 days 2 hours' as i from t join u on t.k = u.k;

-- name: timestamps with zones compared and truncated
select id, date_trunc('day', tz) as d, tz > timestamp '2024-02-27T12:00:00Z' as later, extract(hour from tz) as h from t;

-- name: a timestamp's maximum by zone
select max(tz) as m, min(tz) as n, max(ts) as t from t;

-- name: a filter on a timestamp with a zone
select id from t where tz between timestamp '2024-02-27T03:00:00Z' and timestamp '2024-02-27T09:00:00Z';

-- name: binaries
select id, bin, encode(bin, 'hex') as h from t where bin >= arrow_cast('b1', 'Binary');

-- name: groups by a dictionary
select dk, count(*) as c, min(id) as m, max(dk) as d from dict group by dk;

-- name: groups by a dictionary and a view
select dk, vk, count(*) as c from dict group by dk, vk;

-- name: groups by a large text and a binary view
select lk, bv, count(*) as c from dict group by lk, bv;

-- name: a dictionary joined with a dictionary
select a.id, b.id as other from dict a join dict b on a.dk = b.dk and a.id < b.id;

-- name: a dictionary joined with a text
select a.id, b.id as other from dict a join dict b on a.dk = b.plain and a.id < 9;

-- name: a view joined with a view, a large text with itself
select a.id, b.id as other from dict a join dict b on a.vk = b.vk and a.lk = b.lk and a.id < b.id;

-- name: a binary view joined in a full join
select a.id, b.id as other from dict a full join (select id, bv from dict where id < 11) b on a.bv = b.bv;

-- name: a dictionary in ORDER BY
-- ordered
select dk, id from dict order by dk desc nulls last, id;

-- name: a view and a binary view in ORDER BY with a limit
-- ordered
select vk, bv, id from dict order by vk, bv nulls first, id desc limit 15;

-- name: a dictionary in DISTINCT and UNION
select distinct dk from dict union select plain from dict;

-- name: a dictionary in a window
select id, row_number() over (partition by dk order by id) as r, first_value(dk) over (partition by lk order by id) as f, lag(vk) over (order by id) as p from dict;

-- name: a dictionary in aggregates
select count(distinct dk) as d, count(distinct vk) as v, count(distinct bv) as b, min(dk) as lo, max(lk) as hi, array_agg(dk order by id) as a from dict;

-- name: a dictionary in an outer join's null rows
select t.id, d.dk, d.lk, d.vk, d.bv from t left join dict d on t.k = d.id and d.id > 3;

-- name: a dictionary as a semi join's key
select id from dict where dk in (select plain from dict where id < 2);

-- name: CASE and coalesce over a dictionary
select id, coalesce(dk, 'none') as c, case when dk = 'd1' then lk else vk end as x from dict;

-- name: every layout of a text
select * from dict;

-- name: an empty list, a null list, a list of nulls
select id, l, cardinality(l) as c, l[1] as f, array_length(l) as n from nested;

-- name: lists through a join
select a.id, a.l, b.s from nested a join nested b on a.k = b.k and a.id = b.id;

-- name: lists through an outer join
select t.id, n.l, n.s, n.m, n.ls from t left join nested n on t.id = n.id - 20;

-- name: nested columns through a sort
-- ordered
select id, l, s, m, ls from nested order by id desc;

-- name: nested columns through a limit
-- ordered
select id, l, ls from nested order by k, id limit 9;

-- name: nested columns through a union
select id, l, s from nested where id < 20 union all select id + 100, l, s from nested;

-- name: nested columns through a repartition with a window
select id, l, s, m, ls, row_number() over (partition by k order by id) as r from nested;

-- name: groups by a list
select l, count(*) as c from nested group by l;

-- name: groups by a struct
select s, count(*) as c, min(id) as m from nested group by s;

-- name: groups by a list of structs
select ls, count(*) as c from nested group by ls;

-- name: groups by a struct and a key
select k, s, count(*) as c from nested group by k, s;

-- name: DISTINCT of structs and lists
select distinct s, l from nested;

-- name: joins on a struct
select a.id, b.id as other from nested a join nested b on a.s = b.s and a.id < b.id;

-- name: joins on a list
select a.id, b.id as other from nested a join nested b on a.l = b.l and a.id < b.id;

-- name: ORDER BY a struct's field and a list's element
-- ordered
select id, s, l from nested order by s['a'] nulls first, l[1] desc nulls last, id;

-- name: fields of structs
select id, s['a'] as a, s['b'] as b, ls[1]['a'] as la from nested;

-- name: a map's keys, values and one element
select id, map_keys(m) as k, map_values(m) as v, m['x'] as x from nested;

-- name: array_agg of structs
select k, array_agg(s order by id) as a from nested group by k;

-- name: array_agg of lists
select k, array_agg(l order by id) as a from nested group by k;

-- name: structs and lists made from columns and grouped
select named_struct('k', k, 'g', g) as s, count(*) as c from t group by 1;

-- name: lists made from columns, joined and grouped
select make_array(t.k, u.w) as l, count(*) as c from t join u on t.k = u.k group by 1;

-- name: first_value and max of nested columns
select k, first_value(l order by id) as f, last_value(s order by id) as s, count(distinct s) as c from nested group by k;

-- name: UNNEST of a list
select id, unnest(l) as e from nested;

-- name: UNNEST of two lists of different lengths
select id, unnest(l) as e, unnest(make_array(1, 2)) as f from nested;

-- name: UNNEST with other columns and a filter
select id, k, e from (select id, k, unnest(l) as e from nested) x where e > 3 or e is null;

-- name: UNNEST of a list of structs
select id, unnest(ls) as e from nested;

-- name: UNNEST of a struct
select id, unnest(s) from nested;

-- name: UNNEST under an aggregate
select e, count(*) as c, min(id) as m from (select id, unnest(l) as e from nested) x group by e;

-- name: UNNEST joined
select x.id, l.g from (select id, unnest(l) as e from nested) x join lone l on x.e = l.id;

-- name: UNNEST in FROM
select e from unnest(make_array(1, null, 3)) as s(e);

-- name: UNNEST of a column in FROM
-- error: OuterReferenceColumn
select n.id, x.e from nested n cross join unnest(n.l) as x(e);

-- name: UNNEST of an aggregate
select k, unnest(a) as e from (select k, array_agg(id order by id) as a from t group by k) s;

-- name: UNNEST over an empty table
select id, unnest(make_array(id, k)) as e from empty;

-- name: UNNEST in a window
select id, e, row_number() over (partition by e order by id, k) as r from (select distinct id, k, unnest(l) as e from nested) x;

-- name: functions of lists
select id, array_sort(l) as s, array_has(l, 3) as h, array_concat(l, make_array(9)) as c, array_position(l, 2) as p, array_to_string(l, ',', 'null') as t from nested;

-- name: a wide table
select * from wide where id < 5;

-- name: a wide table grouped by ten and summed
select id % 3 as r, sum(c0) as a, max(c50) as b, min(c199) as c, avg(c100) as d from wide group by 1;

-- name: a wide table ordered and limited
-- ordered
select * from wide order by c7, id limit 5;

-- name: a wide table in a window
select *, row_number() over (partition by c3 order by id) as r from wide;

-- name: a wide table in a union
select * from wide union all select * from wide where id % 2 = 1;

-- name: texts larger than a megabyte
select id, s from big;

-- name: texts larger than a megabyte through a join
select a.id, b.s from lone a left join big b on a.id = b.id;

-- name: texts larger than a megabyte through a partitioned join
select a.id, b.id as other, a.s from big a join big b on a.s = b.s;

-- name: groups by texts larger than a megabyte
select s, count(*) as c, max(id) as m from big group by s;

-- name: texts larger than a megabyte ordered
-- ordered
select s, id from big order by s desc nulls last, id;

-- name: texts larger than a megabyte in aggregates
select k, max(s) as m, string_agg(s, '|' order by id) as a from big group by k;

-- name: texts larger than a megabyte in a window
select id, lag(s) over (partition by k order by id) as p from big;

-- name: the lengths of large texts
select k, sum(length(s)) as l, count(distinct s) as d from big group by k;

-- name: CSV with newlines in values
select id, name, amount from texts;

-- name: CSV grouped by a text with newlines
select name, count(*) as c, sum(amount) as s from texts group by name;

-- name: CSV ordered
-- ordered
select name, id from texts order by name nulls first, id desc;

-- name: CSV joined with itself and with Parquet
select a.id, b.id as other, l.g from texts a join texts b on a.name = b.name and a.id < b.id left join lone l on l.id = b.id;

-- name: CSV in a window
select id, sum(amount) over (partition by name order by id) as s from texts;

-- name: JSON
select id, kind, at from events;

-- name: JSON grouped by a nested field
select at['x'] as x, count(*) as c, max(id) as m from events group by 1;

-- name: JSON with a list unnested
select id, unnest(at['y']) as y from events;

-- name: JSON joined with CSV
select e.id, e.kind, x.name from events e full join texts x on e.kind = x.name;

-- name: JSON and CSV in a union
select id, kind as s from events union all select id, name from texts;

-- name: hashes
select id, md5(g) as m, encode(sha256(g), 'hex') as s from t;

-- name: a float's arithmetic
select id, v + 1 as a, v * 0 as z, v / 2 as h, abs(v) as b, isnan(v) as n, floor(v) as f from t;

-- name: comparisons with NaN
select id from t where v > 5 or v = 'NaN'::double;

-- name: unsigned, small and float types through an exchange
select arrow_cast(id, 'UInt64') as a, arrow_cast(id % 100, 'Int8') as b, arrow_cast(k, 'UInt16') as c, arrow_cast(id, 'Float32') as f, count(*) as n from t group by 1, 2, 3, 4;

-- name: half floats, times and durations through an exchange
select arrow_cast(id, 'Float16') as h, arrow_cast(arrow_cast(id * 60, 'Int32'), 'Time32(Second)') as t, arrow_cast(id, 'Duration(Millisecond)') as d, max(k) as k from t group by 1, 2, 3;

-- name: fixed-size binaries and lists through an exchange
select arrow_cast(arrow_cast('abcd', 'Binary'), 'FixedSizeBinary(4)') as b, arrow_cast(make_array(id, id), 'FixedSizeList(2, Int32)') as l, sum(k) as k from t group by id;
