//! The children of an operator, as a fixed number.

use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

/// Exactly `N` values, one for each child.
///
/// # Errors
/// There are more or fewer than `N`.
pub fn only<const N: usize, T>(operator: &str, given: Vec<T>) -> Result<[T; N]> {
    let count = given.len();
    given
        .try_into()
        .map_err(|_| internal_datafusion_err!("{operator} has {N} children and is given {count}"))
}
