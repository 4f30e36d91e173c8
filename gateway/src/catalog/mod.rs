//! What the catalogs of the interfaces have in common: the tables with their columns, functions with one answer, and the
//! sessions in which statements about them are planned.
//!
//! An interface puts them into a session of its own, in the shape that its clients expect. Their rows are elsewhere: a plan
//! over a catalog reads no table.

mod constant;
mod names;
mod opened;
pub(crate) mod session;

pub(crate) use constant::Constant;
pub(crate) use names::{Names, SystemNames};
pub(crate) use opened::ByGrants;
