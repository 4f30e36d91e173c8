//! The proving ground of the protocol: a store that misbehaves on purpose, a clock that moves when told, and
//! the behavioural suite that every store must pass.
//!
//! ```text
//!   fault        FaultStore (lost responses, 409s, late landings) and ManualClock
//!   conformance  one suite for memory, a folder and S3 servers: tests/conformance*.rs
//!   tests/life   the protocol's life with workers that compute nothing
//! ```
//! The deterministic simulation of whole processes will live here too.

pub mod conformance;
pub mod fault;
