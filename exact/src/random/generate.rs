//! Random queries: shapes of SELECT, joins, set operations and subqueries around random expressions.

use crate::random::ast::{Body, Expr, Grouping, Groups, Query, Select, Type};
use crate::random::generator::{Generator, KEYS, Place, Scope, Tests};
use crate::random::tables::Table;

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

impl Generator<'_> {
    /// A whole query.
    pub(crate) fn query(&mut self) -> Query {
        let mut ctes = Vec::new();
        if self.rng.percent(20) {
            for _ in 0..1 + self.rng.below(2) {
                let place = Place { depth: 1, relations: 2, outer: &[] };
                let query = self.nested(place, None);
                let name = self.name("w");
                let columns = query.outputs();
                self.ctes.push(Table { name: name.clone(), columns, rows: 60 });
                ctes.push((name, query));
            }
        }
        let mut query = self.nested(Place { depth: 2, relations: 4, outer: &[] }, None);
        query.ctes = ctes;
        query
    }

    /// A plain SELECT with a condition, for checks that rewrite it.
    pub(crate) fn filtered(&mut self, tests: Tests) -> Select {
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

    /// A query without CTEs, with the `wanted` types if there are any.
    pub(crate) fn nested(&mut self, place: Place<'_>, wanted: Option<&[Type]>) -> Query {
        let mut query = if place.depth > 0 && self.rng.percent(15) {
            let kinds = match wanted {
                Some(kinds) => kinds.to_vec(),
                // Real values are not used as keys, and every column of a set operation is a key.
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
        let columns = query.outputs();
        if self.rng.percent(30) && columns.iter().all(|(_, kind)| *kind != Type::List) {
            // All columns: rows that are equal in the order are equal in everything, so any LIMIT is determined.
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

    pub(crate) fn select(&mut self, place: Place<'_>, wanted: Option<&[Type]>) -> Select {
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
            // A total order of groups: their keys, if each combination of keys occurs once.
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
            // A literal would be a column's position, and a repeated key has no effect.
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
}

/// Whether the expression contains no column.
fn constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal { .. } => true,
        Expr::Node { args, .. } => args.iter().all(constant),
        _ => false,
    }
}
