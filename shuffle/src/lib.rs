//! The exchange: how rows get from one stage to the next when workers never talk to each other.
//!
//! A task of the producer places its rows in **buckets**. It writes them, bucket after bucket, into as few objects as
//! it can. Its commit record says where the **slice** of each bucket is. Partition `j` of the consumer then reads
//! bucket `j` of every producer task, with exactly one ranged GET for each slice.
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
//! * Rows keep their order inside a bucket of a task. The number of rows is also kept for rows without columns.
//! * A slice is used only after its length and its XXH3 match the seal. Any difference is a typed error.
//! * Memory is limited: a writer reserves what it holds, and writes a part early when more memory is refused. A
//!   process fetches at most 48 MiB at a time, and a partition fetches at most 4 slices in advance.
//! * Small outputs need no object, because they are stored in the commit record.

mod batch;
mod blocks;
mod buckets;
pub mod children;
mod conform;
mod encoder;
mod error;
mod filter;
mod format;
mod governor;
mod index;
mod jobs;
mod key_filter;
mod known_keys;
mod listen;
mod reader;
mod router;
mod source;
mod uploads;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::{alone, conform};
pub use conform::ConformExec;
pub use error::ShuffleError;
pub use filter::KeyFilterExec;
pub use format::{Compression, SLICE_ALIGN, SliceDecoder, StreamEncoder, checksum, decode_slice};
pub use governor::{ReadGovernor, ReadLimits};
pub use index::StageData;
pub use jobs::Jobs;
pub use key_filter::KeyFilter;
pub use known_keys::KnownKeys;
pub use listen::{KeyListenerExec, Listener};
pub use reader::ExchangeReaderExec;
pub use source::{ExchangeInputs, ReadCounters};
pub use uploads::{DataTarget, KeyOf, Ready, at_once};
pub use writer::{Buckets, TaskWriter, WriterOptions};

/// The result type of this crate's functions.
pub type Result<T, E = ShuffleError> = std::result::Result<T, E>;
