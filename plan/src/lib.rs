//! What both ends of a query share: the gateway that plans it, and the workers that run its tasks.
//!
//! ```text
//!   gateway (dunlin-planner)                                worker (dunlin-worker)
//!   SQL ──> stages ──wire::encode──> plan object ──task::open──> a plan that runs
//!                  └─session::settings─> root ──session::config─> the same session
//!                  └─fence::current────> root ──fence::current──> or: not my engine
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`session`] | the settings of a query as text, and the session that they stand for |
//! | [`fence`] | who may compute for a query |
//! | [`wire`] | a stage's plan as bytes, and back |
//! | [`task`] | from a plan object to what one task runs |
//! | [`stores`], [`location`] | the object stores of a process |
//! | [`config`] | the parts of the configuration that both ends read |
//! | [`operators`] | questions that both ends ask about an operator |
//!
//! What this crate promises: a plan that was encoded by one process means the same in another one of the same
//! [`fence`]. It knows no SQL text, no table and no route: those are `dunlin-planner`'s, which no worker
//! links.

pub mod config;
mod error;
pub mod fence;
pub mod guard;
pub mod location;
pub mod operators;
pub mod session;
pub mod stores;
pub mod task;
pub mod wire;

pub use error::{SettingError, StoreError};
