//! A stage's plan on the wire.
//!
//! datafusion-proto encodes the plan. It encodes some operators incorrectly. Those are encoded in another form, which
//! restores them completely:
//!
//! | operator | what its own wire form loses | what is encoded instead |
//! |---|---|---|
//! | window functions | `FILTER`, `IGNORE NULLS` of lag and similar functions, reversal, whether a frame is causal | the function before the reversal, with these facts ([`windows`]) |
//! | `generate_series`, `range` | the order of their rows; that no column is wanted | the operator with its column, with these facts ([`series`]) |
//! | scans of text | compression of whole files, JSON arrays | the scan, with these facts beside the plan ([`scans`]) |
//!
//! Before a stage is encoded, the planner wraps each such operator but a scan in a [`WireExec`], which the extension codec
//! encodes. Decoding gives the operator itself.

mod codec;
mod object;
pub mod scans;
mod schema;
pub mod series;
pub mod windows;
mod wrapped;

pub use codec::DunlinCodec;
pub use object::{PlanObject, decode, encode};
pub use schema::{schema_from_text, schema_to_text};
pub use wrapped::WireExec;
