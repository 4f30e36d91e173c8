//! Reads an object of a query as whoever reads it does.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::prelude::SessionContext;
use dunlin_manifest::decide;
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::model::encoding::{decode, encode};
use dunlin_manifest::model::vouch::RootKey;
use dunlin_manifest::records::block::{decode_block, decode_head};
use dunlin_manifest::records::{Claim, Commit, End, Fail, Idem, Root, Seal};
use dunlin_plan::task;
use dunlin_plan::wire::schema_from_text;
use dunlin_shuffle::StageData;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A query, which nobody has vouched for as it is now: whoever reads it does nothing with it.
    Root,
    /// A query that somebody with the key may have written: what follows from it is computed.
    Vouched,
    /// An attempt.
    Claim,
    /// A task's winner.
    Commit,
    /// An attempt that failed.
    Fail,
    /// A stage's winners.
    Seal,
    /// A block of commits, or of what follows from them.
    Block,
    /// How a query ended.
    End,
    /// The query of an idempotency key.
    Idem,
}

/// All kinds: an input of a fuzzer names one by its place.
pub const KINDS: [Kind; 9] = [
    Kind::Root,
    Kind::Vouched,
    Kind::Claim,
    Kind::Commit,
    Kind::Fail,
    Kind::Seal,
    Kind::Block,
    Kind::End,
    Kind::Idem,
];

impl Kind {
    /// The kind of the object at `key`, below the prefix of the state; `None`: it is no record.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        if key.starts_with("idem/") {
            return Some(Self::Idem);
        }
        match keys::parse(key)?.1 {
            Key::Root => Some(Self::Root),
            Key::Claim(..) => Some(Self::Claim),
            Key::Commit(..) => Some(Self::Commit),
            Key::Fail(..) => Some(Self::Fail),
            Key::Seal(_) => Some(Self::Seal),
            Key::GroupSeal(..) | Key::AllGroups(_) => Some(Self::Block),
            Key::End => Some(Self::End),
            _ => None,
        }
    }
}

/// Reads an object of this kind.
pub fn read(kind: Kind, bytes: &[u8], context: &SessionContext) {
    match kind {
        Kind::Root => {
            if let Some(root) =
                record::<Root>(bytes).filter(|root| RootKey::default().vouches(root))
            {
                with_root(&root, context);
            }
        }
        Kind::Vouched => {
            if let Some(root) = record::<Root>(bytes) {
                with_root(&root, context);
            }
        }
        Kind::Claim => drop(record::<Claim>(bytes)),
        Kind::Commit => drop(record::<Commit>(bytes)),
        Kind::Fail => drop(record::<Fail>(bytes)),
        Kind::Seal => {
            if let Some(seal) = record::<Seal>(bytes) {
                with_seal(seal);
            }
        }
        Kind::Block => {
            let _ = decode_block(bytes);
            if let Ok((head, reference)) = decode_head(bytes) {
                let _ = head.place(&reference, 3);
            }
        }
        Kind::End => {
            if let Some(seal) = record::<End>(bytes).and_then(|end| end.answer) {
                with_seal(seal);
            }
        }
        Kind::Idem => drop(record::<Idem>(bytes)),
    }
}

/// Decodes a record, and whatever is decoded is written and read again without a change.
fn record<T: DeserializeOwned + Serialize + PartialEq>(bytes: &[u8]) -> Option<T> {
    let record: T = decode(bytes).ok()?;
    let again: Option<T> = decode(&encode(&record)).ok();
    assert!(again.as_ref() == Some(&record), "a record is not what it was after it was written");
    Some(record)
}

fn with_seal(seal: Seal) {
    let buckets = seal.buckets();
    assert!(buckets.len() < 1 << 24, "a seal of {} buckets", buckets.len());
    if let Ok(data) = StageData::of(&Arc::new(seal), None) {
        let _ = (data.buckets(), data.bucket_rows(0), data.slice_count(u32::MAX));
    }
}

fn with_root(root: &Root, context: &SessionContext) {
    let _ = schema_from_text(&root.result.schema);
    for spec in &root.stages {
        let _ = decide::manifest_of(root, spec, |_| None);
        let partitions: Vec<u32> = (0..spec.partitions.min(8)).collect();
        for plan in root.plans.values() {
            let plan = STANDARD.decode(plan).unwrap_or_default();
            let _ = task::open(&plan, spec, &partitions, &context.task_ctx());
        }
    }
}
