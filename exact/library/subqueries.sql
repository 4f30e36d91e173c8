-- name: a scalar subquery in SELECT
select id, (select max(n) from u) as m from t where id < 5;

-- name: a scalar subquery in WHERE
select id from t where k > (select avg(k) from u where w = 1) - 3;

-- name: a scalar subquery in HAVING
select k, count(*) as c from t group by k having count(*) >= (select count(*) from lone) - 6;

-- name: a scalar subquery in ORDER BY
-- ordered
select id from t order by k is null, abs(k - (select min(k) from u)), id;

-- name: a scalar subquery in CASE
select id, case when k > (select avg(id) from lone) then 'high' else 'low' end as c from t;

-- name: a scalar subquery in a join condition
select t.id, u.n from t join u on t.k = u.k and u.n > (select max(id) from lone);

-- name: a scalar subquery in a left join's condition
select t.id, u.n from t left join u on t.k = u.k and u.n > (select max(id) from lone);

-- name: a scalar subquery inside a scalar subquery
select id from t where id = (select max(id) from t where id < (select avg(n) from u));

-- name: scalar subqueries three deep
select id from t where id > (select min(id) from t where k = (select max(k) from t where id < (select max(id) from lone)));

-- name: two scalar subqueries in one expression
select id, (select min(k) from u) + (select max(k) from u) - id as s from lone;

-- name: one scalar subquery used twice
select id, (select count(*) from u) as a, (select count(*) from u) + 1 as b from lone;

-- name: a scalar subquery of no row is null
select id, (select n from u where n > 1000) as n from lone;

-- name: a scalar subquery of no row in WHERE drops all
select id from t where id > (select n from u where n > 1000);

-- name: a scalar subquery of no row under IS NULL keeps all
select id from lone where (select n from u where n > 1000) is null;

-- name: a scalar subquery over an empty table
select id, (select max(id) from empty) as m, (select count(*) from empty) as c from lone;

-- name: a scalar subquery of two rows is an error
-- error: more than one
select id from t where id > (select id from lone where id < 2);

-- name: a scalar subquery of two rows in SELECT is an error
-- error: more than one
select id, (select n from u where w = 1) as x from lone;

-- name: a scalar subquery of two rows of which one is null is an error
-- error: more than one
select (select k from t where id in (0, 3)) as x;

-- name: a scalar subquery of two rows in two files is an error
-- error: more than one
select (select id from t where id in (2, 60)) as x from one;

-- name: scalar subqueries without FROM
select (select max(id) from t) as a, (select count(*) from u) as b;

-- name: a scalar subquery in LIMIT's input
-- ordered
select id from t where id > (select avg(id) from lone) order by id limit 3;

-- name: a scalar subquery inside an aggregate
select k, sum(id - (select min(n) from u)) as s from t group by k;

-- name: a scalar subquery inside a window
select id, sum(id + (select max(id) from lone)) over (partition by k order by id) as s from t;

-- name: a scalar subquery inside FILTER
select k, count(*) filter (where id > (select avg(id) from t)) as c from t group by k;

-- name: a scalar subquery in a branch of UNION
select id from lone union all select (select max(n) from u);

-- name: a scalar subquery that is a join
select id, (select count(*) from t join u on t.k = u.k) as c from lone;

-- name: a scalar subquery with a limit
select id, (select n from u where n is not null order by n desc limit 1) as last from lone;

-- name: a correlated scalar subquery
select t.id, (select max(u.n) from u where u.k = t.k) as m from t;

-- name: a correlated scalar subquery that counts gives zero
select t.id, (select count(*) from u where u.k = t.k) as c from t;

-- name: a correlated scalar subquery with two keys
select t.id, (select sum(u.n) from u where u.k = t.k and u.g = t.g) as s from t;

-- name: a correlated scalar subquery in WHERE
select t.id from t where t.id < (select avg(u.n) from u where u.k = t.k);

-- name: a correlated scalar subquery in HAVING
select k, count(*) as c from t group by k having count(*) > (select count(*) from lone l where l.id = t.k);

-- name: a correlated scalar subquery in an expression
select t.id, coalesce((select min(u.n) from u where u.k = t.k), -1) * 2 as m from t;

-- name: a correlated scalar subquery in CASE
select t.id, case when t.b then (select count(*) from u where u.w = t.k) else -1 end as c from t;

-- name: correlated subqueries one inside the other
select t.id from t where exists (
  select 1 from u where u.k = t.k and exists (select 1 from lone l where l.id = u.w));

-- name: EXISTS of an uncorrelated subquery
select id from lone where exists (select 1 from u where w = 1);

-- name: NOT EXISTS of an uncorrelated empty subquery
select id from lone where not exists (select 1 from u where n > 1000);

-- name: EXISTS
select id from t where exists (select 1 from u where u.k = t.k and u.w > 2);

-- name: NOT EXISTS keeps null keys
select id, k from t where not exists (select 1 from u where u.k = t.k);

-- name: EXISTS with an inequality only
select id from t where exists (select 1 from lone l where l.id > t.id);

-- name: EXISTS with a key and an inequality
select id from t where exists (select 1 from u where u.k = t.k and u.n > t.id);

-- name: NOT EXISTS with a key and an inequality
select id from t where not exists (select 1 from u where u.k = t.k and u.n > t.id);

-- name: IN
select id from t where k in (select k from u);

-- name: IN of a subquery with nulls
select id from t where k in (select k from u where w > 3 or k is null);

-- name: NOT IN of a subquery with nulls keeps nothing
select id from t where k not in (select k from u);

-- name: NOT IN of a subquery without nulls drops null keys
select id, k from t where k not in (select k from u where k is not null and w = 1);

-- name: NOT IN of an empty subquery keeps null keys
select id, k from t where k not in (select k from u where n > 1000);

-- name: NOT IN of an empty table
select id, k from t where k not in (select k from empty);

-- name: NOT IN over an empty table
select id from empty where k not in (select k from u);

-- name: NOT IN of keys that are all null
select id from t where k not in (select k from nulls);

-- name: NOT IN over keys that are all null
select k from nulls where k not in (select id from lone);

-- name: NOT IN over keys that are all null, of an empty subquery
select k from nulls where k not in (select id from empty);

-- name: NOT IN with a correlated key
select t.id from t where t.k not in (select l.id from lone l where l.k = t.id % 3);

-- name: NOT IN of many rows
select id, k from t where id not in (select k from many where id < 50000 and k % 2 = 0);

-- name: NOT IN on an expression
select id from t where k + 2 not in (select w from u where w is not null);

-- name: NOT IN that is applied twice
select id from t where k not in (select id from lone where id > 5) and id not in (select n from u where n is not null);

-- name: IN under OR
select id from t where k in (select w from u) or id % 10 = 0;

-- name: NOT IN under OR
select id from t where k not in (select w from u where w < 3) or id % 10 = 0;

-- name: NOT IN of a subquery with nulls under OR
select id from t where k not in (select k from u) or id % 10 = 0;

-- name: EXISTS under OR
select id from t where exists (select 1 from u where u.k = t.k) or id < 7;

-- name: NOT EXISTS under OR
select id from t where not exists (select 1 from u where u.k = t.k) or id % 9 = 1;

-- name: two EXISTS under OR
select id from t where exists (select 1 from u where u.k = t.k) or exists (select 1 from lone l where l.id = t.id);

-- name: NOT around OR of EXISTS and IN
select id from t where not (exists (select 1 from u where u.id = t.id) or k in (select id from lone where k = 1));

-- name: EXISTS in SELECT
select id, exists (select 1 from u where u.k = t.k) as e from t;

-- name: IN in SELECT
select id, k in (select w from u where w is not null) as i from t;

-- name: EXISTS in CASE
select id, case when exists (select 1 from u where u.id = t.id) then 'there' else 'not' end as c from t;

-- name: a mark join with an empty right side
select id from t where exists (select 1 from empty e where e.k = t.k) or id < 3;

-- name: a mark join with an empty left side
select id from empty e where exists (select 1 from u where u.k = e.k) or id < 3;

-- name: a mark join on null keys
select id from nulls where k in (select k from u) or k is null;

-- name: IN of a subquery with LIMIT under a total order
select id from t where id in (select n from u where n is not null order by n desc limit 11);

-- name: IN of an aggregate
select id from t where id in (select max(id) from t group by k);

-- name: IN of a union
select id from t where k in (select w from u where w > 4 union select id from lone where k = 0);

-- name: IN of a window
select id from t where id in (select id from (select id, row_number() over (partition by k order by id) as r from t) s where r = 2);

-- name: IN of texts
select id from t where g in (select g from u);

-- name: a derived table
select s.k, s.c from (select k, count(*) as c from t group by k) s where s.c > 3;

-- name: derived tables five deep
select * from (select * from (select * from (select * from (select id, k from t where id > 3) a where id < 60) b where k is not null) c where k <> 2) d where id % 2 = 1;

-- name: ANY
select id from t where k = any (select w from u where w is not null);

-- name: EXISTS over an aggregate without groups is always true
select id from lone where exists (select count(*) from empty);

-- name: EXISTS over a grouped aggregate with HAVING
select id from t where exists (select u.k from u where u.k = t.k group by u.k having count(*) > 4);

-- name: a LATERAL join
select t.id, s.n from t, lateral (select u.n from u where u.k = t.k) s;

-- name: a LATERAL left join with an aggregate
select t.id, s.m from t left join lateral (select max(u.n) as m from u where u.k = t.k) s on true;

-- name: a LATERAL cross join with an aggregate
select t.id, s.c from t cross join lateral (select count(*) as c from u where u.w = t.k) s;

-- name: ALL
select id from t where k > all (select w from u where w < 3);

-- name: a scalar subquery in a window's order
select id, row_number() over (order by abs(id - (select avg(id) from lone)), id) as r from t;

-- name: a scalar subquery in an aggregate's order and the limit above
-- ordered
select k, count(*) as c from t group by k order by count(*) + (select min(n) from u), k nulls first limit 2;

-- name: a scalar subquery as a group key
select k + (select min(n) from u) as x, count(*) as c from t group by 1;

-- name: a scalar subquery in a join key
select t.id, u.n from t join u on t.k + (select min(n) from u) = u.k;
