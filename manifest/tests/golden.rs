//! The bytes of every record, as they are stored. A process of another build may read a record long after it was
//! written, so a record may change its form only together with its version.
//!
//! If a test here fails, and the change is wanted: raise `RECORD_VERSION`, and write the new form into
//! `tests/golden/records.txt` (the failure prints it).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use dunlin_manifest::decide::{self, Decided};
use dunlin_manifest::model::encoding::{decode, encode};
use dunlin_manifest::records::block::{decode_head, join_blocks};
use dunlin_manifest::records::{
    Adaptive, BlockRef, Broadcast, BucketTotal, Claim, Commit, DataObject, End, EndStatus,
    EngineFence, ErrorCode, Fail, FailClass, Idem, InputMode, Limits, Output, Pin, QueryError,
    RECORD_VERSION, Requests, ResultSpec, Root, Route, Seal, SealTotals, SealedBlocks, SealedTask,
    Share, Slice, SlotTime, StageInput, StageManifest, StageSpec, Summary, TaskMetrics, TaskOutput,
    TaskSpec, Usage,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const GOLDEN: &str = include_str!("golden/records.txt");

fn stage() -> StageSpec {
    let inputs = vec![StageInput { stage: 0, mode: InputMode::Partitioned, offset: 1 }];
    StageSpec {
        id: 2,
        name: "join".to_owned(),
        plan: "p1".to_owned(),
        partitions: 4,
        inputs: inputs.clone(),
        output: Output::Hash { buckets: 8 },
        scan_bytes: vec![7, 8],
        task_bytes: 9,
        one_task: true,
        key_filter: true,
        empty_with: vec![0],
        shares: Some(0),
        broadcast: Some(Broadcast {
            build: 0,
            probe: 1,
            most_bytes: 10,
            plan: "p2".to_owned(),
            partitions: 3,
            inputs,
            scan_bytes: vec![11],
        }),
        absorbed_by: Some(3),
    }
}

fn root() -> Root {
    Root {
        v: RECORD_VERSION,
        nonce: "n".to_owned(),
        query: "q".to_owned(),
        sql: "select 1".to_owned(),
        session: BTreeMap::from([("a.b".to_owned(), "c".to_owned())]),
        engine: EngineFence { engine: "e".to_owned(), hash: "h".to_owned(), build: "b".to_owned() },
        route: Route::Fleet,
        route_reason: "because".to_owned(),
        stages: vec![stage()],
        result: ResultSpec { schema: "s".to_owned() },
        pins: vec![Pin {
            store: "s3://b".to_owned(),
            path: "a/b".to_owned(),
            size: 12,
            e_tag: Some("t".to_owned()),
        }],
        limits: Limits::default(),
        adaptive: Adaptive::default(),
        plans: BTreeMap::from([("p1".to_owned(), "AAAA".to_owned())]),
        explain: "x".to_owned(),
        write: None,
        owner: Some("o".to_owned()),
        workgroup: Some("w".to_owned()),
        pool: None,
        trace: Some("t".to_owned()),
        code: Some("c".to_owned()),
    }
}

fn output() -> TaskOutput {
    let slice = |object| Slice {
        bucket: 1,
        object,
        offset: 64,
        len: 2,
        rows: 3,
        xxh3: "0123456789abcdef".to_owned(),
    };
    TaskOutput {
        objects: vec![DataObject { key: "data/x".to_owned(), len: 66 }],
        slices: vec![slice(Some(0)), slice(None)],
        inline: "AA==".to_owned(),
        rows: 6,
        bytes: 4,
    }
}

fn requests() -> Requests {
    Requests { put: 1, get: 2, list: 3, head: 4, delete: 5, hedged: 6 }
}

fn usage() -> Usage {
    Usage { calls: 1, cold: 2, ms: 3, mb_ms: 4 }
}

fn slot() -> SlotTime {
    SlotTime { compute: 1, wait: 2, claim: 3, commit: 4, idle: 5 }
}

fn metrics() -> TaskMetrics {
    TaskMetrics {
        wall_us: 1,
        scan_bytes: 2,
        input_rows: 3,
        shuffle_read_bytes: 4,
        spill_bytes: 5,
        peak_memory: 6,
        requests: requests(),
        cpu_us: 7,
        task_memory: 8,
        slot: slot(),
        lost: requests(),
        usage: usage(),
        ended_ms: 9,
    }
}

fn winner() -> SealedTask {
    SealedTask {
        task: 0,
        attempt: 1,
        claim: "k".to_owned(),
        worker: "w".to_owned(),
        output: output(),
        metrics: metrics(),
    }
}

fn seal() -> Seal {
    Seal {
        v: RECORD_VERSION,
        query: "q".to_owned(),
        stage: 2,
        manifest: "m".to_owned(),
        absorbed: true,
        rows: 6,
        bytes: 4,
        tasks: vec![winner()],
        blocks: None,
    }
}

fn blocks() -> SealedBlocks {
    SealedBlocks {
        refs: vec![BlockRef { digest: "d".to_owned(), head: 1, len: 2 }],
        all: Some(BlockRef { digest: "e".to_owned(), head: 3, len: 4 }),
        buckets: vec![BucketTotal { bytes: 1, rows: 2, slices: 3 }],
        totals: SealTotals {
            tasks: 1,
            attempts: 2,
            scan_bytes: 3,
            input_rows: 4,
            requests: requests(),
            slot: slot(),
            lost: requests(),
            usage: usage(),
        },
    }
}

/// The record's line, after it was read back.
fn line<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, record: &T) -> String {
    let bytes = encode(record);
    assert_eq!(decode::<T>(&bytes).unwrap(), *record);
    // A field that this version does not know would be lost, so such a record is refused.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let more = text.replacen("{\"v\":", "{\"later\":1,\"v\":", 1);
    assert!(decode::<T>(more.as_bytes()).is_err(), "{name} ignores a field that it does not know");
    format!("{name} {text}\n")
}

fn end() -> End {
    let error =
        QueryError { code: ErrorCode::Timeout, message: "late".to_owned(), retryable: true };
    let summary = Summary {
        rows: 1,
        wall_ms: 2,
        stages: 3,
        tasks: 4,
        attempts: 5,
        bytes_scanned: 6,
        shuffle_bytes: 7,
        requests: Requests::default(),
        slot: SlotTime::default(),
        lost: Requests::default(),
        usage: usage(),
        result_bytes: 8,
    };
    End {
        v: RECORD_VERSION,
        nonce: "n".to_owned(),
        status: EndStatus::Succeeded,
        error: Some(error),
        seal: Some("d".to_owned()),
        answer: Some(seal()),
        summary: Some(summary),
    }
}

#[test]
fn records_are_stored_as_they_always_were() {
    let (v, nonce) = (RECORD_VERSION, "n".to_owned());
    let found = [
        line("root", &root()),
        line(
            "idem",
            &Idem { v, nonce: nonce.clone(), query: "q".to_owned(), request: "r".to_owned() },
        ),
        line("claim", &Claim { v, nonce: nonce.clone(), worker: "w".to_owned() }),
        line(
            "fail",
            &Fail {
                v,
                nonce: nonce.clone(),
                worker: "w".to_owned(),
                alone: true,
                class: FailClass::GiveBack,
                code: ErrorCode::GivenBack,
                message: "why".to_owned(),
                began_ms: 1,
                ended_ms: 2,
            },
        ),
        line(
            "commit",
            &Commit {
                v,
                nonce,
                task: 0,
                attempt: 1,
                claim: "k".to_owned(),
                manifest: "m".to_owned(),
                worker: "w".to_owned(),
                output: output(),
                metrics: metrics(),
            },
        ),
        line("seal", &seal()),
        line("seal_of_blocks", &Seal { tasks: Vec::new(), blocks: Some(blocks()), ..seal() }),
        line("end", &end()),
        line(
            "manifest",
            &StageManifest {
                v,
                query: "q".to_owned(),
                stage: 2,
                tasks: vec![TaskSpec {
                    partitions: vec![0, 1],
                    bytes: 5,
                    share: Some(Share { stage: 0, index: 1, of: 2 }),
                }],
                seals: vec!["d".to_owned()],
                inline_bytes: 6,
                buckets: 7,
                broadcast: true,
                absorbed: true,
            },
        ),
    ]
    .concat();
    assert!(found == GOLDEN, "the records have another form:\n{found}");
}

/// The decisions over fixed records. Another result with the same records would let two builds disagree.
#[test]
fn decisions_are_what_they_always_were() {
    let mut scan = StageSpec { broadcast: None, ..stage() };
    (scan.inputs, scan.one_task, scan.shares, scan.absorbed_by) = (Vec::new(), false, None, None);
    scan.partitions = 5;
    scan.scan_bytes = vec![1, 2, 30, 4, 5];
    let root = Root { stages: vec![scan], ..root() };
    let decided = Decided::of(decide::stage_manifest(&root, &root.stages[0], false, &[]));
    let seal = decide::seal(&decided, vec![winner(), SealedTask { task: 3, ..winner() }]);
    let (block, head, reference) = decide::group_seal(&decided, 0, vec![winner()]).unwrap();
    let part = || (&head, &reference, block.clone());
    let all = join_blocks(&[part(), part()]).unwrap();
    let folded = decide::fold(&decided, [(&head, &reference)], Some(decode_head(&all).unwrap().1));
    let digests = [
        decided.digest,
        decide::digest(&seal),
        decide::digest_of(&block),
        decide::digest_of(&all),
        decide::digest(&folded),
    ];
    let short: Vec<&str> = digests.iter().map(|digest| &digest[..16]).collect();
    assert_eq!(
        short,
        [
            "2e27f133a2ac538f",
            "21ecbf4597a71d52",
            "3c5df166f2dfd9c3",
            "72ce15ef3914ad40",
            "75ba0c1be420e38e"
        ]
    );
}
