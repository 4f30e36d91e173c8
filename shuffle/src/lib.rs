//! The exchange: how rows get from one stage to the next when no two workers ever talk.
//!
//! A producer's task sorts its rows into **buckets** and writes them, bucket after bucket, into as few
//! objects as it can; its commit record says where each bucket's **slice** lies. A consumer's
//! partition `j` then reads bucket `j` of every producer task with exactly one ranged GET a slice.
//!
//! ```text
//!  producer task 0                       consumer partition 1
//!  <prefix>/data/…/0.arrow               ExchangeReaderExec: stage=0, partitions=3
//! ┌──────────────────────────────┐
//! │ bucket 0: one IPC stream     │
//! ├── pad to 64 ─────────────────┤
//! │ bucket 1: one IPC stream     │ ─GET bytes=a-b─┐
//! ├── pad to 64 ─────────────────┤                │   task 0's rows of bucket 1,
//! │ bucket 2: one IPC stream     │                ├─> then task 1's, …
//! └──────────────────────────────┘                │   (within a task: part after part)
//!  producer task 1                                │
//!  ┌──────────┬──────────┬───────┐                │
//!  │ bucket 0 │ bucket 1 │ …     │ ───GET─────────┘
//!  └──────────┴──────────┴───────┘
//! ```
//!
//! What it promises:
//! * An object holds at most about `part_bytes` of data and costs one PUT; a task never writes an object per bucket.
//! * A slice starts at a multiple of 64 bytes, so that uncompressed buffers are used where they were received.
//! * Rows keep their order inside a bucket of a task. Rows without columns keep their number.
//! * A slice is used only after its length and its XXH3 agree with the seal. Anything else is a typed error.
//! * Memory is bounded: a writer reserves what it holds and writes a part early when it is refused; a
//!   process fetches at most 48 MiB at a time, a partition runs at most 4 slices ahead.
//! * Small outputs need no object: they travel inside the commit record.

mod batch;
mod buckets;
mod children;
mod conform;
mod error;
mod filter;
mod format;
mod governor;
mod index;
mod key_filter;
mod reader;
mod source;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::conform;
pub use conform::ConformExec;
pub use error::ShuffleError;
pub use filter::KeyFilterExec;
pub use format::{Compression, SLICE_ALIGN, SliceDecoder, StreamEncoder, checksum, decode_slice};
pub use governor::{ReadGovernor, ReadLimits};
pub use index::StageData;
pub use key_filter::KeyFilter;
pub use reader::ExchangeReaderExec;
pub use source::{ExchangeInputs, ReadCounters};
pub use writer::{Buckets, DataTarget, KeyOf, TaskWriter, WriterOptions};

/// What every function of this crate returns.
pub type Result<T, E = ShuffleError> = std::result::Result<T, E>;

/// The store path of `key`, which is relative to `prefix`.
pub(crate) fn object_path(
    prefix: &object_store::path::Path,
    key: &str,
) -> object_store::path::Path {
    let key = object_store::path::Path::from(key);
    prefix.parts().chain(key.parts()).collect()
}
