//! The coordination protocol: a query is a set of write-once objects, and this crate is the only place
//! that knows their names, their shapes, and what they allow next.
//!
//! ```text
//!   keys, records         what is written down, and under which name
//!   create                the two creates: decisions (nonce, read back) and derived records (same bytes)
//!   view, decide          what one LIST says, and what follows from it — pure functions
//!   advance, submit       the I/O around them
//!   store, meter, pinned  the object store as the protocol needs it
//!   probe                 is this store fit to decide anything?
//! ```
//!
//! What it promises: however many processes act on a query, in whatever order, dying wherever they like,
//! at most one `end` exists, at most one `commit` of every task, and every process that looks at the same
//! objects comes to the same records. A wrong verdict about who is alive wastes work and changes nothing.

pub mod advance;
pub mod create;
pub mod decide;
pub mod env;
pub mod ids;
pub mod keys;
pub mod meter;
pub mod pinned;
pub mod probe;
pub mod records;
pub mod store;
pub mod submit;
pub mod view;
