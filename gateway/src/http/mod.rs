//! The HTTP face: requests into statements, answers into JSON, JSON lines, CSV and Arrow.

mod answer;
mod encode;
mod problem;
mod request;
mod respond;
mod routes;
mod status;

pub use problem::{ApiError, Position, Problem};
pub use request::{Format, MAX_BODY_BYTES, MAX_WAIT};
pub(crate) use routes::{Face, router};
