//! The staged plans of TPC-H as readable files: what is cut where, what is broadcast, how many tasks.
//!
//! `UPDATE_PLANS=1 cargo test --release -p dunlin --test plans` rewrites them.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::in_process::InProcess;
use common::{Setup, data};
use dunlin_cli::tpch;

#[tokio::test]
async fn the_staged_plans_of_tpch_are_the_recorded_ones() {
    let data = data(0.01);
    let setup = Setup::folder(&data, "");
    let engine = InProcess::open(&setup.config);
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    // Plans name files without the leading slash.
    let folder = data.display().to_string();
    let folder = folder.trim_start_matches('/');
    let update = std::env::var_os("UPDATE_PLANS").is_some();
    std::fs::create_dir_all(&recorded).unwrap();
    let mut changed = Vec::new();
    for number in 1..=22 {
        let planned = engine.plan(&tpch::query(number).unwrap(), 4).await;
        let text = planned.explain.distributed.replace(folder, "<data>");
        let file = recorded.join(format!("q{number:02}.txt"));
        if update {
            std::fs::write(&file, &text).unwrap();
            continue;
        }
        let want = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some((line, (want, got))) = want
            .lines()
            .chain([""])
            .zip(text.lines().chain([""]))
            .enumerate()
            .find(|(_, (a, b))| a != b)
        {
            changed.push(format!("q{number:02}.txt, line {}:\n  - {want}\n  + {got}", line + 1));
        } else if want != text {
            changed.push(format!("q{number:02}.txt: other length"));
        }
    }
    assert!(
        changed.is_empty(),
        "plans changed; if that is meant, run with UPDATE_PLANS=1 and commit:\n{}",
        changed.join("\n")
    );
}
