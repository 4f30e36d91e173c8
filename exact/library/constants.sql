-- name: a constant without a table
select 1 as one, 'x' as x, null as nothing, cast(1.5 as decimal(4, 1)) as d;

-- name: a constant without a table under WHERE
select 1 as one where 1 = 1;

-- name: a constant without a table under a false WHERE
select 1 as one where 1 = 2;

-- name: an aggregate without a table
select count(*) as c, sum(3) as s, max(null) as m;

-- name: an aggregate without a table under a false WHERE
select count(*) as c, sum(3) as s where false;

-- name: constants over a table
select 1 as one, 'x' as x from t;

-- name: constants over an empty table
select 1 as one from empty;

-- name: a constant grouped
select 'five' as five, count(*) as c from t group by five;

-- name: WHERE false
select id, k, g from t where false;

-- name: WHERE null
select id, k, g from t where null;

-- name: WHERE true
select id from t where true;

-- name: WHERE with a contradiction
select id from t where k = 1 and k = 2;

-- name: WHERE that folds to false in a join
select t.id, u.n from t join u on t.k = u.k where 1 > 2;

-- name: WHERE false under an aggregate
select count(*) as c, max(id) as m from t where false;

-- name: WHERE false under a grouped aggregate
select k, count(*) as c from t where false group by k;

-- name: WHERE false under a full join
select a.id, l.id as other from (select id from t where false) a full join lone l on a.id = l.id;

-- name: WHERE false on one side of a left join
select l.id, a.id as other from lone l left join (select id from t where false) a on a.id = l.id;

-- name: WHERE false on one side of an anti join
select l.id from lone l where not exists (select 1 from t where false and t.id = l.id);

-- name: WHERE false under a window
select id, row_number() over (order by id) as r from t where false;

-- name: an empty table in every clause
select e.k, count(*) as c, max(e.id) as m from empty e join empty f on e.id = f.id where e.k in (select k from empty) group by e.k having count(*) > 0 order by e.k limit 5;

-- name: every column of an empty table
select * from empty;

-- name: every column of a table
select * from t;

-- name: every column of a table of one row
select * from one;

-- name: every column of a table of nulls
select * from nulls;

-- name: DISTINCT of a table of nulls
select distinct * from nulls;

-- name: a table of nulls ordered and limited
select * from nulls order by id, g limit 3;

-- name: a table of nulls in a window and a join
select l.id, n.g, row_number() over (partition by n.k order by l.id) as r from lone l left join nulls n on l.id = n.id;

-- name: a table of nulls in a union
select id, g from nulls union select id, g from lone;

-- name: IS NULL and IS NOT NULL
select count(*) filter (where k is null) as a, count(*) filter (where k is not null) as b from t;

-- name: three-valued logic
select id from t where not (k > 3 and g = 'a');

-- name: three-valued logic under OR
select id from t where k > 5 or g = 'b' or v is null;

-- name: IN of constants with a null
select id from t where k in (1, 2, null);

-- name: NOT IN of constants with a null
select id from t where k not in (1, 2, null);

-- name: NOT IN of constants
select id from t where k not in (1, 2);

-- name: BETWEEN
select id from t where k between 2 and 4 and d not between -3 and 3;

-- name: IS DISTINCT FROM null
select id from t where (k is distinct from 3) and (g is not distinct from null);

-- name: IS TRUE, IS NOT TRUE, IS UNKNOWN
select id from t where (b is not true) and (b is unknown or b is false);

-- name: no columns at all
select count(*) as c from (select 1 from t cross join lone) s;

-- name: rows without columns through an exchange
select count(*) as c from t full join u on t.id = u.n;

-- name: rows without columns through a union
select count(*) as c from (select 1 from t union all select 2 from u union all select 3 from lone) s;

-- name: rows without columns through a limit
select count(*) as c from (select 1 from t limit 17) s;

-- name: a cross join of counts
select a.c, b.c as d from (select count(*) as c from t) a cross join (select count(*) as c from u) b;

-- name: a cross join with a table whose columns nobody reads
select t.id from t cross join (select 1 from lone where k = 0) s;

-- name: the same column twice
select id, id as id2, k, k as k2 from t;

-- name: an error while running
-- error: Divide by zero | division by zero
select id, 1 / (id - 5) as x from t;

-- name: an error while running under an aggregate
-- error: Divide by zero | division by zero
select k, sum(1 / (id - 60)) as x from t group by k;

-- name: an error of a cast while running
-- error: Cannot cast | cannot be converted
select sum(cast(g as int)) as s from t;

-- name: an error while planning
-- error: nowhere
select * from nowhere;

-- name: an unknown column
-- error: No field named | there is no column
select nothing from t;
