//! Changes to a plan between DataFusion and the cut, with one pass in each file.
//!
//! A plan stays executable after every pass, and gives the same rows.

mod best_first;
mod clustered;
mod conform_unions;
mod filter_barriers;
mod first_rows;
mod guarded;
mod honest_orders;
mod nested_top;
mod reorder_joins;
mod rewrite;
mod rules;
mod split_joins;
mod sure_ranges;
mod top_files;
mod whole_files;

pub(crate) use clustered::together;
pub(crate) use reorder_joins::expected_rows;
pub(crate) use rules::optimizer_rules;
pub(crate) use split_joins::split_joins;
pub(crate) use sure_ranges::sure;
