//! Random subqueries: EXISTS, IN and single values, some of them correlated.

use crate::random::ast::{Expr, Grouping, Groups, Query, Select, Type};
use crate::random::generator::{Generator, KEYS, Place, Scope, Tests};

impl Generator<'_> {
    /// A subquery that yields `kind`.
    pub(crate) fn subquery(&mut self, kind: Type, scope: &Scope) -> Expr {
        let opposite = self.opposite.take();
        // Each has its own name, because a decorrelated subquery is placed next to the outer columns.
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

    /// An aggregate of all rows, which gives one row.
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
