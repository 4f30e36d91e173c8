//! The rules of the physical optimiser, and their order.
//!
//! ```text
//!  conform_unions, honest_orders, top_files,
//!  reorder_joins,                             DataFusion's own rules …
//!                                             raise_barriers, FilterPushdown, remove_barriers
//!                                                                                             guarded, sure_ranges,
//!                                                                                             nested_top, whole_files,
//!                                                                                             clustered, best_first
//! ```

use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use crate::passes::rewrite::Rule;
use crate::passes::{
    best_first, clustered, conform_unions, filter_barriers, guarded, honest_orders, nested_top,
    reorder_joins, sure_ranges, top_files, whole_files,
};

/// The rules of the physical optimiser: DataFusion's own rules, and Dunlin's rules that keep answers exact.
pub(crate) fn optimizer_rules() -> Vec<Rule> {
    // First, before any other rule moves the casts of unions.
    let mut rules = vec![
        conform_unions::rule(),
        honest_orders::rule(),
        top_files::rule(),
        // Before any rule chooses how joins are run.
        reorder_joins::rule(),
    ];
    for rule in PhysicalOptimizer::new().rules {
        let pushes = rule.name().starts_with("FilterPushdown");
        if pushes {
            rules.push(filter_barriers::raise());
        }
        rules.push(rule);
        if pushes {
            rules.push(filter_barriers::remove());
        }
    }
    rules.push(guarded::rule());
    rules.push(sure_ranges::rule());
    rules.push(nested_top::rule());
    // Last, when files no longer move between partitions.
    rules.push(whole_files::rule());
    rules.push(clustered::rule());
    rules.push(best_first::rule());
    rules
}
