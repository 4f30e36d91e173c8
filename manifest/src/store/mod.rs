//! The object store as the protocol needs it.
//!
//! ```text
//!   control         the requests of the protocol, and the promises that it needs from a store
//!   object          those requests over `object_store`
//!   create          the two kinds of create: decisions (nonce, read back), derived records (same bytes)
//!   probe           can this store be used for coordination?
//!   meter, pinned   views of a store: one counts requests, one reads inputs in one version only
//!   hedge           another view: a request whose answer is late is sent once more
//! ```

pub mod control;
pub mod create;
pub mod hedge;
pub mod meter;
pub mod object;
pub mod pinned;
pub mod probe;

pub use control::{Changed, ControlStore, Got, MAX_RECORD, Put, REQUEST_BUDGET, StoreError};
pub use object::{ObjectControlStore, below};

pub use crate::model::view::Listed;
