//! The records of the protocol: what is written down, and by whom it may be written.
//!
//! ```text
//!  root ──> s0/m ──> claim ──> commit ──> (gseal) ──> s0/seal ──> s1/m ──> … ──> end
//!  decision derived  decision  decision   derived     derived     derived       decision
//! ```
//!
//! A **decision** carries a fresh nonce; a **derived** record is a pure function of records already
//! written and has canonical bytes (`serde_json` over structs with a fixed field order; maps are
//! `BTreeMap`), so that two writers write the same object.
//!
//! Every record is JSON: a query can be debugged from its objects with nothing but a pager.

pub mod attempt;
pub mod end;
pub mod root;
pub mod seal;
pub mod stage;

pub use attempt::{
    Claim, Commit, DataObject, Fail, FailClass, Requests, Slice, TaskMetrics, TaskOutput,
};
pub use end::{End, EndStatus, QueryError, Summary};
pub use root::{EngineFence, Idem, Limits, Pin, ResultSpec, Root};
pub use seal::{GroupSeal, Seal, SealedTask};
pub use stage::{
    Broadcast, InputMode, Output, Share, StageInput, StageManifest, StageSpec, TaskSpec,
};

pub use crate::model::encoding::RECORD_VERSION;
pub use crate::model::error_code::ErrorCode;
pub use crate::model::ids::{Attempt, StageId, TaskId};
pub use crate::model::route::Route;
