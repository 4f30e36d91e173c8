//! The object store as the protocol needs it.
//!
//! ```text
//!   control         the requests of the protocol, and what it needs a store to promise
//!   object          those requests over `object_store`
//!   create          the two creates: decisions (nonce, read back) and derived records (same bytes)
//!   probe           is this store fit to decide anything?
//!   meter, pinned   views of a store: one that counts, one that reads inputs in one version only
//! ```

pub mod control;
pub mod create;
pub mod meter;
pub mod object;
pub mod pinned;
pub mod probe;

pub use control::{Changed, ControlStore, Got, MAX_RECORD, Put, REQUEST_BUDGET, StoreError};
pub use object::ObjectControlStore;

pub use crate::model::view::Listed;
