//! Windows that are named in a WINDOW clause.
//!
//! ```text
//!  sum(x) OVER (w ROWS 2 PRECEDING) … WINDOW w AS (PARTITION BY k ORDER BY id)
//!  the engine: OVER (ROWS 2 PRECEDING)        here: OVER (PARTITION BY k ORDER BY id ROWS 2 PRECEDING)
//! ```
//! A window in parentheses that begins with a name refines the window of that name, and the engine forgets the name. What it
//! does with a name alone (`OVER w`) holds in the list of a SELECT, but there also in the subqueries of the list, which have
//! windows of their own; in ORDER BY and QUALIFY it forgets the OVER. So each name becomes what it stands for, in the SELECT
//! whose WINDOW clause it is in.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, VisitMut,
    VisitorMut, WindowSpec, WindowType,
};

/// Writes the windows out that a statement names.
///
/// # Errors
/// A name that stands for no window, and a window that cannot refine another one: what to tell the client.
pub(super) fn resolve(statement: &mut impl VisitMut) -> Result<(), String> {
    match statement.visit(&mut Resolve::default()) {
        ControlFlow::Break(told) => Err(told),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The windows of a WINDOW clause, by their names.
type Windows = HashMap<String, WindowSpec>;

#[derive(Default)]
struct Resolve {
    /// Those of the queries and SELECTs around, outermost first. Only the last ones can be named.
    scopes: Vec<Windows>,
}

impl Resolve {
    fn enter(&mut self, select: &mut Select) -> ControlFlow<String> {
        match windows(select) {
            Ok(windows) => {
                self.scopes.push(windows);
                ControlFlow::Continue(())
            }
            Err(told) => ControlFlow::Break(told),
        }
    }

    fn leave(&mut self) -> ControlFlow<String> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Resolve {
    type Break = String;

    // ORDER BY belongs to the query, and names the windows of its SELECT.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            return self.enter(select);
        }
        self.scopes.push(Windows::new());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.leave()
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<String> {
        self.enter(select)
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<String> {
        self.leave()
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Expr::Function(function) = expr
            && let Some(over) = &mut function.over
        {
            let none = Windows::new();
            if let Err(told) = written_out(over, self.scopes.last().unwrap_or(&none)) {
                return ControlFlow::Break(told);
            }
        }
        ControlFlow::Continue(())
    }
}

/// The windows of a SELECT, none of which refers to another one any more. Each can refer to those before it.
fn windows(select: &mut Select) -> Result<Windows, String> {
    let mut known = Windows::new();
    for NamedWindowDefinition(name, window) in &mut select.named_window {
        let spec = match window {
            NamedWindowExpr::NamedWindow(other) => found(other, &known)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => {
                // Its copies would have the name too.
                if spec.visit(&mut Looks).is_break() {
                    return Err(format!(
                        "window {name}: a function inside its definition is over a window by name; \
                         write that window out there"
                    ));
                }
                refine(spec, &known)?;
                spec.clone()
            }
        };
        *window = NamedWindowExpr::WindowSpec(spec.clone());
        if known.insert(normal(name), spec).is_some() {
            return Err(format!("window {name}: it is defined twice in one WINDOW clause"));
        }
    }
    Ok(known)
}

/// Looks for a function that is over a window by name.
struct Looks;

impl VisitorMut for Looks {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let has_name = match &function.over {
            Some(WindowType::NamedWindow(_)) => true,
            Some(WindowType::WindowSpec(spec)) => spec.window_name.is_some(),
            None => false,
        };
        if has_name { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn written_out(over: &mut WindowType, known: &Windows) -> Result<(), String> {
    match over {
        WindowType::NamedWindow(name) => {
            let spec = found(name, known)?.clone();
            *over = WindowType::WindowSpec(spec);
            Ok(())
        }
        WindowType::WindowSpec(spec) => refine(spec, known),
    }
}

/// Puts what a window takes from the one that it names in the place of the name.
fn refine(spec: &mut WindowSpec, known: &Windows) -> Result<(), String> {
    let Some(name) = spec.window_name.take() else { return Ok(()) };
    let base = found(&name, known)?;
    if base.window_frame.is_some() {
        return Err(format!(
            "window {name}: it has a frame, so it can only be used as it is, with OVER {name} and \
             no parentheses"
        ));
    }
    if !spec.partition_by.is_empty() {
        return Err(format!(
            "window {name}: a window that refines it has its PARTITION BY, and cannot have another"
        ));
    }
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    } else if !base.order_by.is_empty() {
        return Err(format!(
            "window {name}: a window that refines it has its ORDER BY, and cannot have another"
        ));
    }
    spec.partition_by.clone_from(&base.partition_by);
    Ok(())
}

fn found<'a>(name: &Ident, known: &'a Windows) -> Result<&'a WindowSpec, String> {
    known.get(&normal(name)).ok_or_else(|| {
        format!(
            "window {name}: the WINDOW clause of its SELECT does not define it, or only after a window \
             that refers to it"
        )
    })
}

fn normal(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::sql::parser::{DFParser, Statement};

    use crate::sound::put_right;

    fn parsed(text: &str) -> Statement {
        DFParser::parse_sql(text).unwrap().pop_front().unwrap()
    }

    fn check(text: &str, expected: &str) {
        let mut statement = parsed(text);
        put_right(&mut statement).unwrap_or_else(|told| panic!("{text}: {told}"));
        assert_eq!(statement.to_string(), parsed(expected).to_string(), "{text}");
    }

    fn refused(text: &str) -> String {
        put_right(&mut parsed(text)).unwrap_err()
    }

    #[test]
    fn a_window_has_what_it_refines() {
        check(
            "SELECT sum(x) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), sum(x) OVER (W) FROM t \
             WINDOW w AS (PARTITION BY k ORDER BY id)",
            "SELECT sum(x) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), \
             sum(x) OVER (PARTITION BY k ORDER BY id) FROM t \
             WINDOW w AS (PARTITION BY k ORDER BY id)",
        );
        check(
            "SELECT 1 + sum(x) OVER (w ORDER BY id DESC) FROM t WINDOW w AS (PARTITION BY k)",
            "SELECT 1 + sum(x) OVER (PARTITION BY k ORDER BY id DESC) FROM t \
             WINDOW w AS (PARTITION BY k)",
        );
        check(
            "EXPLAIN SELECT sum(x) OVER (w ROWS 1 PRECEDING) FROM t WINDOW w AS (ORDER BY id)",
            "EXPLAIN SELECT sum(x) OVER (ORDER BY id ROWS 1 PRECEDING) FROM t WINDOW w AS (ORDER BY id)",
        );
    }

    #[test]
    fn a_named_window_refines_one_before_it() {
        check(
            "SELECT sum(x) OVER v, sum(x) OVER (u ROWS 2 PRECEDING) FROM t \
             WINDOW w AS (PARTITION BY k), v AS (w ORDER BY id ROWS 1 PRECEDING), u AS (w ORDER BY x)",
            "SELECT sum(x) OVER (PARTITION BY k ORDER BY id ROWS 1 PRECEDING), \
             sum(x) OVER (PARTITION BY k ORDER BY x ROWS 2 PRECEDING) FROM t \
             WINDOW w AS (PARTITION BY k), v AS (PARTITION BY k ORDER BY id ROWS 1 PRECEDING), \
             u AS (PARTITION BY k ORDER BY x)",
        );
        check(
            "SELECT sum(x) OVER v FROM t WINDOW w AS (ORDER BY id ROWS 1 PRECEDING), v AS w",
            "SELECT sum(x) OVER (ORDER BY id ROWS 1 PRECEDING) FROM t \
             WINDOW w AS (ORDER BY id ROWS 1 PRECEDING), v AS (ORDER BY id ROWS 1 PRECEDING)",
        );
    }

    #[test]
    fn all_of_a_select_has_its_windows() {
        check(
            "SELECT x FROM t WINDOW w AS (PARTITION BY k) QUALIFY sum(x) OVER w > 1 \
             ORDER BY sum(x) OVER (w ORDER BY id)",
            "SELECT x FROM t WINDOW w AS (PARTITION BY k) QUALIFY sum(x) OVER (PARTITION BY k) > 1 \
             ORDER BY sum(x) OVER (PARTITION BY k ORDER BY id)",
        );
    }

    #[test]
    fn each_select_has_its_own_windows() {
        check(
            "WITH c AS (SELECT sum(x) OVER w AS x FROM t WINDOW w AS (ORDER BY a)) \
             SELECT sum(x) OVER w, (SELECT max(n) FROM (SELECT sum(y) OVER w AS n FROM u \
             WINDOW w AS (ORDER BY b)) d) FROM c WINDOW w AS (ORDER BY x) \
             UNION ALL SELECT sum(x) OVER (w), 1 FROM t WINDOW w AS (PARTITION BY k)",
            "WITH c AS (SELECT sum(x) OVER (ORDER BY a) AS x FROM t WINDOW w AS (ORDER BY a)) \
             SELECT sum(x) OVER (ORDER BY x), (SELECT max(n) FROM (SELECT sum(y) OVER (ORDER BY b) AS n \
             FROM u WINDOW w AS (ORDER BY b)) d) FROM c WINDOW w AS (ORDER BY x) \
             UNION ALL SELECT sum(x) OVER (PARTITION BY k), 1 FROM t WINDOW w AS (PARTITION BY k)",
        );
        let inner = "SELECT (SELECT sum(y) OVER w FROM u) FROM t WINDOW w AS (ORDER BY x)";
        assert!(refused(inner).starts_with("window w: the WINDOW clause"));
    }

    #[test]
    fn a_quoted_name_is_as_it_is_written() {
        check(
            "SELECT sum(x) OVER \"W\", sum(x) OVER W FROM t WINDOW w AS (ORDER BY a), \"W\" AS (ORDER BY b)",
            "SELECT sum(x) OVER (ORDER BY b), sum(x) OVER (ORDER BY a) FROM t \
             WINDOW w AS (ORDER BY a), \"W\" AS (ORDER BY b)",
        );
    }

    #[test]
    fn what_cannot_be_refined_is_refused() {
        for (over, window, told) in [
            (
                "(w PARTITION BY a)",
                "w AS (ORDER BY id)",
                "window w: a window that refines it has its PARTITION BY",
            ),
            (
                "(w ORDER BY a)",
                "w AS (ORDER BY id)",
                "window w: a window that refines it has its ORDER BY",
            ),
            ("(w)", "w AS (ORDER BY id ROWS 1 PRECEDING)", "window w: it has a frame"),
            ("v", "w AS (ORDER BY id)", "window v: the WINDOW clause"),
            ("(v ROWS 1 PRECEDING)", "w AS (ORDER BY id)", "window v: the WINDOW clause"),
            ("w", "w AS (v), v AS (ORDER BY id)", "window v: the WINDOW clause"),
            ("w", "w AS (w)", "window w: the WINDOW clause"),
            ("w", "w AS (ORDER BY sum(x) OVER w)", "window w: a function inside its definition"),
            ("w", "w AS (ORDER BY id), W AS (ORDER BY x)", "window W: it is defined twice"),
        ] {
            let text = format!("SELECT sum(x) OVER {over} FROM t WINDOW {window}");
            let error = refused(&text);
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }

    #[test]
    fn other_statements_stay() {
        for text in [
            "SELECT sum(x) OVER (PARTITION BY k ORDER BY id ROWS 1 PRECEDING), count(*) FROM t",
            "SELECT sum(x) OVER () FROM t WINDOW w AS (ORDER BY id)",
            "VALUES (1), (2) ORDER BY 1",
        ] {
            check(text, text);
        }
    }
}
