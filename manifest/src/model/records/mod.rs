//! The records of the protocol: what they hold, and which process may write them.
//!
//! ```text
//!  root ──> k (claim) ──> c (commit) ──> (group seal) ──> s0/seal ──> k (claim) ──> … ──> end
//!  decision decision      decision       derived         derived      decision           decision
//! ```
//!
//! A **decision** holds a fresh nonce. A **derived** record is a pure function of existing records and has canonical
//! bytes (`serde_json` over structs with a fixed field order; maps are `BTreeMap`), so two writers write the same
//! object.
//!
//! Every record is JSON, so a query can be debugged by reading its objects as text.

pub mod attempt;
pub mod block;
pub mod end;
pub mod root;
pub mod seal;
pub mod stage;

pub use attempt::{
    Claim, Commit, DataObject, Fail, FailClass, Requests, Slice, SlotTime, TaskMetrics, TaskOutput,
    Usage,
};
pub use block::{BlockHead, BlockRow};
pub use end::{End, EndStatus, QueryError, Summary};
pub use root::{Adaptive, EngineFence, Idem, Limits, Pin, ResultSpec, Root, Spend, WriteTarget};
pub use seal::{BlockRef, BucketTotal, Seal, SealTotals, SealedBlocks, SealedTask};
pub use stage::{
    Broadcast, InputMode, Output, Share, StageInput, StageManifest, StageSpec, TaskSpec,
};

pub use crate::model::encoding::RECORD_VERSION;
pub use crate::model::error_code::ErrorCode;
pub use crate::model::ids::{Attempt, StageId, TaskId};
pub use crate::model::route::Route;
