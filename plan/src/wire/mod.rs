//! A stage's plan on the wire.
//!
//! datafusion-proto writes the plan. Some operators it writes down wrongly; these travel in a form that brings
//! them back whole:
//!
//! | operator | what its own wire form loses | what travels instead |
//! |---|---|---|
//! | window functions | `FILTER`, `IGNORE NULLS` of lag and its kin, reversal, whether a frame is causal | the function as it was before the reversal, with these facts beside it ([`windows`]) |
//! | `generate_series`, `range` | the order of their rows; that no column is wanted | the operator with its column, with these facts beside it ([`series`]) |
//!
//! Before a stage is encoded, the planner wraps each such operator in a [`WireExec`], for which the extension
//! codec is asked; what is decoded is the operator itself.

mod codec;
mod object;
mod schema;
pub mod series;
pub mod windows;
mod wrapped;

pub use codec::DunlinCodec;
pub use object::{PlanObject, decode, encode};
pub use schema::{schema_from_text, schema_to_text};
pub use wrapped::WireExec;
