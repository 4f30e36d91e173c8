//! The data types of the protocol: records, keys, ids, and how records are encoded. This module has only types: it
//! decides nothing and sends no request to a store.
//!
//! ```text
//!   ids ─> records ─> encoding          what is written, byte for byte
//!     └──> keys ────> view              under which name, and what a LIST of names shows
//!   route, error_code                   words that records and protocols share
//!   trace                               the ids under which traces name queries, stages and attempts
//!   vouch                               the code by which a gateway vouches for a query
//! ```
//! Every other module of the crate uses this one. This module uses no other module of the crate.

pub mod encoding;
pub mod error_code;
pub mod ids;
pub mod keys;
pub mod records;
pub mod route;
pub mod trace;
pub mod view;
pub mod vouch;

pub use error_code::ErrorCode;
pub use route::Route;
