//! What is known where a statement is planned.

use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use dunlin_config::distance;

use crate::snapshots::SnapshotSchema;

/// The most names that are suggested.
const NEAREST: usize = 3;

/// What is known where a statement is planned.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scene<'a> {
    /// The text of the statement.
    pub(crate) sql: &'a str,
    /// The session, with its functions.
    pub(crate) state: Option<&'a SessionState>,
    /// The names of all tables, read or not.
    pub(crate) tables: &'a [String],
    /// The tables that the statement names.
    pub(crate) named: &'a [TableReference],
    /// The tables whose rows are no files.
    pub(crate) snapshots: &'a [SnapshotSchema],
}

impl Scene<'_> {
    /// The names of all functions, in order.
    pub(super) fn functions(&self) -> Vec<&str> {
        let Some(state) = self.state else { return Vec::new() };
        let mut names: Vec<&str> = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .chain(state.higher_order_functions().keys())
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The names that are most like `name`, the nearest first.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let letters = name.chars().count();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|other| {
            let small = other.to_lowercase();
            let most = letters.max(small.chars().count()) / 3;
            let distance = distance(&name, &small);
            // What begins alike is near, too: o_date and o_orderdate are not, order and orders_2024 are.
            let begins = letters >= 4 && small.starts_with(&name);
            if distance <= most {
                Some((distance, other))
            } else {
                begins.then_some((most + 1, other))
            }
        })
        .collect();
    near.sort();
    near.dedup();
    // What is much farther than the nearest was not meant.
    let most = near.first().map_or(0, |(least, _)| least + 1);
    near.retain(|(distance, _)| *distance <= most);
    near.into_iter().map(|(_, name)| name).take(NEAREST).collect()
}

/// `; did you mean a, b or c?`, or nothing.
pub(crate) fn did_you_mean(names: &[&str]) -> Option<String> {
    Some(format!("did you mean {}?", one_of(names)?))
}

/// `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> Option<String> {
    let (last, others) = names.split_last()?;
    if others.is_empty() {
        return Some((*last).to_owned());
    }
    Some(format!("{} or {last}", others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_far_ones_not_at_all() {
        let known = ["orders", "lineitem", "customer", "orders_2024", "part", "partsupp"];
        assert_eq!(nearest("ordres", known), ["orders"]);
        assert_eq!(nearest("ORDERS", known), ["orders"]);
        assert_eq!(nearest("parts", known), ["part"]);
        assert_eq!(nearest("cust", known), ["customer"]);
        assert!(nearest("x", ["y"]).is_empty());
        assert!(nearest("nation", known).is_empty());
        assert_eq!(did_you_mean(&["a", "b", "c"]).as_deref(), Some("did you mean a, b or c?"));
        assert_eq!(did_you_mean(&[]), None);
    }
}
