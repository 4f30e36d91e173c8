//! Limits for functions that can produce much memory from little text, and arithmetic that does not wrap around.
//!
//! ```text
//!  repeat('x', 2000000000)   few letters, two gigabytes: allocated at once, by no operator that reserves memory,
//!                            and already while the statement is planned, because it is a constant
//!  repeat ──> Bounded { repeat }   same name, types and answers; over the limit an error and no allocation
//! ```
//!
//! The planner and the workers build their sessions with [`session_builder`]. A plan names its functions, and each
//! side looks them up.

mod as_is;
mod bounded;
mod budget;
mod sizes;
mod sums;
mod texts;
mod values;
mod whole;

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;

pub use self::as_is::as_is;
use self::bounded::{Bounded, Estimate};
pub use self::budget::{MOST_BYTES, MOST_CONSTANT_BYTES, within_constants};
pub(crate) use self::sizes::average;
use self::sums::sum;
use self::whole::all_checked;
pub use self::whole::{checked, is_checked};

/// The functions with a limit, each with how many bytes a call produces.
const BOUNDED: &[(&str, Estimate)] = &[
    ("repeat", texts::repeat),
    ("lpad", texts::pad),
    ("rpad", texts::pad),
    ("replace", texts::replace),
    ("regexp_replace", texts::regexp_replace),
    ("concat", texts::concat),
    ("concat_ws", texts::concat),
    ("encode", texts::encode),
    ("array_to_string", texts::array_to_string),
    ("range", values::range),
    ("generate_series", values::range),
    ("array_repeat", values::array_repeat),
    ("array_resize", values::array_resize),
    ("array_concat", values::array_concat),
    // These have none, but ask for the least and most of their argument.
    ("abs", bounded::none),
    ("acos", bounded::none),
    ("acosh", bounded::none),
    ("asin", bounded::none),
    ("atanh", bounded::none),
    ("cosh", bounded::none),
    ("ln", bounded::none),
    ("log", bounded::none),
    ("log10", bounded::none),
    ("log2", bounded::none),
    ("sqrt", bounded::none),
];

/// The builder of every session: the engine's functions, some of them with a limit, and those of our own.
#[must_use]
pub fn session_builder() -> SessionStateBuilder {
    let mut builder = SessionStateBuilder::new().with_default_features();
    if let Some(functions) = builder.scalar_functions() {
        for function in functions.iter_mut() {
            if let Some((_, estimate)) = BOUNDED.iter().find(|(name, _)| *name == function.name()) {
                *function = bounded(function, *estimate);
            }
        }
        functions.push(as_is());
        functions.extend(all_checked());
    }
    if let Some(functions) = builder.aggregate_functions() {
        for function in functions.iter_mut().filter(|function| function.name() == "sum") {
            *function = sum();
        }
    }
    builder
}

/// A session with the engine's functions, some of them with a limit, and with default settings.
#[must_use]
pub fn session() -> SessionState {
    session_builder().build()
}

fn bounded(function: &Arc<ScalarUDF>, estimate: Estimate) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Bounded::new(Arc::clone(function.inner()), estimate)))
}

#[cfg(test)]
mod tests;
