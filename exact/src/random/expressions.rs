//! Random expressions of a given type, with correct types and determined answers: no division by zero, no cast that
//! can fail, nothing volatile, and order-sensitive functions only over total orders.
//!
//! The following are not generated, because DataFusion 55.2 is wrong or undetermined there, or has no plan:
//! - `array_append` and similar functions on a null list: they append to the values under the null, which exist after
//!   a CASE and are gone after an exchange;
//! - EXISTS and `IN (SELECT …)` outside WHERE, HAVING and the ON of inner joins: no physical plan;
//! - a correlated `NOT IN` as a conjunct: its null-aware join takes one key only (generated rarely);
//! - `x IN (SELECT …) IS NULL`: never true, so three-valued logic does not partition (not in that check);
//! - `bool_and` and `bool_or` over frames whose start moves: they cannot remove rows again;
//! - aggregates in one SELECT that want different orders of the same rows: no plan.

use crate::random::ast::{Expr, Type};
use crate::random::generator::{Generator, KEYS, Scope};

const ANY: [Type; 8] = [
    Type::Int,
    Type::Double,
    Type::Decimal,
    Type::Text,
    Type::Bool,
    Type::Date,
    Type::Timestamp,
    Type::List,
];
const COMPARISONS: [&str; 8] = [
    "({} = {})",
    "({} <> {})",
    "({} < {})",
    "({} <= {})",
    "({} > {})",
    "({} >= {})",
    "({} IS DISTINCT FROM {})",
    "({} IS NOT DISTINCT FROM {})",
];

impl Generator<'_> {
    /// An expression of type `kind`, at most `depth` operators deep.
    pub(crate) fn expr(&mut self, kind: Type, scope: &Scope, depth: usize) -> Expr {
        if scope.windows && kind != Type::List && self.rng.one_in(6) {
            return self.window(kind, scope);
        }
        if depth == 0 || self.rng.one_in(3) {
            return self.leaf(kind, scope);
        }
        if scope.subqueries > 0 && kind != Type::List && self.rng.one_in(8) {
            return self.subquery(kind, scope);
        }
        self.operator(kind, scope, depth - 1)
    }

    /// A condition that usually uses a column.
    pub(crate) fn condition(&mut self, scope: &Scope, depth: usize) -> Expr {
        if scope.subqueries > 0 && self.rng.percent(25) {
            return self.subquery(Type::Bool, scope);
        }
        self.operator(Type::Bool, scope, depth)
    }

    pub(crate) fn leaf(&mut self, kind: Type, scope: &Scope) -> Expr {
        if let Some(keys) = &scope.keys {
            let fitting: Vec<Expr> =
                keys.iter().filter(|key| key.kind() == kind).cloned().collect();
            if !fitting.is_empty() && self.rng.one_in(2) {
                return self.rng.pick(&fitting).clone();
            }
            if self.rng.one_in(8) {
                return self.literal(kind);
            }
            return self.aggregate(kind, &scope.ungrouped(), scope.total.as_slice());
        }
        let fitting: Vec<Expr> =
            scope.columns.iter().filter(|column| column.kind() == kind).cloned().collect();
        if fitting.is_empty() || self.rng.one_in(8) {
            self.literal(kind)
        } else {
            self.rng.pick(&fitting).clone()
        }
    }

    pub(crate) fn literal(&mut self, kind: Type) -> Expr {
        if self.rng.one_in(10) {
            return Expr::null(kind);
        }
        let number = self.rng.below(8);
        let text = match kind {
            Type::Int => format!("{}", number as i64 - 1),
            Type::Double => format!("{:.1}", (number as f64 - 3.0) / 2.0),
            Type::Real => "0.25".to_owned(),
            Type::Decimal => format!("CAST({}.25 AS DECIMAL(30, 2))", number),
            Type::Text => format!("'{}'", ["", "a", "b", "ab", "Ba", "ä", "x%y", "c"][number]),
            Type::Bool => ["true", "false"][number % 2].to_owned(),
            Type::Date => format!("DATE '2024-01-{:02}'", 1 + number * 3),
            Type::Timestamp => format!("TIMESTAMP '2024-01-0{} 11:00:00'", 1 + number / 2),
            Type::List => {
                format!("make_array(CAST({number} AS BIGINT), CAST(NULL AS BIGINT))")
            }
        };
        Expr::literal(text, kind)
    }

    // Long, because it is a table of templates by type.
    /// Long because it is one list of forms.
    fn operator(&mut self, kind: Type, scope: &Scope, depth: usize) -> Expr {
        // Forms that every type has.
        if kind != Type::List && self.rng.one_in(if kind == Type::Real { 1 } else { 4 }) {
            return match self.rng.below(5) {
                0 => self.fill("coalesce({}, {})", &[kind, kind], kind, scope, depth),
                1 => self.fill("nullif({}, {})", &[kind, kind], kind, scope, depth),
                2 => {
                    let template = "CASE WHEN {} THEN {} ELSE {} END";
                    self.fill(template, &[Type::Bool, kind, kind], kind, scope, depth)
                }
                3 => self.fill("CASE WHEN {} THEN {} END", &[Type::Bool, kind], kind, scope, depth),
                _ => {
                    let by = *self.rng.pick(&[Type::Int, Type::Text]);
                    let template = "CASE {} WHEN {} THEN {} ELSE {} END";
                    self.fill(template, &[by, by, kind, kind], kind, scope, depth)
                }
            };
        }
        if kind == Type::Bool {
            return self.truth(scope, depth);
        }
        use Type::{Bool, Date, Decimal, Double, Int, List, Real, Text, Timestamp};
        let choices: &[(&str, &[Type])] = match kind {
            Int => &[
                ("({} + {})", &[Int, Int]),
                ("({} - {})", &[Int, Int]),
                ("({} * {})", &[Int, Int]),
                ("({} / nullif({}, 0))", &[Int, Int]),
                ("({} % nullif({}, 0))", &[Int, Int]),
                ("abs({})", &[Int]),
                ("(- {})", &[Int]),
                ("greatest({}, {})", &[Int, Int]),
                ("CAST(length({}) AS BIGINT)", &[Text]),
                ("CAST(strpos({}, 'b') AS BIGINT)", &[Text]),
                ("CAST(date_part('day', {}) AS BIGINT)", &[Date]),
                ("CAST(date_part('hour', {}) AS BIGINT)", &[Timestamp]),
                ("CAST({} AS BIGINT)", &[Bool]),
                ("CAST({} AS BIGINT)", &[Double]),
                ("CAST(array_length({}) AS BIGINT)", &[List]),
                ("{}[1]", &[List]),
            ],
            Double => &[
                ("({} + {})", &[Double, Double]),
                ("({} - {})", &[Double, Double]),
                ("({} * 2)", &[Double]),
                ("({} / 2)", &[Double]),
                ("abs({})", &[Double]),
                ("floor({})", &[Double]),
                ("least({}, {})", &[Double, Double]),
                ("CAST({} AS DOUBLE)", &[Int]),
            ],
            Real => &[("({} / nullif({}, 0.0))", &[Double, Double])],
            Decimal => &[
                ("({} + {})", &[Decimal, Decimal]),
                ("({} - {})", &[Decimal, Decimal]),
                ("CAST({} AS DECIMAL(30, 2))", &[Int]),
                ("abs({})", &[Decimal]),
            ],
            Text => &[
                ("({} || {})", &[Text, Text]),
                ("concat({}, '-', {})", &[Text, Text]),
                ("upper({})", &[Text]),
                ("lower({})", &[Text]),
                ("substr({}, 2)", &[Text]),
                ("left({}, 1)", &[Text]),
                ("replace({}, 'a', 'bb')", &[Text]),
                ("reverse({})", &[Text]),
                ("CAST({} AS VARCHAR)", &[Int]),
                ("CAST({} AS VARCHAR)", &[Date]),
                ("CAST({} AS VARCHAR)", &[Decimal]),
            ],
            Date => &[
                ("CAST({} AS DATE)", &[Timestamp]),
                ("({} + INTERVAL '3 days')", &[Date]),
                ("greatest({}, {})", &[Date, Date]),
            ],
            Timestamp => &[
                ("CAST({} AS TIMESTAMP)", &[Date]),
                ("date_trunc('day', {})", &[Timestamp]),
                ("({} - INTERVAL '11 hours')", &[Timestamp]),
            ],
            List => &[
                ("make_array(CAST({} AS BIGINT), CAST({} AS BIGINT))", &[Int, Int]),
                ("make_array(CAST({} AS BIGINT))", &[Int]),
                ("CASE WHEN {} THEN {} END", &[Bool, List]),
            ],
            Bool => &[],
        };
        let (template, args) = *self.rng.pick(choices);
        self.fill(template, args, kind, scope, depth)
    }

    fn truth(&mut self, scope: &Scope, depth: usize) -> Expr {
        use Type::{Bool, Int, List, Text};
        match self.rng.below(14) {
            0..5 => {
                let kind = self.key_kind(scope);
                let template = *self.rng.pick(&COMPARISONS);
                self.fill(template, &[kind, kind], Bool, scope, depth)
            }
            5 => self.fill("({} AND {})", &[Bool, Bool], Bool, scope, depth),
            6 => self.fill("({} OR {})", &[Bool, Bool], Bool, scope, depth),
            7 => self.fill("(NOT {})", &[Bool], Bool, scope, depth),
            8 => {
                let kind = *self.rng.pick(&ANY);
                let template = *self.rng.pick(&["({} IS NULL)", "({} IS NOT NULL)"]);
                self.fill(template, &[kind], Bool, scope, depth)
            }
            9 => {
                let template = *self.rng.pick(&["({} IS TRUE)", "({} IS NOT TRUE)"]);
                self.fill(template, &[Bool], Bool, scope, depth)
            }
            10 => {
                let kind = self.key_kind(scope);
                let template = *self.rng.pick(&["({} IN ({}, {}))", "({} NOT IN ({}, {}))"]);
                let args =
                    vec![self.expr(kind, scope, depth), self.literal(kind), self.literal(kind)];
                Expr::node(template, args, Bool)
            }
            11 => {
                let kind = self.key_kind(scope);
                self.fill("({} BETWEEN {} AND {})", &[kind, kind, kind], Bool, scope, depth)
            }
            12 => {
                let template = *self.rng.pick(&[
                    "({} LIKE 'a%')",
                    "({} NOT LIKE '%b%')",
                    "starts_with({}, 'a')",
                    "({} LIKE '_')",
                ]);
                self.fill(template, &[Text], Bool, scope, depth)
            }
            _ => {
                let lists = scope.columns.iter().any(|column| column.kind() == List);
                if lists && scope.keys.is_none() {
                    self.fill("array_has({}, CAST({} AS BIGINT))", &[List, Int], Bool, scope, depth)
                } else {
                    self.fill("({} = {})", &[Int, Int], Bool, scope, depth)
                }
            }
        }
    }

    /// A type that usually some column in scope has.
    pub(crate) fn key_kind(&mut self, scope: &Scope) -> Type {
        let columns: Vec<Type> = scope
            .columns
            .iter()
            .map(Expr::kind)
            .filter(|kind| !matches!(kind, Type::List | Type::Real))
            .collect();
        if columns.is_empty() || self.rng.one_in(8) {
            *self.rng.pick(&KEYS)
        } else {
            *self.rng.pick(&columns)
        }
    }

    fn fill(
        &mut self,
        template: &str,
        kinds: &[Type],
        kind: Type,
        scope: &Scope,
        depth: usize,
    ) -> Expr {
        let args = kinds.iter().map(|&kind| self.expr(kind, scope, depth)).collect();
        Expr::node(template, args, kind)
    }
}
