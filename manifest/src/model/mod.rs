//! What the protocol is made of: records, keys, ids, and how records become bytes. Types only: no decision and no
//! request to a store.
//!
//! ```text
//!   ids ─> records ─> encoding          what is written down, byte for byte
//!     └──> keys ────> view              under which name, and what a LIST of names tells
//!   route, error_code                   words that records and faces share
//! ```
//! Everything else in the crate rests on this module, and it rests on nothing else in the crate.

pub mod encoding;
pub mod error_code;
pub mod ids;
pub mod keys;
pub mod records;
pub mod route;
pub mod view;

pub use error_code::ErrorCode;
pub use route::Route;
