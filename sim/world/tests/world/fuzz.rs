//! Damaged records and plans go to whoever reads them: no decoder panics, hangs, or takes one text for another.
//!
//! ```text
//!   the objects of real queries ──> one to three changes ──> decode ─┬─ error
//!                                                                  └─ a record: what follows from it is computed, too
//! ```
//! Changes are those of bytes (another bit, less, more, a part of another object) and those of JSON (another number, no
//! field, a field twice, another type). `just fuzz-records 60` runs for so many minutes.

use std::collections::BTreeMap;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use datafusion::prelude::SessionContext;
use dunlin_exact::Rng;
use dunlin_fuzz::{KINDS, Kind, read};
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::model::encoding::decode;
use dunlin_manifest::records::Root;
use dunlin_world::{Scenario, objects};
use serde_json::Value;

use crate::{PREPARED, number};

/// The longest that one input may take.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let corpus: Vec<(String, Kind, Bytes)> = (corpus.into_iter())
        .filter(|(_, bytes)| !bytes.is_empty())
        .filter_map(|(key, bytes)| Some((Kind::of(&key)?, key, bytes)))
        .map(|(kind, key, bytes)| (key, kind, bytes))
        .collect();
    let context = SessionContext::new();
    for (_, kind, bytes) in &corpus {
        read(*kind, bytes, &context);
    }
    let seed = number("DUNLIN_FUZZ_SEED").unwrap_or(7);
    let (mut dice, began, mut count) = (Rng::new(seed), Instant::now(), 0_u64);
    while began.elapsed() < time {
        let (key, kind, bytes) = &corpus[dice.below(corpus.len())];
        let other = &corpus[dice.below(corpus.len())].2;
        let mut changed = bytes.to_vec();
        for _ in 0..=dice.below(3) {
            change(&mut dice, &mut changed, other);
        }
        let (at, reading) = (Instant::now(), || read(*kind, &changed, &context));
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

/// What reads an input.
type Target<'a> = &'a dyn Fn(&[u8], &SessionContext);

/// The inputs with which libFuzzer begins, and those that it has found: `sim/fuzz/corpus`.
#[test]
fn every_input_of_the_corpus_is_read() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let context = SessionContext::new();
    let slice = |input: &[u8], _: &SessionContext| dunlin_fuzz::slice(input);
    let targets: [(&str, Target); 3] =
        [("records", &dunlin_fuzz::record), ("plans", &dunlin_fuzz::plan), ("slices", &slice)];
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        write_corpus(&corpus);
    }
    for (name, target) in targets {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(Result::unwrap).collect();
        assert!(!files.is_empty(), "no inputs of {name}");
        for file in files {
            let (input, at) = (fs::read(file.path()).unwrap(), Instant::now());
            target(&input, &context);
            assert!(at.elapsed() < PATIENCE, "{}", file.path().display());
        }
    }
}

/// Writes a small object of each kind, each plan, and some slices, of real queries.
fn write_corpus(corpus: &Path) {
    let mut inputs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut smallest = |name: String, input: Vec<u8>| {
        let known = inputs.entry(name).or_insert_with(|| input.clone());
        if input.len() < known.len() {
            *known = input;
        }
    };
    for query in 0..PREPARED.queries() {
        for is_apart in [false, true] {
            let scenario = Scenario::crash(query, is_apart, None);
            for (key, bytes) in objects(&PREPARED, &scenario).unwrap() {
                if let Some(kind) = Kind::of(&key) {
                    // A root is read in two ways.
                    let others = (kind == Kind::Root).then_some(Kind::Vouched);
                    for kind in [Some(kind), others].into_iter().flatten() {
                        let place = KINDS.iter().position(|known| *known == kind).unwrap();
                        let input = [&[u8::try_from(place).unwrap()], bytes.as_ref()].concat();
                        smallest(format!("records/{kind:?}-{query}"), input);
                    }
                }
                if Kind::of(&key) == Some(Kind::Root) {
                    let root: Root = decode(&bytes).unwrap();
                    for spec in &root.stages {
                        let packed = STANDARD.decode(&root.plans[&spec.plan]).unwrap();
                        let raw = zstd::decode_all(packed.as_slice()).unwrap();
                        smallest(format!("plans/{query}-{}", spec.id), raw);
                    }
                }
                if matches!(keys::parse(&key), Some((_, Key::Data(_) | Key::Result(_)))) {
                    let input = [&1000_u64.to_le_bytes(), bytes.as_ref()].concat();
                    smallest(format!("slices/{query}"), input);
                }
            }
        }
    }
    for (name, input) in inputs {
        let path = corpus.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, input).unwrap();
    }
}
