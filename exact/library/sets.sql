-- name: UNION ALL
select id, k from t union all select n, k from u;

-- name: UNION removes duplicates
select k from t union select k from u;

-- name: UNION of nulls and NaN
select k, v from t union select k, v from u;

-- name: UNION ALL of a table with itself
select id, g from t union all select id, g from t;

-- name: UNION of three
select k from t union select w from u union select id from lone;

-- name: UNION ALL below UNION
select k from (select k from t union all select k from t) a union select w from u;

-- name: UNION ALL of one partition and many
select id from lone union all select id from t;

-- name: UNION ALL of one partition and many under a join
select s.id, u.n from (select id, k from lone union all select id, k from t) s join u on s.k = u.k;

-- name: UNION ALL of one partition and many under a left join's build side
select u.n, s.id from u left join (select id, k from lone union all select id, k from one) s on s.k = u.k;

-- name: UNION ALL of one partition and many under an aggregate
select k, count(*) as c from (select id, k from lone union all select id, k from t union all select 1, 1) s group by k;

-- name: UNION ALL of aggregates
select k, count(*) as c from t group by k union all select k, count(*) from u group by k;

-- name: UNION ALL of an aggregate without groups and rows
select count(*) as c from t union all select n from u;

-- name: UNION ALL of joins
select t.id, u.n from t join u on t.k = u.k union all select t.id, l.id from t left join lone l on t.id = l.id;

-- name: UNION ALL with a cross join in one branch
select t.id from t union all select a.id + b.id from lone a cross join lone b;

-- name: UNION ALL under a cross join
select s.id, l.id as other from (select id from one union all select n from u where w = 1) s cross join lone l;

-- name: UNION ALL under a nested loop
select s.id, l.id as other from (select id from one union all select n from u where w = 1) s left join lone l on l.id > s.id;

-- name: UNION ALL with an empty branch
select id, g from t where id < 9 union all select id, g from empty;

-- name: UNION ALL of empty branches
select id, g from empty union all select id, g from empty where k > 1;

-- name: UNION ALL with a branch that is never
select id from lone union all select id from t where false;

-- name: UNION ALL of integers and texts by cast
select cast(id as varchar) as x from lone union all select g from t;

-- name: UNION ALL coerces an integer and a double
select k from lone union all select v from t where v > 1;

-- name: UNION ALL coerces a smallint, an integer and a bigint
select w as x from u union all select id from lone union all select k from u;

-- name: UNION coerces an integer and a decimal
select id from lone union select d from t;

-- name: UNION ALL coerces a date and a timestamp
select dt as x from t where id < 9 union all select ts from t where id > 50;

-- name: UNION ALL with a column of nulls
select id, null as g from lone union all select id, g from t;

-- name: UNION ALL of a dictionary and a text
select dk as x from dict union all select g from lone;

-- name: UNION of a view and a large text
select vk as x from dict union select lk from dict;

-- name: UNION ALL of lists
select l from nested where id < 8 union all select make_array(1, 2);

-- name: INTERSECT
select k from t intersect select k from u;

-- name: INTERSECT ALL
select k from t intersect all select k from u;

-- name: EXCEPT
select k from t except select k from u;

-- name: EXCEPT ALL
select k from t except all select k from u;

-- name: EXCEPT keeps nulls that the other side has not
select k from t except select k from u where k is not null;

-- name: INTERSECT of nulls
select k from t intersect select k from nulls;

-- name: INTERSECT of NaN and minus zero
select v from t intersect select v from u;

-- name: EXCEPT of rows with nulls
select k, g from t except select k, g from u;

-- name: INTERSECT with an empty table
select k from t intersect select k from empty;

-- name: EXCEPT with an empty table
select k from t except select k from empty;

-- name: EXCEPT of an empty table
select k from empty except select k from t;

-- name: nested set operations
(select k from t union select id from lone) except (select w from u intersect select k from t);

-- name: INTERSECT binds before UNION
select k from t union select id from lone intersect select w from u;

-- name: EXCEPT of EXCEPT
select id from t except (select id from lone except select w from u);

-- name: a set operation joined
select s.k, l.g from (select k from t intersect select k from u) s left join lone l on s.k = l.id;

-- name: a set operation in a window
select k, row_number() over (order by k nulls first) as r from (select k from t union select w from u) s;

-- name: a set operation with ORDER BY and LIMIT
-- ordered
select id from t except select n from u order by id desc limit 5;

-- name: UNION ALL of many rows
select count(*) as c, sum(id) as s, count(distinct k) as k from (select id, k from many union all select id, k from many where k < 500) x;

-- name: UNION of many rows
select count(*) as c from (select k, g from many union select k, g from many) x;

-- name: UNION ALL of ten branches
select id from lone union all select id from lone union all select id from one union all select id from empty
union all select k from lone union all select 1 union all select n from u union all select id from t
union all select w from u union all select max(id) from t;
