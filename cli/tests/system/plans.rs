//! The staged plans of TPC-H as readable files: what is cut where, what is broadcast, how many tasks.
//!
//! `UPDATE_PLANS=1 cargo test -p dunlin --test system plans` rewrites them.

use std::path::Path;
use std::sync::Arc;

use dunlin_cli::tpch;
use dunlin_exact::InProcess;
use dunlin_exact::engines::PARTITIONED;
use dunlin_planner::config::Config;

use crate::common::reference::Reference;
use crate::common::{Setup, data};

/// Compares texts with the recorded ones in a folder below `tests/plans`; or records them, with `UPDATE_PLANS=1`.
fn compare(folder: &str, texts: &[(String, String)]) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(folder);
    std::fs::create_dir_all(&recorded).unwrap();
    let mut changed = Vec::new();
    for (name, text) in texts {
        let file = recorded.join(name);
        if std::env::var_os("UPDATE_PLANS").is_some() {
            std::fs::write(&file, text).unwrap();
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
            changed.push(format!("{name}, line {}:\n  - {want}\n  + {got}", line + 1));
        } else if want != *text {
            changed.push(format!("{name}: other length"));
        }
    }
    assert!(
        changed.is_empty(),
        "plans changed; if that is meant, run with UPDATE_PLANS=1 and commit:\n{}",
        changed.join("\n")
    );
}

/// Plans of TPC-H at a small scale on the fleet, and the folder of the data without its leading slash, as plans name it.
fn planned_on_the_fleet() -> (InProcess, Setup, String) {
    let data = data(0.01);
    let setup = Setup::folder(&data, "");
    let engine = InProcess::open(&Config::load(&setup.config).unwrap());
    let folder = data.display().to_string();
    (engine, setup, folder.trim_start_matches('/').to_owned())
}

#[tokio::test]
async fn the_staged_plans_of_tpch_are_the_recorded_ones() {
    let (engine, _setup, folder) = planned_on_the_fleet();
    let mut texts = Vec::new();
    for number in 1..=22 {
        let planned = engine.plan(&tpch::query(number).unwrap(), 4).await;
        let text = planned.explanation.unwrap().plans.distributed.replace(&folder, "<data>");
        texts.push((format!("q{number:02}.txt"), text));
    }
    compare("", &texts);
}

#[tokio::test]
async fn what_explain_tells_people_is_what_was_recorded() {
    let (engine, _setup, folder) = planned_on_the_fleet();
    let others = [
        ("limit", "select * from orders where o_totalprice > 100000 limit 5"),
        ("count", "select count(*) from lineitem"),
        (
            "window",
            "select o_custkey, rank() over (partition by o_custkey order by o_totalprice desc) from orders",
        ),
        ("union", "select n_name from nation union select r_name from region"),
        ("cross", "select n_name, r_name from nation, region where n_regionkey < r_regionkey"),
        (
            "anti",
            "select c_name from customer where not exists (select 1 from orders where o_custkey = c_custkey)",
        ),
        ("constant", "select 1 as one"),
    ];
    let mut texts = Vec::new();
    let tpch =
        [1, 3, 5, 11, 18, 22].map(|number| (format!("q{number:02}"), tpch::query(number).unwrap()));
    let others = others.map(|(name, sql)| (name.to_owned(), sql.to_owned()));
    for (name, sql) in tpch.into_iter().chain(others) {
        let explained = engine.plan(&sql, 4).await.explanation.unwrap().stages;
        let text = explained.text();
        assert!(
            !text.contains("part-0000") && !text.contains(&folder),
            "files are counted: {text}"
        );
        texts.push((format!("{name}.txt"), text));
        if name == "q03" {
            texts.push((
                "q03.json".to_owned(),
                serde_json::to_string_pretty(&explained.stages).unwrap(),
            ));
            texts.push(("q03.dot".to_owned(), explained.graphviz()));
            texts.push(("q03.mmd".to_owned(), explained.mermaid()));
        }
    }
    compare("explain", &texts);
}

/// Partitioned joins over TPC-H data, with the reference answers beside them.
fn adaptive() -> (InProcess, Setup, Arc<Reference>) {
    let data = data(0.01);
    let setup = Setup::with(|state| {
        let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
        format!("[state]\nlocation = \"file://{}\"\n\n{}{tables}", state.display(), PARTITIONED)
    });
    let engine = InProcess::open(&Config::load(&setup.config).unwrap());
    (engine, setup, Reference::over(&data))
}

#[tokio::test]
async fn equal_stages_run_once_unless_they_are_volatile() {
    let (engine, _setup, reference) = adaptive();
    let scans = |stages: &[dunlin_manifest::records::StageSpec]| {
        stages.iter().filter(|stage| stage.name.contains("scan lineitem")).count()
    };
    let twice = "with x as (select l_suppkey k, sum(l_quantity) s from lineitem group by l_suppkey) \
                 select a.k, b.k from x a join x b on a.s = b.s";
    let planned = engine.plan(twice, 4).await;
    assert_eq!(scans(&planned.graph.unwrap().stages), 1);
    reference.check("a view read twice", twice, &engine.run(twice, 4).await);
    let union = "with x as (select l_suppkey k, count(*) c from lineitem group by l_suppkey) \
                 select k, c from x union all select c, k from x union all select k, c from x";
    reference.check("a view read three times", union, &engine.run(union, 4).await);
    let volatile = twice.replace("sum(l_quantity)", "sum(l_quantity + random())");
    let planned = engine.plan(&volatile, 4).await;
    assert_eq!(scans(&planned.graph.unwrap().stages), 2, "each use draws its own numbers");
}

#[tokio::test]
async fn what_an_empty_build_side_makes_needless_is_not_scanned() {
    let (engine, _setup, reference) = adaptive();
    let join = |kind: &str| {
        format!(
            "select o_orderkey, l_quantity from (select * from orders where o_orderkey < 0) o \
             {kind} join lineitem on o_orderkey = l_orderkey"
        )
    };
    for (kind, idle) in [("inner", true), ("left", true), ("right", false), ("full", false)] {
        let (rows, manifests) = engine.decided(&join(kind), 4).await.unwrap();
        reference.check(kind, &join(kind), &rows);
        let stages = engine.plan(&join(kind), 4).await.graph.unwrap().stages;
        let lineitem = stages.iter().position(|it| it.name.contains("lineitem")).unwrap();
        assert_eq!(manifests[lineitem].tasks.is_empty(), idle, "{kind}");
    }
}

#[tokio::test]
async fn a_small_build_side_is_sent_whole_once_it_is_written() {
    let (engine, _setup, reference) = adaptive();
    let sql = "select c_nationkey, count(*), sum(o_totalprice) from customer join orders on \
               c_custkey = o_custkey where c_mktsegment = 'BUILDING' group by c_nationkey";
    let (rows, manifests) = engine.decided(sql, 4).await.unwrap();
    reference.check("turned to broadcast", sql, &rows);
    assert_eq!(manifests.iter().filter(|manifest| manifest.absorbed).count(), 1);
    assert_eq!(manifests.iter().filter(|manifest| manifest.broadcast).count(), 1);
}

#[tokio::test]
async fn a_partition_that_holds_most_rows_becomes_several_tasks() {
    let (engine, _setup, reference) = adaptive();
    // Nine of ten orders have the same key, and the build side is no smaller than they are.
    let sql = "select a.k % 5, count(*), sum(a.p) from \
               (select case when o_orderkey % 10 > 0 then 7 else o_custkey end k, o_totalprice p from orders) a \
               right join customer on a.k = c_custkey group by a.k % 5";
    let turned = "select a.k % 5, count(*), sum(a.p) from customer right join \
               (select case when o_orderkey % 10 > 0 then 7 else o_custkey end k, o_totalprice p from orders) a \
               on a.k = c_custkey group by a.k % 5";
    let mut shared = 0;
    for sql in [sql, turned] {
        let (rows, manifests) = engine.decided(sql, 4).await.unwrap();
        reference.check("skewed", sql, &rows);
        shared += manifests.iter().flat_map(|it| &it.tasks).filter(|it| it.share.is_some()).count();
    }
    assert!(shared > 1, "{shared} shares");
}
