//! What fuzzers do with a changed object: read it as whoever reads it does.
//!
//! ```text
//!   an input ──> record: its kind, its bytes  ─┬─ error
//!           ├──> plan: protobuf, packed here   ├─ read, and what follows from it is computed, too
//!           └──> slice: the bytes of rows     ─┘
//! ```
//! Two fuzzers use it: one that changes the objects of real queries (`sim/world/tests/world/fuzz.rs`, in CI for seconds
//! and by `just fuzz-records` for hours), and libFuzzer, which looks for inputs that reach new code (`just fuzz-coverage`).
//! Whatever an input is, nobody panics and nobody hangs. What libFuzzer has found, and where it begins, is in `corpus/`:
//! CI reads each of these files.

mod reading;

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use dunlin_manifest::records::{Output, StageSpec};
use dunlin_plan::task;
use dunlin_shuffle::SliceDecoder;

pub use reading::{KINDS, Kind, read};

/// The most rows that a slice of a fuzzer says to have.
const MOST_ROWS: u64 = 1 << 20;

/// Reads a record: its first byte says of which kind it is, the others are its bytes.
pub fn record(input: &[u8], context: &SessionContext) {
    if let Some((first, bytes)) = input.split_first() {
        read(KINDS[usize::from(*first) % KINDS.len()], bytes, context);
    }
}

/// Opens a stage's plan, given as its object is before it is packed.
pub fn plan(input: &[u8], context: &SessionContext) {
    let Ok(packed) = zstd::encode_all(input, 1) else { return };
    let spec = StageSpec {
        id: 0,
        name: String::new(),
        plan: String::new(),
        partitions: 3,
        inputs: Vec::new(),
        output: Output::Partitions,
        scan_bytes: Vec::new(),
        task_bytes: 1,
        one_task: false,
        key_filter: false,
        empty_with: Vec::new(),
        shares: None,
        broadcast: None,
        absorbed_by: None,
    };
    if let Ok(opened) = task::open(&packed, &spec, &[0, 2], &context.task_ctx()) {
        let _ = task::buckets_read(&opened.plan, &spec, &[0, 2]);
    }
}

/// Decodes a slice, whose checksum would be right: eight bytes say how many rows it has, the others are its bytes.
pub fn slice(input: &[u8]) {
    let Some((rows, bytes)) = input.split_first_chunk::<8>() else { return };
    let rows = u64::from_le_bytes(*rows) % MOST_ROWS;
    let mut decoder = SliceDecoder::new(Bytes::copy_from_slice(bytes), rows);
    let mut found = 0;
    while let Ok(Some(batch)) = decoder.next_batch() {
        found += batch.num_rows() as u64;
        assert!(found <= rows, "a slice of {rows} rows has {found}");
        // Whoever computes with the rows looks at their values.
        let _ = datafusion::arrow::util::pretty::pretty_format_batches(&[
            batch.slice(0, batch.num_rows().min(8))
        ]);
    }
}
