//! Exact: every TPC-H query through a fleet of real processes gives what one DataFusion process gives.
//!
//! `DUNLIN_ORACLE_SCALE=1` (or 10) asks for more data.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dunlin_cli::fleet::{Fleet, start_listening};
use dunlin_cli::tpch;
use dunlin_exact::InProcess;
use dunlin_exact::engines::{ENGINE, EXCHANGED, PARTITIONED};
use dunlin_manifest::keys::Key;
use dunlin_manifest::records::block::decode_block;
use dunlin_planner::config::Config;
use serde_json::json;

use crate::common::api::{self, Api};
use crate::common::objects::Objects;
use crate::common::reference::Reference;
use crate::common::used::{self, Used};
use crate::common::{Setup, binary, data, scale};

const QUERIES: std::ops::RangeInclusive<usize> = 1..=22;

/// All queries through two worker processes over a folder.
async fn fleet_answers(partitions: usize) {
    // One task computes alone, so it gets half of the rows.
    let data = data(if partitions == 1 { scale() / 2.0 } else { scale() });
    let reference = Reference::over(&data);
    let setup = Setup::folder(&data, "");
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let settings = json!({ "route": "fleet", "target_partitions": partitions });
    if partitions == 16 {
        let explained = api.explain(&tpch::query(1).unwrap(), &settings).await;
        let text = explained["distributed_plan"].as_str().unwrap();
        assert_eq!(api::scan_stage(text, "lineitem"), (16, 16), "{text}");
    }
    let mut workers = BTreeSet::new();
    let mut used = Vec::new();
    for number in QUERIES {
        let answer = api.sql(&tpch::query(number).unwrap(), &settings).await;
        reference.check_tpch(&format!("fleet, {partitions} partitions"), number, &answer.batches);
        assert_eq!(answer.summary["route"], "fleet", "Q{number}");
        used.push(Used::of(number, &answer.summary));
        let objects = Objects::new(&setup.state, &answer.query);
        workers.extend(objects.workers());
        if number == 1 && partitions == 16 {
            // The first stage scans: its commits are its tasks.
            let scans = objects.commits().iter().filter(|(stage, _)| *stage == 0).count();
            assert_eq!(scans, 16, "tasks of the scan of Q1");
        }
    }
    if partitions == 16 && std::env::var_os("DUNLIN_ORACLE_SCALE").is_none() {
        used::hold(&used);
    }
    let pids: BTreeSet<String> =
        workers.iter().filter_map(|name| name.split('-').next()).map(str::to_owned).collect();
    let started = fleet.workers.iter().map(|worker| worker.id().to_string()).collect();
    assert_eq!(pids, started, "both workers ran tasks, and nobody else did");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_answers_tpch_exactly_at_1_partition() {
    fleet_answers(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_answers_tpch_exactly_at_3_partitions() {
    fleet_answers(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_answers_tpch_exactly_at_16_partitions() {
    fleet_answers(16).await;
}

/// Stages of more than 64 tasks, whose seals name blocks; and exchanges of two levels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_answers_exactly_through_blocks_and_two_levels() {
    let data = data(scale());
    let reference = Reference::over(&data);
    let engine = PARTITIONED.replace("[engine]\n", "[engine]\nexchange_slices = 2000\n");
    let setup = Setup::with(|state| {
        let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
        format!("[state]\nlocation = \"file://{}\"\n\n{engine}\n{tables}", state.display())
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let settings = json!({ "route": "fleet", "target_partitions": 66, "task_bytes": 0 });
    for number in [3, 13, 18] {
        let answer = api.sql(&tpch::query(number).unwrap(), &settings).await;
        reference.check_tpch("through blocks", number, &answer.batches);
        let objects = Objects::new(&setup.state, &answer.query);
        let blocks: Vec<PathBuf> = (objects.keys().into_iter())
            .filter(|(key, _)| matches!(key, Key::GroupSeal(..)))
            .map(|(_, path)| path)
            .collect();
        assert!(blocks.len() >= 2, "Q{number}: {blocks:?}");
        let read = std::fs::read(&blocks[0]).unwrap();
        assert!(decode_block(&read).unwrap().0.tasks.len() > 1);
        let explained = api.explain(&tpch::query(number).unwrap(), &settings).await;
        let text = explained["distributed_plan"].as_str().unwrap();
        // 66 x 66 slices are over 2,000, so the rows are placed in 22 buckets first.
        assert!(text.contains("gather; partitions=22"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decoded_plans_answer_tpch_exactly_in_one_process() {
    let data = data(scale());
    let reference = Reference::over(&data);
    let setup = Setup::folder(&data, "");
    let engine = InProcess::open(&Config::load(&setup.config).unwrap());
    for partitions in [1, 3, 16] {
        for number in QUERIES {
            let rows = engine.run(&tpch::query(number).unwrap(), partitions).await;
            let label = format!("decoded plans, {partitions} partitions");
            reference.check_tpch(&label, number, &rows);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_over_memory_answers_tpch_exactly() {
    in_memory(ENGINE, 4, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitioned_joins_with_runtime_filters_answer_tpch_exactly() {
    in_memory(EXCHANGED, 7, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_that_turn_to_broadcast_when_their_build_side_is_written_answer_tpch_exactly() {
    in_memory(PARTITIONED, 5, true).await;
}

/// All queries through `dunlin run`; `filters` tells whether runtime filters must have been planned.
async fn in_memory(engine: &str, partitions: usize, filters: bool) {
    let data = data(scale());
    let reference = Reference::over(&data);
    let setup = Setup::with(|_| {
        format!(
            "[state]\nlocation = \"memory://\"\n\n{engine}{}",
            tpch::tables_toml(&format!("file://{}/", data.display()))
        )
    });
    let config = setup.config.display().to_string();
    let arguments = ["run", "--config", &config, "--workers", "2"];
    let log = setup.path().join("run.log");
    let (_process, address) = start_listening(binary(), &arguments, &log).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let settings = json!({ "route": "fleet", "target_partitions": partitions });
    if filters {
        let explained = api.explain(&tpch::query(5).unwrap(), &settings).await;
        let text = explained["distributed_plan"].as_str().unwrap();
        assert!(text.contains("KeyFilterExec"), "{text}");
    }
    for number in QUERIES {
        let answer = api.sql(&tpch::query(number).unwrap(), &settings).await;
        let label = format!("memory, {partitions} partitions");
        reference.check_tpch(&label, number, &answer.batches);
        assert_eq!(answer.summary["route"], "fleet", "Q{number}");
    }
}
