//! What the commands for people say to a gateway: SQL in, Arrow out.

mod problem;
mod rows;
mod status;
mod talk;

pub(crate) use problem::{About, Position, Problem};
pub(crate) use rows::Rows;
pub(crate) use status::{Progress, Status};
pub(crate) use talk::{Link, Reply, Request, Taken, in_gateway};
