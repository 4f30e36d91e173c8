//! Random queries: shapes of SELECT, joins, set operations and subqueries around random expressions.

use crate::ast::{Body, Expr, Grouping, Groups, Join, Over, Query, Relation, Select, Type};
use crate::expressions::{KEYS, Scope, Tests};
use crate::rng::Rng;
use crate::tables::Table;

const ITEMS: [Type; 10] = [
    Type::Int,
    Type::Int,
    Type::Text,
    Type::Double,
    Type::Real,
    Type::Decimal,
    Type::Bool,
    Type::Date,
    Type::Timestamp,
    Type::List,
];
const SET_OPERATORS: [&str; 6] =
    ["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"];

/// Rows that a FROM may make, as estimated.
const LARGEST: usize = 20_000;

/// Makes one query.
pub struct Generator<'a> {
    pub rng: Rng,
    tables: &'a [Table],
    ctes: Vec<Table>,
    names: usize,
    /// How the names of a query's columns begin.
    columns: String,
    /// A window that the next one may turn around, and the total order it was made for.
    pub opposite: Option<(Vec<Expr>, Over)>,
}

/// What surrounds a query.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Levels of nesting that are left.
    depth: usize,
    /// Relations of a FROM, at most.
    relations: usize,
    /// Columns of the surrounding query that a condition may refer to.
    outer: &'a [Expr],
}

/// A relation to join.
struct Made {
    relation: Relation,
    columns: Vec<(String, Type)>,
    /// The first column tells all rows apart.
    unique: bool,
    /// About so many.
    rows: usize,
}

impl<'a> Generator<'a> {
    pub fn new(rng: Rng, tables: &'a [Table]) -> Self {
        Self { rng, tables, ctes: Vec::new(), names: 0, columns: "c".to_owned(), opposite: None }
    }

    /// A whole query.
    pub fn query(&mut self) -> Query {
        let mut ctes = Vec::new();
        if self.rng.percent(20) {
            for _ in 0..1 + self.rng.below(2) {
                let place = Place { depth: 1, relations: 2, outer: &[] };
                let query = self.nested(place, None);
                let name = self.name("w");
                let columns = outputs(&query);
                self.ctes.push(Table { name: name.clone(), columns, rows: 60 });
                ctes.push((name, query));
            }
        }
        let mut query = self.nested(Place { depth: 2, relations: 4, outer: &[] }, None);
        query.ctes = ctes;
        query
    }

    /// A plain SELECT with a condition, for checks that rewrite it.
    pub fn filtered(&mut self, tests: Tests) -> Select {
        let place = Place { depth: 1, relations: 3, outer: &[] };
        let (from, mut scope) = self.from(place);
        scope.subqueries = 1;
        (scope.correlate, scope.tests) = (tests != Tests::None, tests);
        let filter = Some(self.condition(&scope, 3));
        scope.subqueries = 0;
        let items = (0..1 + self.rng.below(4))
            .map(|at| {
                let kind = *self.rng.pick(&ITEMS);
                (self.expr(kind, &scope, 1), format!("c{at}"))
            })
            .collect();
        Select { distinct: false, items, from, filter, groups: None, having: None }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// A query without CTEs, of the `wanted` types if any are.
    fn nested(&mut self, place: Place<'_>, wanted: Option<&[Type]>) -> Query {
        let mut query = if place.depth > 0 && self.rng.percent(15) {
            let kinds = match wanted {
                Some(kinds) => kinds.to_vec(),
                // Real values do not stand in keys, and every column of a set operation is one.
                None => (0..1 + self.rng.below(3)).map(|_| *self.rng.pick(&KEYS)).collect(),
            };
            let below = Place {
                depth: place.depth - 1,
                relations: place.relations.min(2),
                outer: place.outer,
            };
            let left = self.nested(below, Some(&kinds));
            let right = self.nested(below, Some(&kinds));
            let operator = *self.rng.pick(&SET_OPERATORS);
            let body = Body::Set { operator, left: Box::new(left), right: Box::new(right) };
            Query { ctes: Vec::new(), body, order: Vec::new(), limit: None, offset: None }
        } else {
            Query::of(self.select(place, wanted))
        };
        let columns = outputs(&query);
        if self.rng.percent(30) && columns.iter().all(|(_, kind)| *kind != Type::List) {
            // All columns: rows that tie are alike, so any LIMIT is determined.
            let all: Vec<Expr> =
                columns.iter().map(|(name, kind)| Expr::column("", name, *kind)).collect();
            let mut order = self.rng.some(&all, all.len());
            order.extend(all.into_iter().filter(|key| !order.contains(key)).collect::<Vec<_>>());
            query.order = order.into_iter().map(|key| self.key(key)).collect();
            if self.rng.percent(60) {
                query.limit = Some(*self.rng.pick(&[0, 1, 3, 7, 20, 1000]));
            }
            if self.rng.percent(25) {
                query.offset = Some(*self.rng.pick(&[0, 1, 2, 5, 100]));
            }
        }
        query
    }

    fn select(&mut self, place: Place<'_>, wanted: Option<&[Type]>) -> Select {
        let (from, mut scope) = self.from(place);
        let nested = usize::from(place.depth > 0);
        scope.subqueries = nested;
        (scope.correlate, scope.tests) = (true, Tests::All);
        let mut filter = self.rng.percent(55).then(|| self.condition(&scope, 3));
        scope.tests = Tests::None;
        if !place.outer.is_empty()
            && let Some(link) = self.link(place.outer, &scope.columns)
        {
            filter = Some(match filter {
                Some(filter) => Expr::node("({} AND {})", vec![link, filter], Type::Bool),
                None => link,
            });
        }
        let count = 1 + self.rng.below(4);
        let kinds = match wanted {
            Some(kinds) => kinds.to_vec(),
            None => (0..count).map(|_| *self.rng.pick(&ITEMS)).collect(),
        };
        let mut groups = None;
        let mut having = None;
        scope.subqueries = if self.rng.one_in(3) { nested } else { 0 };
        if self.rng.percent(35) {
            let made = self.groups(&scope);
            scope.keys = Some(made.keys.clone());
            scope.correlate = false;
            // A total order of groups: their keys, if each set of keys occurs once.
            scope.windows = matches!(made.form, Grouping::Plain) && self.rng.one_in(2);
            having = self.rng.percent(20).then(|| {
                let scope = Scope { windows: false, tests: Tests::All, ..scope.clone() };
                self.condition(&scope, 2)
            });
            groups = Some(made);
        } else {
            scope.windows = self.rng.one_in(3);
        }
        self.opposite = None;
        let mut items: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(at, &kind)| (self.expr(kind, &scope, 2), format!("{}{at}", self.columns)))
            .collect();
        if let Some(Groups { keys, form }) = &groups
            && *form != Grouping::Plain
            && wanted.is_none()
        {
            let key = self.rng.pick(keys).clone();
            let grouping = Expr::node("CAST(grouping({}) AS BIGINT)", vec![key], Type::Int);
            items.push((grouping, format!("{}{}", self.columns, items.len())));
        }
        let distinct = self.rng.percent(12);
        Select { distinct, items, from, filter, groups, having }
    }

    fn groups(&mut self, scope: &Scope) -> Groups {
        if self.rng.one_in(5) {
            return Groups { keys: Vec::new(), form: Grouping::Plain };
        }
        let below = Scope { subqueries: 0, windows: false, ..scope.clone() };
        let mut keys: Vec<Expr> = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let kind = *self.rng.pick(&KEYS);
            let depth = usize::from(self.rng.one_in(4));
            let key = self.expr(kind, &below, depth);
            // A literal would be a position; a key twice is one key.
            if !constant(&key) && !keys.contains(&key) {
                keys.push(key);
            }
        }
        let form = match (keys.len(), self.rng.below(8)) {
            (1.., 0) => Grouping::Rollup,
            (1.., 1) => Grouping::Cube,
            (1.., 2) => {
                let all: Vec<usize> = (0..keys.len()).collect();
                let mut sets = vec![all.clone()];
                for _ in 0..1 + self.rng.below(2) {
                    let set = if self.rng.one_in(3) { vec![] } else { self.rng.some(&all, 2) };
                    if !sets.contains(&set) {
                        sets.push(set);
                    }
                }
                Grouping::Sets(sets)
            }
            _ => Grouping::Plain,
        };
        Groups { keys, form }
    }

    fn from(&mut self, place: Place<'_>) -> (Vec<Join>, Scope) {
        let mut scope = Scope::default();
        let mut from: Vec<Join> = Vec::new();
        let wanted = 1 + self.rng.below(place.relations).min(self.rng.below(4));
        let mut estimate = 1;
        for at in 0..wanted {
            let alias = self.name("r");
            let Made { relation, columns, unique, rows } = self.relation(place, at, &scope);
            let lateral = matches!(relation, Relation::Lateral(_));
            let here: Vec<Expr> =
                columns.iter().map(|(name, kind)| Expr::column(&alias, name, *kind)).collect();
            let total: Vec<Expr> = if unique {
                here[..1].to_vec()
            } else {
                here.iter().filter(|column| column.kind() != Type::List).cloned().collect()
            };
            let mut both = scope.clone();
            both.columns.extend(here.iter().cloned());
            let mut join = Join { kind: "", relation, alias, on: None };
            if at == 0 {
                estimate = rows;
            } else {
                let link = if lateral { None } else { self.link(&scope.columns, &here) };
                let matches = |link: &Expr| match link {
                    Expr::Node { args, .. } if args[0].kind() == Type::Bool => rows / 2,
                    _ => rows / 6,
                };
                let cross = lateral || self.rng.percent(10);
                let factor = link.as_ref().filter(|_| !cross).map_or(rows, matches) + 1;
                if estimate * factor > LARGEST {
                    break;
                }
                estimate *= factor;
                join.kind = match &link {
                    None => "CROSS JOIN",
                    Some(_) => *self.rng.pick(&[
                        "JOIN",
                        "JOIN",
                        "LEFT JOIN",
                        "RIGHT JOIN",
                        "FULL JOIN",
                        "LEFT SEMI JOIN",
                        "LEFT ANTI JOIN",
                    ]),
                };
                if let Some(link) = link {
                    join.on = Some(if cross {
                        self.inequality(&scope.columns, &here).unwrap_or(link)
                    } else if self.rng.percent(30) {
                        // The engine plans subqueries in the condition of an inner join only.
                        let mut inside = both.clone();
                        if join.kind == "JOIN" && place.depth > 0 && self.rng.one_in(4) {
                            (inside.subqueries, inside.tests) = (1, Tests::All);
                        }
                        let extra = self.condition(&inside, 2);
                        Expr::node("({} AND {})", vec![link, extra], Type::Bool)
                    } else {
                        link
                    });
                }
            }
            let hidden = join.kind.contains("SEMI") || join.kind.contains("ANTI");
            from.push(join);
            if !hidden {
                scope = both;
                scope.total.extend(total);
                // A column left out of the order may tell rows apart that tie.
                if !unique {
                    let alias = &from[from.len() - 1].alias;
                    let list = |column: &Expr| column.kind() == Type::List && column.is_of(alias);
                    scope.columns.retain(|column| !list(column));
                }
            }
        }
        if scope.total.is_empty() {
            scope.total = scope.columns.clone();
        }
        (from, scope)
    }

    fn relation(&mut self, place: Place<'_>, at: usize, scope: &Scope) -> Made {
        let made = |relation, columns| Made { relation, columns, unique: false, rows: 60 };
        let below = Place { depth: place.depth.saturating_sub(1), relations: 2, outer: &[] };
        let pick = self.rng.below(100);
        if pick < 12 && place.depth > 0 {
            let query = self.nested(below, None);
            let columns = outputs(&query);
            return made(Relation::Derived(Box::new(query)), columns);
        }
        if pick < 30 && !self.ctes.is_empty() {
            let cte = self.rng.pick(&self.ctes).clone();
            return made(Relation::Table(cte.name), cte.columns);
        }
        if (30..34).contains(&pick) {
            let kinds = [*self.rng.pick(&KEYS), Type::Int];
            let rows = (0..1 + self.rng.below(4))
                .map(|_| kinds.iter().map(|&kind| self.literal(kind)).collect())
                .collect();
            let columns = kinds.iter().enumerate().map(|(at, &kind)| (format!("c{at}"), kind));
            return made(Relation::Values(rows), columns.collect());
        }
        if (34..39).contains(&pick)
            && let Some(query) = self.unnested()
        {
            let columns = outputs(&query);
            return made(Relation::Derived(Box::new(query)), columns);
        }
        if (39..41).contains(&pick) && at > 0 && place.depth > 0 {
            let place = Place { depth: 0, relations: 1, outer: &scope.columns };
            let select = self.select(place, None);
            let query = Query::of(select);
            let columns = outputs(&query);
            return made(Relation::Lateral(Box::new(query)), columns);
        }
        let table = self.rng.pick(self.tables).clone();
        let Table { name, columns, rows } = table;
        Made { relation: Relation::Table(name), columns, unique: true, rows }
    }

    /// The elements of a list column; UNNEST in FROM has no plan where it refers to another relation.
    fn unnested(&mut self) -> Option<Query> {
        let table = self.rng.pick(self.tables).clone();
        let list = table.columns.iter().find(|(_, kind)| *kind == Type::List)?;
        let alias = self.name("r");
        let list = Expr::column(&alias, &list.0, Type::List);
        let id = Expr::column(&alias, "id", Type::Int);
        let element = Expr::node("unnest({})", vec![list], Type::Int);
        let items = vec![(id, "c0".to_owned()), (element, "c1".to_owned())];
        let relation = Relation::Table(table.name);
        let from = vec![Join { kind: "", relation, alias, on: None }];
        let select =
            Select { distinct: false, items, from, filter: None, groups: None, having: None };
        Some(Query::of(select))
    }

    /// `outer = inner` on columns of one type, or two such.
    fn link(&mut self, outer: &[Expr], inner: &[Expr]) -> Option<Expr> {
        let first = self.equality(outer, inner)?;
        if !self.rng.percent(15) {
            return Some(first);
        }
        match self.equality(outer, inner) {
            Some(second) if second != first => {
                Some(Expr::node("({} AND {})", vec![first, second], Type::Bool))
            }
            _ => Some(first),
        }
    }

    fn equality(&mut self, left: &[Expr], right: &[Expr]) -> Option<Expr> {
        let pairs = pairs(left, right);
        if pairs.is_empty() {
            return None;
        }
        let (left, right) = self.rng.pick(&pairs).clone();
        let template =
            if self.rng.percent(7) { "({} IS NOT DISTINCT FROM {})" } else { "({} = {})" };
        Some(Expr::node(template, vec![left, right], Type::Bool))
    }

    fn inequality(&mut self, left: &[Expr], right: &[Expr]) -> Option<Expr> {
        let pairs = pairs(left, right);
        if pairs.is_empty() {
            return None;
        }
        let (left, right) = self.rng.pick(&pairs).clone();
        let template = *self.rng.pick(&["({} < {})", "({} >= {})", "({} <> {})"]);
        Some(Expr::node(template, vec![left, right], Type::Bool))
    }

    /// A subquery that yields `kind`.
    pub fn subquery(&mut self, kind: Type, scope: &Scope) -> Expr {
        let opposite = self.opposite.take();
        // A name of its own for each: decorrelated, it stands beside the columns outside.
        let name = self.name("q");
        let names = std::mem::replace(&mut self.columns, name + "c");
        let expr = if kind == Type::Bool && scope.tests != Tests::None && !self.rng.one_in(4) {
            self.test(scope)
        } else {
            self.scalar(kind, scope)
        };
        self.columns = names;
        self.opposite = opposite;
        expr
    }

    /// EXISTS or IN.
    fn test(&mut self, scope: &Scope) -> Expr {
        let outer: &[Expr] = if scope.correlate && scope.keys.is_none() && self.rng.percent(60) {
            &scope.columns
        } else {
            &[]
        };
        let place = Place { depth: scope.subqueries - 1, relations: 2, outer };
        if scope.tests == Tests::Exists || self.rng.one_in(2) {
            let template = *self.rng.pick(&["EXISTS ({q})", "NOT EXISTS ({q})"]);
            let query = Box::new(self.nested_plain(place, None));
            return Expr::Subquery { template, args: Vec::new(), query, kind: Type::Bool };
        }
        let not = if outer.is_empty() { 2 } else { 8 };
        let template = if self.rng.one_in(not) { "({} NOT IN ({q}))" } else { "({} IN ({q}))" };
        let kind = *self.rng.pick(&KEYS);
        let inner = Scope { subqueries: 0, windows: false, ..scope.clone() };
        let args = vec![self.expr(kind, &inner, 1)];
        let query = Box::new(self.nested_plain(place, Some(&[kind])));
        Expr::Subquery { template, args, query, kind: Type::Bool }
    }

    /// A select that can be correlated: no set operation, no LIMIT.
    fn nested_plain(&mut self, place: Place<'_>, wanted: Option<&[Type]>) -> Query {
        if place.outer.is_empty() {
            return self.nested(place, wanted);
        }
        let (from, mut scope) = self.from(place);
        scope.subqueries = 0;
        let mut filter = self.link(place.outer, &scope.columns);
        if self.rng.one_in(2) {
            let more = if self.rng.one_in(4) {
                self.inequality(place.outer, &scope.columns)
            } else {
                Some(self.condition(&scope, 2))
            };
            filter = match (filter, more) {
                (Some(one), Some(two)) => {
                    Some(Expr::node("({} AND {})", vec![one, two], Type::Bool))
                }
                (one, two) => one.or(two),
            };
        }
        let kind = wanted.map_or(Type::Int, |kinds| kinds[0]);
        let items = vec![(self.expr(kind, &scope, 1), format!("{}0", self.columns))];
        Query::of(Select { distinct: false, items, from, filter, groups: None, having: None })
    }

    /// An aggregate of everything, which is one row.
    fn scalar(&mut self, kind: Type, scope: &Scope) -> Expr {
        let outer: &[Expr] = if scope.correlate && scope.keys.is_none() && self.rng.one_in(2) {
            &scope.columns
        } else {
            &[]
        };
        let place = Place { depth: 0, relations: 2, outer };
        let (from, mut inner) = self.from(place);
        let mut filter = self.rng.one_in(3).then(|| self.condition(&inner, 2));
        if let Some(link) = self.link(outer, &inner.columns) {
            filter = Some(match filter {
                Some(filter) => Expr::node("({} AND {})", vec![link, filter], Type::Bool),
                None => link,
            });
        }
        inner.keys = Some(Vec::new());
        let total = inner.total.clone();
        let items = vec![(self.aggregate(kind, &inner, &total), format!("{}0", self.columns))];
        let groups = Some(Groups { keys: Vec::new(), form: Grouping::Plain });
        let select = Select { distinct: false, items, from, filter, groups, having: None };
        let query = Box::new(Query::of(select));
        Expr::Subquery { template: "({q})", args: Vec::new(), query, kind }
    }
}

/// Pairs of one type that can be compared.
fn pairs(left: &[Expr], right: &[Expr]) -> Vec<(Expr, Expr)> {
    let mut pairs = Vec::new();
    for one in left.iter().filter(|one| KEYS.contains(&one.kind())) {
        for two in right.iter().filter(|two| two.kind() == one.kind()) {
            pairs.push((one.clone(), two.clone()));
        }
    }
    pairs
}

/// Whether no column is in it.
fn constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal { .. } => true,
        Expr::Node { args, .. } => args.iter().all(constant),
        _ => false,
    }
}

/// Names and types of what a query yields.
pub fn outputs(query: &Query) -> Vec<(String, Type)> {
    match &query.body {
        Body::Select(select) => {
            select.items.iter().map(|(expr, name)| (name.clone(), expr.kind())).collect()
        }
        Body::Set { left, .. } => outputs(left),
    }
}
