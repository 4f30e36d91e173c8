//! Test tools for the protocol: a store that fails on request, a clock that the test moves, and the test suite that
//! every store must pass.
//!
//! ```text
//!   fault        FaultStore (lost responses, 409s, late writes) and ManualClock
//!   far          an S3 server whose answers take as long as those of Amazon S3, and the chains of requests
//!   lambda       AWS Lambda: its Invoke API and Runtime API, with functions as processes that are frozen and killed
//!   role         who gives a process the credentials of a role
//!   conformance  one suite for memory, a folder and S3 servers: tests/conformance*.rs
//!   tests/life   the protocol with workers that compute nothing
//!   tests/collect   what ended queries have left goes, and nothing else
//!   tests/model  the protocol as a model, in all its states
//! ```
//! The deterministic simulation of whole processes will be added here.

pub mod conformance;
pub mod far;
pub mod fault;
pub mod lambda;
pub mod role;
