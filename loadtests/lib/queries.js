// The statements of all scenarios. Each has an id, its SQL, its parameters, and, where the statement has ORDER BY, the
// output columns of it: `keys`. Expected checksums are kept by id (baseline.js).
import { classOf } from './classes.js';

// --- TPC-H ----------------------------------------------------------------------------------------------

// Columns of ORDER BY of each query; the others have none.
const TPCH_KEYS = {
  1: ['l_returnflag', 'l_linestatus'],
  2: ['s_acctbal', 'n_name', 's_name', 'p_partkey'],
  3: ['revenue', 'o_orderdate'],
  4: ['o_orderpriority'],
  5: ['revenue'],
  7: ['supp_nation', 'cust_nation', 'l_year'],
  8: ['o_year'],
  9: ['nation', 'o_year'],
  10: ['revenue'],
  11: ['value'],
  12: ['l_shipmode'],
  13: ['custdist', 'c_count'],
  15: ['s_suppkey'],
  16: ['supplier_cnt', 'p_brand', 'p_type', 'p_size'],
  18: ['o_totalprice', 'o_orderdate'],
  20: ['s_name'],
  21: ['numwait', 's_name'],
  22: ['cntrycode'],
};

function readTpch() {
  const found = [];
  const parts = open('../sql/tpch.sql').split(/^-- q(\d+)\n/m);
  for (let n = 1; n < parts.length; n += 2) {
    const number = Number(parts[n]);
    found.push({
      id: `tpch/q${number}`,
      class: classOf(number),
      sql: parts[n + 1].trim(),
      parameters: [],
      keys: TPCH_KEYS[number] || [],
    });
  }
  if (found.length !== 22) throw new Error(`sql/tpch.sql holds ${found.length} queries instead of 22`);
  return found;
}

export const tpch = readTpch();

export function tpchQuery(number) {
  return tpch[number - 1];
}

// --- panels of a dashboard --------------------------------------------------------------------------------

const YEARS = ['1992', '1993', '1994', '1995', '1996', '1997'];
const DAYS = YEARS.map((year) => `${year}-03-15`);
const SEGMENTS = ['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'HOUSEHOLD', 'MACHINERY'];
const REGIONS = ['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'];

const PANELS = [
  {
    name: 'orders_by_month',
    values: YEARS,
    keys: ['month'],
    sql: `select cast(date_part('month', o_orderdate) as int) as month, count(*) as orders, sum(o_totalprice) as value
      from orders where cast(date_part('year', o_orderdate) as int) = cast($1 as int) group by 1 order by 1`,
  },
  {
    name: 'priorities',
    values: DAYS,
    keys: ['o_orderpriority'],
    sql: `select o_orderpriority, count(*) as orders from orders
      where o_orderdate >= cast($1 as date) and o_orderdate < cast($1 as date) + interval '3' month group by 1 order by 1`,
  },
  {
    name: 'top_customers',
    values: SEGMENTS,
    keys: ['balance', 'c_custkey'],
    sql: `select c_custkey, c_name, c_acctbal as balance from customer where c_mktsegment = $1
      order by balance desc, c_custkey limit 10`,
  },
  {
    name: 'orders_of_region',
    values: REGIONS,
    keys: ['n_name'],
    sql: `select n_name, count(*) as orders, sum(o_totalprice) as value from orders, customer, nation, region
      where o_custkey = c_custkey and c_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = $1
      group by n_name order by n_name`,
  },
  {
    name: 'late_shipments',
    values: YEARS,
    keys: [],
    sql: `select l_shipmode, count(*) as late from lineitem
      where l_receiptdate > l_commitdate and cast(date_part('year', l_shipdate) as int) = cast($1 as int) group by l_shipmode`,
  },
  {
    name: 'average_discount',
    values: YEARS,
    keys: [],
    sql: `select l_returnflag, avg(cast(l_discount as double)) as discount, sum(cast(l_extendedprice as double)) as price
      from lineitem where cast(date_part('year', l_shipdate) as int) <= cast($1 as int) group by l_returnflag`,
  },
  {
    name: 'revenue_of_day',
    values: DAYS,
    keys: [],
    sql: `select count(*) as lines, sum(l_extendedprice * (1 - l_discount)) as revenue from lineitem
      where l_shipdate = cast($1 as date)`,
  },
  {
    name: 'largest_orders',
    values: DAYS,
    keys: ['o_totalprice', 'o_orderkey'],
    sql: `select o_orderkey, o_custkey, o_orderdate, o_totalprice from orders where o_orderdate >= cast($1 as date)
      order by o_totalprice desc, o_orderkey limit 20`,
  },
];

// One list of statements for each panel: one statement for each value of its parameter.
export const panels = PANELS.map((panel) =>
  panel.values.map((value) => ({
    id: `panel/${panel.name}/${value}`,
    class: 'panel',
    sql: panel.sql.replace(/\s+/g, ' '),
    parameters: [value],
    keys: panel.keys,
  })),
);

// --- other statements ---------------------------------------------------------------------------------------

// A scan and an aggregate: two stages.
export const count = {
  id: 'other/count',
  class: 'short',
  sql: 'select l_returnflag, count(*) as lines, sum(l_quantity) as quantity from lineitem group by l_returnflag',
  parameters: [],
  keys: [],
};

// An answer of many rows, for links and streams: about 190 rows at scale 0.01, 19,000 at scale 1.
export const rows = {
  id: 'other/rows',
  class: 'rows',
  sql: `select o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_comment from orders
    where o_orderdate < date '1992-02-01'`.replace(/\s+/g, ' '),
  parameters: [],
  keys: [],
};

// Never done in the time of a test: each pair of two rows of `lineitem`. It is only cancelled, so nothing is expected.
export const endless = {
  id: 'other/endless',
  class: 'endless',
  sql: `select count(*) as pairs from lineitem a, lineitem b
    where a.l_extendedprice * b.l_discount > b.l_extendedprice * a.l_discount and a.l_comment < b.l_comment`.replace(/\s+/g, ' '),
  parameters: [],
  keys: [],
};

// All statements that have expected checksums, by set.
export const sets = {
  tpch,
  panels: panels.flat(),
  other: [count, rows],
};
