//! Random expressions of a wanted type, well-typed and determined: no division by zero, no cast that can
//! fail, nothing volatile, and order-sensitive functions over total orders only.
//!
//! Not made, because DataFusion 55.2 is wrong or undetermined there, or has no plan:
//! - `array_append` and its like on a null list: they append to what lies under the null, which is there
//!   after a CASE and gone after an exchange;
//! - EXISTS and `IN (SELECT …)` outside WHERE, HAVING and the ON of inner joins: no physical plan;
//! - a correlated `NOT IN` as a conjunct: its null-aware join takes one key only (made rarely);
//! - `x IN (SELECT …) IS NULL`: never true, so three-valued logic does not partition (not in that check);
//! - `bool_and` and `bool_or` over frames whose start moves: they cannot take rows back;
//! - aggregates in one SELECT that want different orders of the same rows: no plan.

use crate::ast::{Call, Expr, Key, Over, Type};
use crate::generate::Generator;

/// What an expression may refer to.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub columns: Vec<Expr>,
    /// After GROUP BY: the keys, which stand beside aggregates of `columns`.
    pub keys: Option<Vec<Expr>>,
    /// Columns that together order the rows totally, up to rows that are alike in everything.
    pub total: Vec<Expr>,
    /// Window functions may be used.
    pub windows: bool,
    /// How deep subqueries may nest; 0 for none.
    pub subqueries: usize,
    /// Subqueries may refer to the columns here.
    pub correlate: bool,
    /// The subqueries that stand as conditions.
    pub tests: Tests,
}

/// Which subqueries may stand as conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tests {
    #[default]
    None,
    Exists,
    /// EXISTS and IN.
    All,
}

impl Scope {
    /// The same without windows and subqueries: for arguments.
    fn plain(&self) -> Self {
        Self { windows: false, subqueries: 0, ..self.clone() }
    }

    /// The rows below the grouping.
    fn ungrouped(&self) -> Self {
        Self { keys: None, ..self.plain() }
    }
}

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
/// Types that order, group and join.
pub const KEYS: [Type; 7] =
    [Type::Int, Type::Double, Type::Decimal, Type::Text, Type::Bool, Type::Date, Type::Timestamp];
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
    pub fn expr(&mut self, kind: Type, scope: &Scope, depth: usize) -> Expr {
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

    /// A condition that more often than not looks at a column.
    pub fn condition(&mut self, scope: &Scope, depth: usize) -> Expr {
        if scope.subqueries > 0 && self.rng.percent(25) {
            return self.subquery(Type::Bool, scope);
        }
        self.operator(Type::Bool, scope, depth)
    }

    fn leaf(&mut self, kind: Type, scope: &Scope) -> Expr {
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

    pub fn literal(&mut self, kind: Type) -> Expr {
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

    fn operator(&mut self, kind: Type, scope: &Scope, depth: usize) -> Expr {
        // What every type has.
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

    /// A type that some column in scope has, mostly.
    fn key_kind(&mut self, scope: &Scope) -> Type {
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

    pub fn key(&mut self, expr: Expr) -> Key {
        Key { expr, descending: self.rng.one_in(2), nulls_first: self.rng.one_in(2) }
    }

    /// Keys that order the rows of a scope totally.
    fn total_order(&mut self, total: &[Expr]) -> Vec<Key> {
        total.iter().map(|column| self.key(column.clone())).collect()
    }

    /// An aggregate that yields `kind`; `total` orders the rows below.
    pub fn aggregate(&mut self, kind: Type, scope: &Scope, total: &[Expr]) -> Expr {
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
                // Ties are alike.
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
    fn window(&mut self, kind: Type, scope: &Scope) -> Expr {
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
            // The same window in the opposite order: the engine reads one sort backwards.
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
        // These two cannot take rows back.
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

/// Always the same order: the engine has no plan for aggregates that want several.
fn ascending(keys: &[Expr]) -> Vec<Key> {
    let key = |expr: &Expr| Key { expr: expr.clone(), descending: false, nulls_first: false };
    keys.iter().map(key).collect()
}

fn number(value: usize) -> Expr {
    Expr::literal(value.to_string(), Type::Int)
}
