//! Makes a failing query smaller as long as it fails in the same way.
//!
//! A query has a numbered list of places where it can be reduced. Each is tried in turn. If the reduced query still
//! fails, it is kept, and the next try starts at the same place. So parts are removed from the outside to the inside.

use std::future::Future;

use crate::random::ast::{Body, Call, Expr, Grouping, Query, Relation, Select, Type};

/// Most tries for one failing query.
pub(crate) const TRIES: usize = 500;

/// The smallest query found for which `fails` holds, as it holds for `query`.
pub(crate) async fn shrink<F>(query: Query, mut fails: impl FnMut(Query) -> F) -> Query
where
    F: Future<Output = bool>,
{
    let mut best = query;
    let mut tries = 0;
    loop {
        let mut place = 0;
        let mut smaller = false;
        while tries < TRIES {
            let mut candidate = best.clone();
            let mut chisel = Chisel { left: place, done: false };
            chisel.query(&mut candidate);
            if !chisel.done {
                break;
            }
            tries += 1;
            if fails(candidate.clone()).await {
                best = candidate;
                smaller = true;
            } else {
                place += 1;
            }
        }
        if !smaller || tries >= TRIES {
            return best;
        }
    }
}

/// Walks a query and reduces it at one place.
struct Chisel {
    /// Number of places to skip.
    left: usize,
    done: bool,
}

impl Chisel {
    /// Whether this is the place to reduce.
    fn here(&mut self) -> bool {
        if self.done {
            return false;
        }
        if self.left == 0 {
            self.done = true;
            return true;
        }
        self.left -= 1;
        false
    }

    fn query(&mut self, query: &mut Query) {
        for inner in parts(query) {
            if self.here() {
                let mut inner = inner;
                // It may name a CTE of the whole query.
                let mut ctes = std::mem::take(&mut query.ctes);
                ctes.retain(|(_, cte)| *cte != inner);
                ctes.append(&mut inner.ctes);
                *query = Query { ctes, ..inner };
                return;
            }
        }
        for at in 0..query.ctes.len() {
            if self.here() {
                query.ctes.remove(at);
                return;
            }
        }
        if query.limit.is_some() && self.here() {
            query.limit = None;
        }
        if query.offset.is_some() && self.here() {
            query.offset = None;
        }
        // A limit is determined only under a total order.
        let free = query.limit.is_none() && query.offset.is_none();
        if free && !query.order.is_empty() && self.here() {
            query.order.clear();
        }
        match &mut query.body {
            Body::Select(select) => {
                for at in 0..select.items.len() {
                    if select.items.len() > 1 && self.here() {
                        let (_, name) = select.items.remove(at);
                        query.order.retain(|key| key.expr.to_string() != name);
                        return;
                    }
                }
                self.select(select);
            }
            Body::Set { left, right, .. } => {
                self.columns(left, right);
                self.query(left);
                self.query(right);
            }
        }
        for (_, cte) in &mut query.ctes {
            self.query(cte);
        }
    }

    /// Removes a column of both branches.
    fn columns(&mut self, left: &mut Query, right: &mut Query) {
        let (Body::Select(one), Body::Select(two)) = (&mut left.body, &mut right.body) else {
            return;
        };
        if one.items.len() != two.items.len() {
            return;
        }
        for at in 0..one.items.len() {
            if one.items.len() > 1 && self.here() {
                let (_, name) = one.items.remove(at);
                left.order.retain(|key| key.expr.to_string() != name);
                let (_, name) = two.items.remove(at);
                right.order.retain(|key| key.expr.to_string() != name);
                return;
            }
        }
    }

    // Long, because it is a list: one part of a SELECT after the other.
    /// Long because it is one list of ways to shrink.
    fn select(&mut self, select: &mut Select) {
        for at in (0..select.from.len()).rev() {
            if select.from.len() > 1 && self.here() {
                let gone = select.from.remove(at);
                if let Some(first) = select.from.first_mut() {
                    first.on = None;
                }
                // Without the relation, its columns cannot make rows different.
                for (item, _) in &mut select.items {
                    unordered_by(item, &|key| key.is_of(&gone.alias));
                }
                return;
            }
        }
        if select.filter.is_some() && self.here() {
            select.filter = None;
        }
        if select.having.is_some() && self.here() {
            select.having = None;
        }
        if select.distinct && self.here() {
            select.distinct = false;
        }
        if let Some(groups) = &mut select.groups {
            if groups.form != Grouping::Plain && self.here() {
                groups.form = Grouping::Plain;
            }
            if let Grouping::Sets(sets) = &mut groups.form {
                for at in 0..sets.len() {
                    if sets.len() > 1 && self.here() {
                        sets.remove(at);
                        return;
                    }
                }
            } else {
                for at in 0..groups.keys.len() {
                    if self.here() {
                        let gone = groups.keys.remove(at);
                        for (item, _) in &mut select.items {
                            unordered_by(item, &|key| *key == gone);
                        }
                        return;
                    }
                }
            }
        }
        for join in &mut select.from {
            if !matches!(join.kind, "" | "JOIN" | "CROSS JOIN") && self.here() {
                join.kind = "JOIN";
            }
            match &mut join.relation {
                Relation::Derived(query) | Relation::Lateral(query) => self.query(query),
                Relation::Values(rows) => {
                    for at in 0..rows.len() {
                        if rows.len() > 1 && self.here() {
                            rows.remove(at);
                            break;
                        }
                    }
                }
                Relation::Table(_) => {}
            }
            if let Some(on) = &mut join.on {
                self.expr(on);
            }
        }
        let one_row = select.groups.as_ref().is_some_and(|groups| groups.keys.is_empty());
        for (item, _) in &mut select.items {
            match item {
                // Without its aggregate the query would have as many rows as its input.
                Expr::Call(call) if one_row => self.call(call),
                item => self.expr(item),
            }
        }
        for condition in select.filter.iter_mut().chain(&mut select.having) {
            self.expr(condition);
        }
        for key in select.groups.iter_mut().flat_map(|groups| &mut groups.keys) {
            // A literal would be the position of a column.
            if let Expr::Node { args, .. } = key {
                for arg in args {
                    self.expr(arg);
                }
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        if expr.is_literal() {
            return;
        }
        for plain in expr.kind().plainest() {
            if self.here() {
                *expr = plain;
                return;
            }
        }
        let kind = expr.kind();
        let inner: Vec<Expr> = match expr {
            Expr::Node { args, .. } | Expr::Subquery { args, .. } => args.clone(),
            Expr::Call(call) => call.args.clone(),
            Expr::Literal { .. } | Expr::Column { .. } => return,
        };
        for inner in inner.into_iter().filter(|inner| inner.kind() == kind) {
            if self.here() {
                *expr = inner;
                return;
            }
        }
        match expr {
            Expr::Node { args, .. } => args.iter_mut().for_each(|arg| self.expr(arg)),
            Expr::Subquery { args, query, .. } => {
                args.iter_mut().for_each(|arg| self.expr(arg));
                self.query(query);
            }
            Expr::Call(call) => self.call(call),
            Expr::Literal { .. } | Expr::Column { .. } => {}
        }
    }

    fn call(&mut self, call: &mut Call) {
        if call.filter.is_some() && self.here() {
            call.filter = None;
        }
        if call.distinct && self.here() {
            call.distinct = false;
        }
        if call.ignore_nulls && self.here() {
            call.ignore_nulls = false;
        }
        if let Some(over) = &mut call.over {
            if !over.frame.is_empty() && self.here() {
                over.frame.clear();
            }
            for at in 0..over.partition.len() {
                if self.here() {
                    over.partition.remove(at);
                    return;
                }
            }
            if over.any_order && over.frame.is_empty() && !over.order.is_empty() && self.here() {
                over.order.clear();
            }
            // The order itself stays, because without it the answer would not be determined.
            for key in &mut over.order {
                if (key.descending || key.nulls_first) && self.here() {
                    (key.descending, key.nulls_first) = (false, false);
                }
            }
        }
        match (call.order.as_mut_slice(), call.args.as_mut_slice()) {
            ([], args) => args.iter_mut().for_each(|arg| self.expr(arg)),
            // It is ordered by the argument, so both change together.
            ([key], [arg, ..]) if key.expr == *arg => {
                self.expr(arg);
                key.expr = arg.clone();
            }
            _ => {}
        }
        if let Some(filter) = &mut call.filter {
            self.expr(filter);
        }
    }
}

/// Every query inside, because it may fail alone.
fn parts(query: &Query) -> Vec<Query> {
    let mut parts: Vec<Query> = query.ctes.iter().map(|(_, cte)| cte.clone()).collect();
    match &query.body {
        Body::Set { left, right, .. } => {
            parts.extend([left.as_ref().clone(), right.as_ref().clone()]);
        }
        Body::Select(select) => {
            for join in &select.from {
                if let Relation::Derived(query) = &join.relation {
                    parts.push(query.as_ref().clone());
                }
            }
            if let Some(condition) = &select.filter {
                subqueries(condition, &mut parts);
            }
        }
    }
    parts
}

fn subqueries(expr: &Expr, found: &mut Vec<Query>) {
    match expr {
        Expr::Subquery { query, .. } => found.push(query.as_ref().clone()),
        Expr::Node { args, .. } => args.iter().for_each(|arg| subqueries(arg, found)),
        Expr::Call(_) | Expr::Literal { .. } | Expr::Column { .. } => {}
    }
}

/// Removes keys from the orders of windows and aggregates.
fn unordered_by(expr: &mut Expr, gone: &dyn Fn(&Expr) -> bool) {
    match expr {
        Expr::Node { args, .. } => args.iter_mut().for_each(|arg| unordered_by(arg, gone)),
        Expr::Call(call) => {
            if call.order.len() > 1 {
                call.order.retain(|key| !gone(&key.expr));
            }
            if let Some(over) = &mut call.over
                && over.order.len() > 1
            {
                over.order.retain(|key| !gone(&key.expr));
            }
            call.args.iter_mut().for_each(|arg| unordered_by(arg, gone));
        }
        Expr::Subquery { .. } | Expr::Literal { .. } | Expr::Column { .. } => {}
    }
}

/// Whether every column of the answer is in its ORDER BY, so that the order of rows is determined.
pub(crate) fn is_ordered(query: &Query) -> bool {
    let columns = query.outputs();
    !query.order.is_empty()
        && query.order.len() == columns.len()
        && columns.iter().all(|(_, kind)| *kind != Type::List)
}
