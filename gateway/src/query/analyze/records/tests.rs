#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dunlin_manifest::records::{
    RECORD_VERSION, Requests, Seal, SealedTask, TaskMetrics, TaskOutput,
};

use super::super::text::{bytes, grouped, millis, ranges, requests, skew};
use super::*;

fn task(task: u32, rows: u64, wall_ms: u64, scanned: u64, get: u64) -> SealedTask {
    SealedTask {
        task,
        attempt: 0,
        claim: String::new(),
        worker: "w".to_owned(),
        output: TaskOutput { rows, bytes: rows * 10, ..TaskOutput::default() },
        metrics: TaskMetrics {
            wall_us: wall_ms * 1_000,
            scan_bytes: scanned,
            task_memory: rows * 1_000,
            requests: Requests { get, ..Requests::default() },
            ..TaskMetrics::default()
        },
    }
}

fn run(id: StageId, inputs: &[StageId], tasks: Vec<SealedTask>) -> StageRun {
    let seal = Seal {
        v: RECORD_VERSION,
        query: "q".to_owned(),
        stage: id,
        manifest: "m".to_owned(),
        absorbed: false,
        rows: tasks.iter().map(|task| task.output.rows).sum(),
        bytes: tasks.iter().map(|task| task.output.bytes).sum(),
        tasks,
        blocks: None,
    };
    StageRun {
        id,
        name: "join".to_owned(),
        partitions: 8,
        inputs: inputs.to_vec(),
        attempts: seal.tasks.len() as u64,
        failed: 0,
        planned: None,
        decided: None,
        committed: 0,
        claimed: Vec::new(),
        seal: Some(Arc::new(seal)),
        groups: std::collections::BTreeSet::new(),
    }
}

#[test]
fn a_stages_line_tells_sums_spread_and_skew() {
    let tasks =
        vec![task(0, 5, 10, 100, 1), task(1, 1_234_500, 20, 100, 2), task(2, 0, 90, 700, 0)];
    let mut stage = run(3, &[], tasks);
    stage.attempts = 4;
    stage.failed = 1;
    assert_eq!(
        stage.line(),
        "stage 3: join; 8 partitions; 3 tasks (4 attempts, 1 failed or given back); \
         1,234,505 rows out, 12.3 MB out; read 900 B scanned + 0 B exchanged; \
         wall min/median/max 10/20/90 ms; compute 0.0 ms; \
         skew 2.2 by time, 2.3 by input bytes; spilled 0 B; peak memory 1.23 GB; 3 GET"
    );
}

#[test]
fn one_task_has_no_skew_and_no_plural() {
    let mut stage = run(0, &[], vec![task(0, 1, 10, 100, 0)]);
    stage.partitions = 1;
    let line = stage.line();
    assert!(line.contains("; 1 partition; 1 task (1 attempt); 1 row out"), "{line}");
    assert!(line.contains("; wall 10 ms; ") && line.ends_with("; no requests"), "{line}");
    assert!(!line.contains("skew"), "{line}");
}

#[test]
fn a_stage_without_a_seal_tells_how_far_it_is() {
    let mut stage = run(1, &[], Vec::new());
    stage.seal = None;
    assert!(stage.line().ends_with("; not begun"), "{}", stage.line());
    stage.planned = Some(vec![vec![0]; 9]);
    assert!(stage.line().ends_with("; 9 tasks; none claimed"), "{}", stage.line());
    (stage.attempts, stage.committed) = (5, 3);
    assert!(stage.line().ends_with("; 3 of 9 tasks committed (5 attempts)"), "{}", stage.line());
}

#[test]
fn the_critical_path_is_the_longest_chain_and_not_the_longest_stage() {
    let one = |wall| vec![task(0, 1, wall, 0, 0)];
    let runs = [
        run(0, &[], one(100)),
        run(1, &[], one(60)),
        run(2, &[1], one(50)),
        run(3, &[0, 2], vec![task(0, 1, 1, 0, 0), task(1, 1, 7, 0, 0)]),
    ];
    assert_eq!(
        critical_path(&runs),
        "stage 1 (60 ms) > stage 2 (50 ms) > stage 3 (7.0 ms) = 117 ms of longest tasks"
    );
    let mut unsealed = run(4, &[3], Vec::new());
    unsealed.seal = None;
    assert_eq!(critical_path(&[&runs[..], &[unsealed]].concat()), critical_path(&runs));
    assert_eq!(critical_path(&[]), "no sealed stage");
}

#[test]
fn the_plans_lines_are_found_by_stage() {
    let explain = "route: fleet (asked for)\nstage 12: merge; partitions=1\n  reads stage 2 whole\n    A\nstage 2: scan: it; x\n    B\n";
    let lines = plan_lines(explain);
    assert_eq!(lines[&12], ["  reads stage 2 whole", "    A"]);
    assert_eq!(lines[&2], ["    B"]);
    assert_eq!(lines.len(), 2);
}

#[test]
fn numbers_are_written_for_people() {
    for (number, text) in [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (120_000_000, "120 MB"),
    ] {
        assert_eq!(bytes(number), text);
    }
    for (us, text) in [(0, "0.0"), (49, "0.0"), (50, "0.1"), (9_949, "9.9"), (9_950, "10")] {
        assert_eq!(millis(us), text);
    }
    assert_eq!(millis(1_234_567_890), "1,234,568");
    assert_eq!(
        (grouped(7), grouped(1_000), grouped(123_456)),
        ("7".into(), "1,000".into(), "123,456".into())
    );
    let all = Requests { put: 1, get: 2_000, list: 3, head: 4, delete: 5, hedged: 6 };
    assert_eq!(requests(&all), "1 PUT 2,000 GET 3 LIST 4 HEAD 5 DELETE (6 sent again)");
    assert_eq!(skew([0, 0].into_iter()), Some(1.0));
    assert_eq!(ranges(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
    assert_eq!(ranges(&[]), "?");
}
