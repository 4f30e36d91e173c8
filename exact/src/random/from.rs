//! Random FROM clauses: tables, CTEs, VALUES, derived and lateral tables, joined on columns of one type.

use crate::random::ast::{Expr, Join, Query, Relation, Select, Type};
use crate::random::generator::{Generator, KEYS, Place, Scope, Tests};
use crate::random::tables::Table;

/// Largest estimated number of rows of a FROM.
const LARGEST: usize = 20_000;

/// A relation to join.
struct Made {
    relation: Relation,
    columns: Vec<(String, Type)>,
    /// True if the first column is different in all rows.
    unique: bool,
    /// Estimated number of rows.
    rows: usize,
}

impl Generator<'_> {
    pub(crate) fn from(&mut self, place: Place<'_>) -> (Vec<Join>, Scope) {
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
                        // The engine plans subqueries in a join condition only for inner joins.
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
                // A column that is left out of the order may differ between rows that are equal in the order.
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
            let columns = query.outputs();
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
            let columns = query.outputs();
            return made(Relation::Derived(Box::new(query)), columns);
        }
        if (39..41).contains(&pick) && at > 0 && place.depth > 0 {
            let place = Place { depth: 0, relations: 1, outer: &scope.columns };
            let select = self.select(place, None);
            let query = Query::of(select);
            let columns = query.outputs();
            return made(Relation::Lateral(Box::new(query)), columns);
        }
        let table = self.rng.pick(self.tables).clone();
        let Table { name, columns, rows } = table;
        Made { relation: Relation::Table(name), columns, unique: true, rows }
    }

    /// The elements of a list column. UNNEST in FROM has no plan if it refers to another relation.
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

    /// `outer = inner` on columns of one type, or two such conditions.
    pub(crate) fn link(&mut self, outer: &[Expr], inner: &[Expr]) -> Option<Expr> {
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

    pub(crate) fn inequality(&mut self, left: &[Expr], right: &[Expr]) -> Option<Expr> {
        let pairs = pairs(left, right);
        if pairs.is_empty() {
            return None;
        }
        let (left, right) = self.rng.pick(&pairs).clone();
        let template = *self.rng.pick(&["({} < {})", "({} >= {})", "({} <> {})"]);
        Some(Expr::node(template, vec![left, right], Type::Bool))
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
