//! Random aggregates and window functions over orders that determine their answers.

use crate::random::ast::{Call, Expr, Key, Over, Type};
use crate::random::generator::{Generator, Scope};

impl Generator<'_> {
    /// Keys that order the rows of a scope totally.
    fn total_order(&mut self, total: &[Expr]) -> Vec<Key> {
        total.iter().map(|column| self.key(column.clone())).collect()
    }

    /// An aggregate that yields `kind`; `total` orders the rows below.
    // Long, because it is a table of functions by type.
    /// Long because it is one list of forms.
    pub(crate) fn aggregate(&mut self, kind: Type, scope: &Scope, total: &[Expr]) -> Expr {
        let below = scope.ungrouped();
        let (name, arg): (&'static str, Option<Type>) = match kind {
            Type::Int => *self.rng.pick(&[
                ("count", None),
                ("count", Some(Type::Int)),
                ("count", Some(Type::Text)),
                ("sum", Some(Type::Int)),
                ("sum", Some(Type::Int)),
                ("min", Some(Type::Int)),
                ("max", Some(Type::Int)),
                ("bit_xor", Some(Type::Int)),
                ("first_value", Some(Type::Int)),
            ]),
            Type::Double => *self.rng.pick(&[
                ("sum", Some(Type::Double)),
                ("min", Some(Type::Double)),
                ("max", Some(Type::Double)),
            ]),
            Type::Real => *self.rng.pick(&[
                ("avg", Some(Type::Int)),
                ("avg", Some(Type::Double)),
                ("median", Some(Type::Double)),
            ]),
            Type::Decimal => *self.rng.pick(&[
                ("sum", Some(Type::Decimal)),
                ("min", Some(Type::Decimal)),
                ("max", Some(Type::Decimal)),
            ]),
            Type::Text => *self.rng.pick(&[
                ("min", Some(Type::Text)),
                ("max", Some(Type::Text)),
                ("string_agg", Some(Type::Text)),
                ("last_value", Some(Type::Text)),
            ]),
            Type::Bool => {
                *self.rng.pick(&[("bool_and", Some(Type::Bool)), ("bool_or", Some(Type::Bool))])
            }
            Type::Date => *self.rng.pick(&[("min", Some(Type::Date)), ("max", Some(Type::Date))]),
            Type::Timestamp => {
                *self.rng.pick(&[("min", Some(Type::Timestamp)), ("max", Some(Type::Timestamp))])
            }
            Type::List => ("array_agg", Some(Type::Int)),
        };
        let mut args: Vec<Expr> = arg.map(|arg| self.expr(arg, &below, 1)).into_iter().collect();
        if let Some(arg) = args.first_mut()
            && arg.is_literal()
            && let Some(column) = below.columns.iter().find(|column| column.kind() == arg.kind())
        {
            *arg = column.clone();
        }
        let mut order = Vec::new();
        let mut distinct = matches!(name, "count" | "sum" | "avg" | "min")
            && !args.is_empty()
            && self.rng.percent(15);
        match name {
            "array_agg" | "string_agg" => {
                if name == "array_agg" {
                    let arg = args.remove(0);
                    args.push(Expr::node("CAST({} AS BIGINT)", vec![arg], Type::Int));
                    distinct = self.rng.percent(25);
                }
                // Rows that are equal in the order have equal values.
                order = ascending(&args[..1]);
                if name == "string_agg" {
                    args.push(Expr::literal("','", Type::Text));
                }
            }
            "first_value" | "last_value" => order = ascending(total),
            _ => {}
        }
        let filter = self.rng.percent(15).then(|| self.expr(Type::Bool, &below, 2));
        Expr::Call(Box::new(Call {
            name,
            distinct,
            args,
            order,
            filter,
            ignore_nulls: false,
            over: None,
            kind,
            cast: name == "avg" || (name == "sum" && kind == Type::Decimal),
        }))
    }

    /// A window function that yields `kind`.
    pub(crate) fn window(&mut self, kind: Type, scope: &Scope) -> Expr {
        let below = scope.plain();
        let whole = scope.keys.as_ref().unwrap_or(&scope.total).clone();
        if whole.is_empty() {
            return self.leaf(kind, scope);
        }
        let pick = self.rng.below(if kind == Type::Int { 12 } else { 7 });
        let (name, mut args): (&'static str, Vec<Expr>) = match (pick, kind) {
            (0, _) => ("lag", vec![self.expr(kind, &below, 1)]),
            (1, _) => ("lead", vec![self.expr(kind, &below, 1)]),
            (2, _) => ("first_value", vec![self.expr(kind, &below, 1)]),
            (3, _) => ("last_value", vec![self.expr(kind, &below, 1)]),
            (4, _) => ("nth_value", vec![self.expr(kind, &below, 1), number(2)]),
            (5 | 6, Type::Int | Type::Double | Type::Decimal) => {
                ("sum", vec![self.expr(kind, &below, 1)])
            }
            (5 | 6, Type::Real) => ("avg", vec![self.expr(Type::Int, &below, 1)]),
            (5, Type::Bool) => ("bool_or", vec![self.expr(kind, &below, 1)]),
            (6, Type::Bool) => ("bool_and", vec![self.expr(kind, &below, 1)]),
            (5, _) => ("min", vec![self.expr(kind, &below, 1)]),
            (6, _) => ("max", vec![self.expr(kind, &below, 1)]),
            (7, _) => ("row_number", vec![]),
            (8, _) => ("rank", vec![]),
            (9, _) => ("dense_rank", vec![]),
            (10, _) => ("ntile", vec![number(3)]),
            _ => ("count", vec![]),
        };
        if matches!(name, "lag" | "lead") && self.rng.one_in(2) {
            args.push(number(1 + self.rng.below(3)));
        }
        let aggregates =
            matches!(name, "sum" | "avg" | "min" | "max" | "count" | "bool_or" | "bool_and");
        let picks = matches!(name, "lag" | "lead" | "first_value" | "last_value" | "nth_value");
        let reused = self.opposite.take().filter(|(keys, _)| *keys == whole);
        let over = match reused {
            // The same window in the opposite order, so that the engine reads one sort backwards.
            Some((_, mut over)) => {
                for key in &mut over.order {
                    key.descending = !key.descending;
                    key.nulls_first = !key.nulls_first;
                }
                over
            }
            None => self.over(&below, &whole, aggregates || matches!(name, "rank" | "dense_rank")),
        };
        let mut over = over;
        if over.any_order && !(aggregates || matches!(name, "rank" | "dense_rank")) {
            over.order = self.total_order(&whole);
            over.any_order = false;
        }
        // These two cannot remove rows again.
        let grows = matches!(name, "bool_or" | "bool_and");
        if !grows && (aggregates || matches!(name, "first_value" | "last_value" | "nth_value")) {
            over.frame = self.frame(&over);
        } else {
            over.frame.clear();
        }
        if self.rng.one_in(2) {
            self.opposite = Some((whole, Over { frame: String::new(), ..over.clone() }));
        }
        Expr::Call(Box::new(Call {
            name,
            distinct: false,
            args,
            order: Vec::new(),
            filter: (aggregates && self.rng.percent(20)).then(|| self.expr(Type::Bool, &below, 1)),
            ignore_nulls: picks && self.rng.percent(20),
            over: Some(over),
            kind,
            cast: kind == Type::Int || name == "avg" || (name == "sum" && kind == Type::Decimal),
        }))
    }

    fn over(&mut self, below: &Scope, whole: &[Expr], any_order: bool) -> Over {
        let partition = if self.rng.percent(70) {
            let kind = self.key_kind(below);
            let mut keys = vec![self.leaf(kind, below)];
            keys.retain(|key| !key.is_literal());
            keys
        } else {
            Vec::new()
        };
        if any_order && self.rng.one_in(2) {
            let kind = self.key_kind(below);
            let key = self.leaf(kind, below);
            let order = if key.is_literal() { Vec::new() } else { vec![self.key(key)] };
            if !order.is_empty() {
                return Over { partition, order, frame: String::new(), any_order: true };
            }
        }
        Over { partition, order: self.total_order(whole), frame: String::new(), any_order: false }
    }

    fn frame(&mut self, over: &Over) -> String {
        if self.rng.one_in(3) {
            return String::new();
        }
        let ranged = matches!(over.order.as_slice(), [key] if key.expr.kind() == Type::Int);
        let (unit, offsets) = match self.rng.below(3) {
            0 if !over.any_order => ("ROWS", true),
            1 => ("GROUPS", true),
            _ => ("RANGE", ranged),
        };
        let frames: &[&str] = if offsets {
            &[
                "BETWEEN 2 PRECEDING AND 1 FOLLOWING",
                "BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
                "BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
                "BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                "BETWEEN 3 PRECEDING AND 2 PRECEDING",
                "BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            ]
        } else {
            &[
                "BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                "BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                "BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            ]
        };
        format!("{unit} {}", self.rng.pick(frames))
    }
}

/// Always the same order, because the engine has no plan for aggregates with several orders.
fn ascending(keys: &[Expr]) -> Vec<Key> {
    let key = |expr: &Expr| Key { expr: expr.clone(), descending: false, nulls_first: false };
    keys.iter().map(key).collect()
}

fn number(value: usize) -> Expr {
    Expr::literal(value.to_string(), Type::Int)
}
