//! The HTTP interface: requests become statements, and answers become JSON, JSON lines, CSV, Arrow, Parquet or text.
//!
//! ```text
//!   endpoints ──┬──> routes: the router                     one list, so that none can miss a route of the other
//!               └──> openapi: the document ──> pages
//! ```

mod about;
mod answer;
mod asking;
mod carried;
mod compress;
mod elsewhere;
mod encode;
mod endpoints;
mod events;
mod face;
mod fields;
mod format;
mod guard;
mod openapi;
mod pages;
mod pass;
mod problem;
mod queries;
mod refusal;
mod request;
mod respond;
mod routes;
mod seen;
mod server;
mod site;
mod statements;
mod status;
mod table;
mod wake;

pub(crate) use about::About;
pub(crate) use compress::OPAQUE;

pub(crate) use face::Face;
pub use format::Format;
pub(crate) use guard::{Caller, Guard, Peer};
pub(crate) use pass::{ACKNOWLEDGED, PASS, SEGMENTS, pass};
pub use problem::{ApiError, Position, Problem};
pub use refusal::Refusal;
pub use request::MAX_WAIT;
pub(crate) use request::wants_fresh;
pub(crate) use respond::answer_json;
pub(crate) use routes::{Beside, router};
pub(crate) use server::Server;
