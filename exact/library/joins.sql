-- name: an inner join on keys of different types, with duplicates and nulls
select t.id, u.n, t.k from t join u on t.k = u.k;

-- name: a left join keeps rows that match nothing
select t.id, t.k, u.n from t left join u on t.k = u.k;

-- name: a right join keeps rows that match nothing
select t.id, u.n, u.k from t right join u on t.k = u.k;

-- name: a full join keeps both
select t.id, t.k, u.n, u.k as uk from t full join u on t.k = u.k;

-- name: a full join on two keys, one of them null
select t.id, u.n from t full join u on t.k = u.k and t.g = u.g;

-- name: a left semi join
select t.id from t left semi join u on t.k = u.k;

-- name: a right semi join
select u.n from t right semi join u on t.k = u.k;

-- name: a left anti join keeps null keys
select t.id, t.k from t left anti join u on t.k = u.k;

-- name: a right anti join keeps null keys
select u.n, u.k from t right anti join u on t.k = u.k;

-- name: a cross join
select t.id, lone.id as other from t cross join lone;

-- name: a cross join with an empty table
select t.id, e.id as other from t cross join empty e;

-- name: a cross join of three tables, counted
select count(*) as c from t cross join lone cross join one;

-- name: a nested loop with an inequality
select t.id, u.n from t join u on t.k < u.k and t.id > u.n;

-- name: a left nested loop keeps rows that match nothing
select t.id, l.id as other from t left join lone l on t.k > l.id + 4;

-- name: a right nested loop keeps rows that match nothing
select t.id, l.id as other from t right join lone l on t.k > l.id + 1;

-- name: a full nested loop keeps both
select t.id, l.id as other from t full join lone l on t.k > l.id and t.id < l.id * 3;

-- name: a semi nested loop
select t.id from t where exists (select 1 from lone l where l.id < t.k - 3);

-- name: an anti nested loop
select t.id from t where not exists (select 1 from lone l where l.id < t.k - 3);

-- name: a left join with a filter on the left side
select t.id, u.n from t left join u on t.k = u.k and t.id % 2 = 0;

-- name: a left join with a filter on the right side
select t.id, u.n from t left join u on t.k = u.k and u.w > 3;

-- name: a left join with a filter on both sides
select t.id, u.n from t left join u on t.k = u.k and t.id + u.n < 50;

-- name: a right join with a filter on both sides
select t.id, u.n from t right join u on t.k = u.k and t.id + u.n < 50;

-- name: a full join with a filter on both sides
select t.id, u.n from t full join u on t.k = u.k and t.id + u.n < 50;

-- name: a full join with a filter that nothing passes
select t.id, u.n from t full join u on t.k = u.k and t.id + u.n < -1;

-- name: a left join on a condition of constants
select t.id, l.id as other from t left join lone l on false;

-- name: a left join on null
select t.id, l.id as other from t left join lone l on null;

-- name: a full join on true
select o.id, l.id as other from one o full join lone l on true;

-- name: a left join whose WHERE makes it inner
select t.id, u.n from t left join u on t.k = u.k where u.w = 2;

-- name: a left join whose WHERE makes it anti
select t.id from t left join u on t.k = u.k where u.n is null;

-- name: a self join on a neighbour
select a.id, b.id as next from t a join t b on a.id = b.id - 1;

-- name: a self join on a key with nulls
select a.id, b.id as other from t a join t b on a.k = b.k and a.id < b.id;

-- name: a join of four tables
select t.id, u.n, l.id as lid, d.id as did
from t join u on t.k = u.k join lone l on u.w = l.id join dict d on d.id = t.id;

-- name: a join of five tables, outer and inner mixed
select t.id, u.n, l.g, o.v, d.vk
from t left join u on t.id = u.id join lone l on t.k = l.id
left join one o on o.k = l.k right join dict d on d.id = t.id;

-- name: a join on expressions
select t.id, u.n from t join u on t.k + 1 = u.k * 2 - 5;

-- name: a join on an expression of texts
select t.id, u.n from t join u on lower(t.g) = lower(u.g);

-- name: a join on a smallint and a bigint
select t.id, u.n from t join u on t.k = u.w;

-- name: a join on an integer and a decimal
select t.id, u.n from t join u on t.d = u.k;

-- name: a join on a double and an integer
select t.id, l.id as other from t join lone l on t.v = l.id;

-- name: IS NOT DISTINCT FROM joins nulls
select t.id, u.n from t join u on t.k is not distinct from u.k;

-- name: IS NOT DISTINCT FROM of texts in a left join
select t.id, u.n from t left join u on (t.g is not distinct from u.g) and t.k = u.k;

-- name: IS NOT DISTINCT FROM in a full join
select t.id, u.n from t full join u on t.k is not distinct from u.w;

-- name: IS DISTINCT FROM in a nested loop
select t.id, l.id as other from t join lone l on t.k is distinct from l.k where l.id < 3;

-- name: NaN and minus zero as keys
select t.id, u.n, t.v, u.v as uv from t join u on t.v = u.v;

-- name: NaN and minus zero as keys of a left anti join
select t.id, t.v from t left anti join u on t.v = u.v;

-- name: NaN and minus zero as keys of a full join
select t.id, u.n from t full join u on t.v = u.v and t.k = u.k;

-- name: decimals as keys
select a.id, b.id as other from t a join t b on a.d = b.d and a.id < b.id;

-- name: dates and timestamps as keys
select a.id, b.id as other from t a join t b on a.dt = b.dt and a.ts = b.ts and a.id <> b.id;

-- name: a date against a timestamp
select a.id, b.id as other from t a join t b on a.dt = b.ts where a.id < 30;

-- name: timestamps with a zone as keys
select a.id, b.id as other from t a join t b on a.tz = b.tz and a.id < b.id;

-- name: timestamps with a zone against those without
select a.id, b.id as other from t a left join t b on a.tz = b.ts;

-- name: booleans as keys
select a.id, b.id as other from t a join lone l on a.id = l.id join t b on a.b = b.b and b.id < 9;

-- name: binaries as keys
select a.id, b.id as other from t a join t b on a.bin = b.bin and a.id + 1 = b.id - 3;

-- name: USING
select id, w, count(*) as c, max(b) as b from t join u using (id) group by id, w;

-- name: USING in a full join merges the keys
select k, t.id, u.n from t full join u using (k);

-- name: NATURAL JOIN
select id, k, g from t natural join lone;

-- name: NATURAL LEFT JOIN
select * from lone natural left join (select id, k, g from t) s;

-- name: a join with an empty left side
select e.id, u.n from empty e join u on e.k = u.k;

-- name: a right join with an empty left side
select e.id, u.n from empty e right join u on e.k = u.k;

-- name: a full join with an empty right side
select t.id, e.id as other from t full join empty e on e.k = t.k;

-- name: a full join of two empty tables
select a.id, b.id as other from empty a full join empty b on a.k = b.k;

-- name: a left join with keys that are all null
select t.id, n.g from t left join nulls n on t.k = n.k;

-- name: a full join of keys that are all null with themselves
select a.k, b.k as bk from nulls a full join nulls b on a.k = b.k;

-- name: keys that are all null are not distinct from each other
select count(*) as c from nulls a join nulls b on a.k is not distinct from b.k;

-- name: an anti join with keys that are all null
select n.id from nulls n left anti join t on t.k = n.k;

-- name: a join under an aggregate under a join
select t.id, s.c from t join (
  select u.k, count(*) as c from u join lone l on u.w = l.id group by u.k
) s on t.k = s.k;

-- name: a join of two aggregates on their group keys
select a.k, a.c, b.s from (select k, count(*) as c from t group by k) a
full join (select k, sum(n) as s from u group by k) b on a.k = b.k;

-- name: an aggregate joined on a key that is not its group key
select a.k, u.n from (select k, max(id) as m from t group by k) a left join u on u.id = a.m;

-- name: an outer join of outer joins
select t.id, u.n, l.id as lid from (t left join u on t.k = u.k) full join lone l on u.w = l.k;

-- name: outer joins on the nullable side's key
select t.id, u.n, v.n as vn from t left join u on t.id = u.id left join u v on u.k = v.k and v.w = 1;

-- name: a broadcast join below a partitioned one
select m.k, count(*) as c, sum(l.id) as s from many m join lone l on m.k = l.id join t on m.k = t.k group by m.k;

-- name: a join of many rows on a key with few values
select m.g, count(*) as c from many m join dict d on m.k = d.id group by m.g;

-- name: a join of many rows with themselves
select count(*) as c, sum(a.id - b.id) as s from many a join many b on a.id = b.id + 1;

-- name: a full join of many rows with few
select count(*) as c, count(m.id) as m, count(t.id) as t from many m full join t on m.id = t.id - 20;

-- name: a join on a condition with OR
select t.id, l.id as other from t join lone l on t.k = l.k or t.id = l.id;

-- name: a join on BETWEEN
select t.id, l.id as other from t join lone l on t.k between l.id - 1 and l.id;

-- name: a left join on a key and a condition with OR
select t.id, u.n from t left join u on t.k = u.k and (t.id = 7 or u.w = 2 or t.g = u.g);

-- name: a join whose filter is a CASE
select t.id, u.n from t join u on t.k = u.k and case when t.b then u.w > 2 else u.w < 2 end;

-- name: a comma join with its keys in WHERE
select t.id, u.n, l.id as lid from t, u, lone l where t.k = u.k and u.w = l.id and t.id > 10;

-- name: a join with a table used three times
select a.id, b.id as bid, c.id as cid from lone a, lone b, lone c where a.k = b.k and b.g = c.g;

-- name: a semi join above an outer join
select t.id from t left join u on t.k = u.k where exists (select 1 from lone l where l.id = u.w);

-- name: a join on a constant key
select t.id, u.n from (select id, 5 as c from t) t join u on t.c = u.k;

-- name: a join that only counts
select count(*) as c from t join u on t.k = u.k;

-- name: a left join that only counts
select count(*) as c, count(u.n) as n from t left join u on t.k = u.k;

-- name: a join of wide tables
select * from wide a join wide b on a.c5 = b.c5 and a.id < b.id;

-- name: a full join of wide tables
select * from wide a full join wide b on a.id = b.id - 37;
