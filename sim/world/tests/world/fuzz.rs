//! Damaged records and plans go to whoever reads them: no decoder panics, hangs, or takes one text for another.
//!
//! ```text
//!   the objects of real queries ──> one to three changes ──> decode ─┬─ error
//!                                                                  └─ a record: what follows from it is computed, too
//! ```
//! Changes are those of bytes (another bit, less, more, a part of another object) and those of JSON (another number, no
//! field, a field twice, another type). `just fuzz-records 60` runs for so many minutes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use dunlin_exact::Rng;
use dunlin_manifest::decide;
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::model::encoding::{decode, encode};
use dunlin_manifest::model::vouch::RootKey;
use dunlin_manifest::records::block::{decode_block, decode_head};
use dunlin_manifest::records::{Claim, Commit, End, Fail, Idem, Root, Seal};
use dunlin_plan::task;
use dunlin_plan::wire::schema_from_text;
use dunlin_shuffle::StageData;
use dunlin_world::{Scenario, objects};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{PREPARED, number};

/// The longest that one input may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Decodes a record, and whatever is decoded is written and read again without a change.
fn record<T: DeserializeOwned + serde::Serialize + PartialEq>(bytes: &[u8]) -> Option<T> {
    let record: T = decode(bytes).ok()?;
    let again: T = decode(&encode(&record)).unwrap();
    assert!(again == record, "a record is not what it was after it was written");
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
        let decided = decide::manifest_of(root, spec, |_| None);
        let partitions: Vec<u32> = (0..spec.partitions.min(8)).collect();
        for plan in root.plans.values() {
            let plan = base64(plan);
            let _ = task::open(&plan, spec, &partitions, &context.task_ctx());
        }
        drop(decided);
    }
}

fn base64(text: &str) -> Vec<u8> {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}

/// Reads an object as whoever reads it does.
fn read(key: &str, bytes: &[u8], context: &SessionContext) {
    match keys::parse(key) {
        Some((_, Key::Root)) => {
            // Nobody does anything with a root that was changed.
            if let Some(root) =
                record::<Root>(bytes).filter(|root| RootKey::default().vouches(root))
            {
                with_root(&root, context);
            }
        }
        Some((_, Key::Claim(..))) => drop(record::<Claim>(bytes)),
        Some((_, Key::Commit(..))) => drop(record::<Commit>(bytes)),
        Some((_, Key::Fail(..))) => drop(record::<Fail>(bytes)),
        Some((_, Key::Seal(_))) => {
            if let Some(seal) = record::<Seal>(bytes) {
                with_seal(seal);
            }
        }
        Some((_, Key::GroupSeal(..) | Key::AllGroups(_))) => {
            let _ = decode_block(bytes);
            if let Ok((head, reference)) = decode_head(bytes) {
                let _ = head.place(&reference, 3);
            }
        }
        Some((_, Key::End)) => {
            if let Some(seal) = record::<End>(bytes).and_then(|end| end.answer) {
                with_seal(seal);
            }
        }
        _ if key.starts_with("idem/") => drop(record::<Idem>(bytes)),
        _ => {}
    }
}

fn change(dice: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    if dice.below(2) == 0
        && let Ok(mut json) = serde_json::from_slice::<Value>(bytes)
    {
        change_json(dice, &mut json);
        *bytes = serde_json::to_vec(&json).unwrap();
        return;
    }
    let at = dice.below(bytes.len().max(1)).min(bytes.len());
    match dice.below(5) {
        0 => bytes.truncate(at),
        1 => {
            let from = dice.below(other.len().max(1)).min(other.len());
            let until = (from + dice.below(64)).min(other.len());
            bytes.splice(at..at, other[from..until].iter().copied());
        }
        2 => bytes.extend_from_within(at..),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}

/// Changes one value somewhere.
fn change_json(dice: &mut Rng, json: &mut Value) {
    let deeper = dice.below(4) > 0;
    match json {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let chosen = dice.below(fields.len());
            let name = fields.keys().nth(chosen).unwrap().clone();
            match dice.below(8) {
                0 => drop(fields.remove(&name)),
                _ => change_json(dice, &mut fields[&name]),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let chosen = dice.below(items.len());
            match dice.below(8) {
                0 => drop(items.remove(chosen)),
                1 => items.push(items[chosen].clone()),
                _ => change_json(dice, &mut items[chosen]),
            }
        }
        _ => {
            let values = [
                Value::Null,
                Value::from(0),
                Value::from(-1),
                Value::from(u32::MAX),
                Value::from(u64::MAX),
                Value::from(1 << 31),
                Value::from(0.5),
                Value::from(""),
                Value::from("18446744073709551616"),
                Value::from(vec![0; 3]),
                Value::Bool(true),
                Value::Object(serde_json::Map::new()),
            ];
            *json = values[dice.below(values.len())].clone();
        }
    }
}

#[test]
fn no_damaged_object_panics_or_hangs_its_reader() {
    let minutes = number("DUNLIN_FUZZ_MINUTES");
    let time = minutes.map_or(Duration::from_secs(8), |minutes| Duration::from_secs(60 * minutes));
    let mut corpus: Vec<(String, Bytes)> = Vec::new();
    for query in 0..PREPARED.queries() {
        for is_apart in [false, true] {
            corpus.extend(objects(&PREPARED, &Scenario::crash(query, is_apart, None)).unwrap());
        }
    }
    // Rows are compared with their checksum before anybody decodes them: `damaged_objects_give_no_wrong_row`.
    let is_of_rows =
        |key: &str| matches!(keys::parse(key), Some((_, Key::Data(_) | Key::Result(_))));
    let is_record = |key: &str| keys::parse(key).is_some() || key.starts_with("idem/");
    corpus.retain(|(key, bytes)| is_record(key) && !is_of_rows(key) && !bytes.is_empty());
    let context = SessionContext::new();
    for (key, bytes) in &corpus {
        read(key, bytes, &context);
    }
    let seed = number("DUNLIN_FUZZ_SEED").unwrap_or(7);
    let (mut dice, began, mut count) = (Rng::new(seed), Instant::now(), 0_u64);
    while began.elapsed() < time {
        let (key, bytes) = &corpus[dice.below(corpus.len())];
        let other = &corpus[dice.below(corpus.len())].1;
        let mut changed = bytes.to_vec();
        for _ in 0..=dice.below(3) {
            change(&mut dice, &mut changed, other);
        }
        let (at, reading) = (Instant::now(), || read(key, &changed, &context));
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(reading));
        assert!(
            outcome.is_ok() && at.elapsed() < PATIENCE,
            "seed {seed}, input {count}: {key} after {:?}: {}",
            at.elapsed(),
            String::from_utf8_lossy(&changed)
        );
        count += 1;
    }
    println!("{count} inputs from {} objects in {:?}", corpus.len(), began.elapsed());
}
