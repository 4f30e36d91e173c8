//! The children of an operator, as many as it has.

use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

/// Exactly `N` of something that each child gives.
///
/// # Errors
/// There are more or fewer.
pub(crate) fn only<const N: usize, T>(operator: &str, given: Vec<T>) -> Result<[T; N]> {
    let count = given.len();
    given
        .try_into()
        .map_err(|_| internal_datafusion_err!("{operator} has {N} children and is given {count}"))
}
