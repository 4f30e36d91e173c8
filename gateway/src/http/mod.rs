//! The HTTP interface: requests become statements, and answers become JSON, JSON lines, CSV or Arrow.

mod answer;
mod carried;
mod encode;
mod face;
mod guard;
mod problem;
mod refusal;
mod request;
mod respond;
mod routes;
mod seen;
mod server;
mod status;
mod wake;

pub(crate) use face::Face;
pub(crate) use guard::{Guard, Peer};
pub use problem::{ApiError, Position, Problem};
pub use refusal::Refusal;
pub use request::{Format, MAX_WAIT};
pub(crate) use routes::router;
pub(crate) use server::Server;
