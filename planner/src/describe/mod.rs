//! Plans as text, complete: what is compared when a plan comes back from the wire, and what makes two stages
//! one. Not for people, who are shown the engine's own display.

mod expressions;
mod node;

pub(crate) use expressions::debug;
pub(crate) use node::{node, text, without_schemas};
