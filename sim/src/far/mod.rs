//! A store that is far away: an S3 server whose answers take as long as those of Amazon S3.
//!
//! ```text
//!   gateway, workers ──> Proxy ──────────────────────────> S3 server on this machine
//!                          ├── latency   how long an answer takes, and how fast a body is
//!                          └── chain     which requests waited for which others
//! ```
//! [`Wire`] is another proxy, which tears connections.
//!
//! A folder answers in microseconds, so it hides what a protocol costs: the requests that wait for one another. The
//! proxy shows it on one machine. Its delays come from a seed and from published distributions.

pub mod chain;
pub mod latency;
pub mod proxy;
pub mod wire;

pub use chain::{Span, longest_chain, spans};
pub use latency::{Latency, Profile};
pub use proxy::{Proxy, Seen};
pub use wire::{Tears, Torn, Wire};
