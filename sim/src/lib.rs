//! Test tools for the protocol: a store that fails on request, clocks that a test moves, and the test suite that every
//! store must pass.
//!
//! ```text
//!   clock        time that jumps to the next sleeper, on one thread: a run is a function of its seed
//!   hub          what a gateway does for a fleet on that clock
//!   fault        FaultStore (lost responses, 409s, late writes) and ManualClock
//!   far          a wire that tears, and an S3 server whose answers take as long as those of Amazon S3, and the chains of requests
//!   lambda       AWS Lambda: its Invoke API and Runtime API, with functions as processes that are frozen and killed
//!   issuer       an issuer of tokens of OpenID Connect, whose keys change
//!   role         who gives a process the credentials of a role
//!   conformance  one suite for memory, a folder and S3 servers: tests/conformance*.rs
//!   tests/life   the protocol with workers that compute nothing
//!   tests/collect   what ended queries have left goes, and nothing else
//!   tests/model  the protocol as a model, in all its states
//! ```
//! The simulation of whole processes is in `sim/world`, and that of large fleets in `stage-worker/src/fleet`.

pub mod clock;
pub mod conformance;
pub mod far;
pub mod fault;
pub mod hub;
pub mod issuer;
pub mod lambda;
pub mod role;
