//! Queries as trees, so that a failing query can be made smaller, and their SQL text.
//!
//! The trees have only the structure that generating and shrinking need. Most expressions are a template with
//! arguments, because no code looks inside them.

use std::fmt::{self, Display, Formatter};

/// The type of an expression. `Int` is INT and BIGINT, because the engine converts between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    /// A double whose sums are exact in any order: halves of small whole numbers.
    Double,
    /// A double whose sums depend on the order. It is never an argument of a sum.
    Real,
    Decimal,
    Text,
    Bool,
    Date,
    Timestamp,
    /// A list of BIGINT.
    List,
}

impl Type {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Int => "BIGINT",
            Self::Double | Self::Real => "DOUBLE",
            Self::Decimal => "DECIMAL(30, 2)",
            Self::Text => "VARCHAR",
            Self::Bool => "BOOLEAN",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
            Self::List => "BIGINT[]",
        }
    }

    /// The simplest expressions with which shrinking may replace another.
    pub(crate) fn plainest(self) -> [Expr; 2] {
        let text = match self {
            Self::Int => "1",
            Self::Double | Self::Real => "1.0",
            Self::Decimal => "CAST(1 AS DECIMAL(30, 2))",
            Self::Text => "'a'",
            Self::Bool => "true",
            Self::Date => "DATE '2024-01-01'",
            Self::Timestamp => "TIMESTAMP '2024-01-01 00:00:00'",
            Self::List => "make_array(CAST(1 AS BIGINT))",
        };
        [Expr::null(self), Expr::literal(text, self)]
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Literal {
        text: String,
        kind: Type,
    },
    Column {
        relation: String,
        name: String,
        kind: Type,
    },
    /// `template` with each `{}` replaced by the next argument.
    Node {
        template: String,
        args: Vec<Expr>,
        kind: Type,
    },
    /// An aggregate, or (with `over`) a window function.
    Call(Box<Call>),
    /// `template` with `{}` replaced by the arguments and `{q}` by the query.
    Subquery {
        template: &'static str,
        args: Vec<Expr>,
        query: Box<Query>,
        kind: Type,
    },
}

/// A call of an aggregate or window function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) distinct: bool,
    pub(crate) args: Vec<Expr>,
    /// ORDER BY inside the parentheses.
    pub(crate) order: Vec<Key>,
    pub(crate) filter: Option<Expr>,
    pub(crate) ignore_nulls: bool,
    pub(crate) over: Option<Over>,
    pub(crate) kind: Type,
    /// Put a cast around the call, because some functions return types that cannot be combined with others.
    pub(crate) cast: bool,
}

/// `OVER (…)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Over {
    pub(crate) partition: Vec<Expr>,
    pub(crate) order: Vec<Key>,
    pub(crate) frame: String,
    /// True if the answer does not depend on the order of the rows.
    pub(crate) any_order: bool,
}

/// One key of an ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) expr: Expr,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) ctes: Vec<(String, Query)>,
    pub(crate) body: Body,
    /// Names all columns of the body, or none of them.
    pub(crate) order: Vec<Key>,
    pub(crate) limit: Option<usize>,
    pub(crate) offset: Option<usize>,
}

/// What a query selects from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Select(Box<Select>),
    Set { operator: &'static str, left: Box<Query>, right: Box<Query> },
}

/// One SELECT.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Select {
    pub(crate) distinct: bool,
    /// Expression and name.
    pub(crate) items: Vec<(Expr, String)>,
    pub(crate) from: Vec<Join>,
    pub(crate) filter: Option<Expr>,
    pub(crate) groups: Option<Groups>,
    pub(crate) having: Option<Expr>,
}

/// GROUP BY.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Groups {
    pub(crate) keys: Vec<Expr>,
    pub(crate) form: Grouping,
}

/// The sets of keys that are grouped by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Grouping {
    Plain,
    Rollup,
    Cube,
    Sets(Vec<Vec<usize>>),
}

/// A relation of FROM, and how it is joined with those before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Join {
    /// Empty for the first.
    pub(crate) kind: &'static str,
    pub(crate) relation: Relation,
    pub(crate) alias: String,
    pub(crate) on: Option<Expr>,
}

/// Rows with names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Relation {
    /// A table or a CTE.
    Table(String),
    Derived(Box<Query>),
    Lateral(Box<Query>),
    /// With the columns `c0`, `c1`, …
    Values(Vec<Vec<Expr>>),
}

impl Expr {
    pub(crate) fn literal(text: impl Into<String>, kind: Type) -> Self {
        Self::Literal { text: text.into(), kind }
    }

    pub(crate) fn null(kind: Type) -> Self {
        Self::literal(format!("CAST(NULL AS {})", kind.sql()), kind)
    }

    pub(crate) fn column(relation: &str, name: &str, kind: Type) -> Self {
        Self::Column { relation: relation.to_owned(), name: name.to_owned(), kind }
    }

    pub(crate) fn node(template: impl Into<String>, args: Vec<Self>, kind: Type) -> Self {
        Self::Node { template: template.into(), args, kind }
    }

    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::Literal { kind, .. }
            | Self::Column { kind, .. }
            | Self::Node { kind, .. }
            | Self::Subquery { kind, .. } => *kind,
            Self::Call(call) => call.kind,
        }
    }

    /// Whether the expression is a column of `alias`.
    pub(crate) fn is_of(&self, alias: &str) -> bool {
        matches!(self, Self::Column { relation, .. } if relation == alias)
    }

    pub(crate) fn is_literal(&self) -> bool {
        matches!(self, Self::Literal { .. })
    }
}

impl Query {
    /// A query that is one SELECT.
    pub(crate) fn of(select: Select) -> Self {
        Self {
            ctes: Vec::new(),
            body: Body::Select(Box::new(select)),
            order: Vec::new(),
            limit: None,
            offset: None,
        }
    }

    /// Names and types of the query's columns.
    pub(crate) fn outputs(&self) -> Vec<(String, Type)> {
        match &self.body {
            Body::Select(select) => {
                select.items.iter().map(|(expr, name)| (name.clone(), expr.kind())).collect()
            }
            Body::Set { left, .. } => left.outputs(),
        }
    }
}

fn separated<T: Display>(f: &mut Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// Writes `template` with `{}` replaced by `args` in turn and `{q}` by `query`.
fn filled(
    f: &mut Formatter<'_>,
    template: &str,
    args: &[Expr],
    query: Option<&Query>,
) -> fmt::Result {
    let mut args = args.iter();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        f.write_str(&rest[..at])?;
        rest = &rest[at..];
        if let (Some(after), Some(query)) = (rest.strip_prefix("{q}"), query) {
            write!(f, "{query}")?;
            rest = after;
        } else {
            rest = rest.strip_prefix("{}").unwrap_or(&rest[1..]);
            let arg = args.next();
            debug_assert!(arg.is_some(), "too few arguments for {template}");
            if let Some(arg) = arg {
                write!(f, "{arg}")?;
            }
        }
    }
    f.write_str(rest)
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal { text, .. } => f.write_str(text),
            Self::Column { relation, name, .. } if relation.is_empty() => f.write_str(name),
            Self::Column { relation, name, .. } => write!(f, "{relation}.{name}"),
            Self::Node { template, args, .. } => filled(f, template, args, None),
            Self::Call(call) if call.cast => write!(f, "CAST({call} AS {})", call.kind.sql()),
            Self::Call(call) => write!(f, "{call}"),
            Self::Subquery { template, args, query, .. } => filled(f, template, args, Some(query)),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}", self.name, if self.distinct { "DISTINCT " } else { "" })?;
        separated(f, &self.args, ", ")?;
        if self.args.is_empty() && self.name == "count" {
            f.write_str("*")?;
        }
        if !self.order.is_empty() {
            f.write_str(" ORDER BY ")?;
            separated(f, &self.order, ", ")?;
        }
        f.write_str(")")?;
        if let Some(filter) = &self.filter {
            write!(f, " FILTER (WHERE {filter})")?;
        }
        if self.ignore_nulls {
            f.write_str(" IGNORE NULLS")?;
        }
        let Some(over) = &self.over else { return Ok(()) };
        let mut parts = Vec::new();
        if !over.partition.is_empty() {
            let keys: Vec<String> = over.partition.iter().map(ToString::to_string).collect();
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !over.order.is_empty() {
            let keys: Vec<String> = over.order.iter().map(ToString::to_string).collect();
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        if !over.frame.is_empty() {
            parts.push(over.frame.clone());
        }
        write!(f, " OVER ({})", parts.join(" "))
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { "DESC" } else { "ASC" };
        let nulls = if self.nulls_first { "FIRST" } else { "LAST" };
        write!(f, "{} {direction} NULLS {nulls}", self.expr)
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, (name, query)) in self.ctes.iter().enumerate() {
            write!(f, "{} {name} AS ({query})", if at == 0 { "WITH" } else { "," })?;
        }
        if !self.ctes.is_empty() {
            f.write_str(" ")?;
        }
        match &self.body {
            Body::Select(select) => write!(f, "{select}")?,
            Body::Set { operator, left, right } => write!(f, "({left}) {operator} ({right})")?,
        }
        if !self.order.is_empty() {
            f.write_str(" ORDER BY ")?;
            separated(f, &self.order, ", ")?;
        }
        if let Some(limit) = self.limit {
            write!(f, " LIMIT {limit}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " OFFSET {offset}")?;
        }
        Ok(())
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.distinct { "SELECT DISTINCT " } else { "SELECT " })?;
        for (at, (expr, name)) in self.items.iter().enumerate() {
            write!(f, "{}{expr} AS {name}", if at > 0 { ", " } else { "" })?;
        }
        for (at, join) in self.from.iter().enumerate() {
            match (at, join.kind) {
                (0, _) => f.write_str(" FROM ")?,
                (_, kind) => write!(f, " {kind} ")?,
            }
            write!(f, "{join}")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        if let Some(groups) = &self.groups {
            write!(f, "{groups}")?;
        }
        if let Some(having) = &self.having {
            write!(f, " HAVING {having}")?;
        }
        Ok(())
    }
}

impl Display for Groups {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let all = keys.join(", ");
        match &self.form {
            Grouping::Plain => write!(f, " GROUP BY {all}"),
            Grouping::Rollup => write!(f, " GROUP BY ROLLUP ({all})"),
            Grouping::Cube => write!(f, " GROUP BY CUBE ({all})"),
            Grouping::Sets(sets) => {
                let set = |set: &Vec<usize>| {
                    let keys: Vec<&str> =
                        set.iter().filter_map(|&at| keys.get(at).map(String::as_str)).collect();
                    format!("({})", keys.join(", "))
                };
                let sets: Vec<String> = sets.iter().map(set).collect();
                write!(f, " GROUP BY GROUPING SETS ({})", sets.join(", "))
            }
        }
    }
}

impl Display for Join {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let alias = &self.alias;
        match &self.relation {
            Relation::Table(name) => write!(f, "{name} AS {alias}")?,
            Relation::Derived(query) => write!(f, "({query}) AS {alias}")?,
            Relation::Lateral(query) => write!(f, "LATERAL ({query}) AS {alias}")?,
            Relation::Values(rows) => {
                f.write_str("(VALUES ")?;
                for (at, row) in rows.iter().enumerate() {
                    f.write_str(if at > 0 { ", (" } else { "(" })?;
                    separated(f, row, ", ")?;
                    f.write_str(")")?;
                }
                let columns = rows.first().map_or(0, Vec::len);
                let names: Vec<String> = (0..columns).map(|at| format!("c{at}")).collect();
                write!(f, ") AS {alias}({})", names.join(", "))?;
            }
        }
        if let Some(on) = &self.on {
            write!(f, " ON {on}")?;
        }
        Ok(())
    }
}
