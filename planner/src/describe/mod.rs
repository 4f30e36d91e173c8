//! Describes plans as text, completely. The text is used to compare a decoded plan with the original, and to find
//! equal stages. It is not for people, who see the engine's own display.

mod expressions;
mod node;

pub(crate) use expressions::debug;
pub(crate) use node::{node, text, without_schemas};
