#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use dunlin_plan::config::EngineConfig;
use dunlin_plan::session;
use dunlin_shuffle::KeyFilterExec;

use crate::passes::split_joins;
use crate::stages::{SplitOptions, Stage, split};

/// A table of four partitions of `rows` rows each.
fn table(rows: i64) -> Arc<MemTable> {
    let part = |part: i64| {
        let numbers = || part * rows..(part + 1) * rows;
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(Int64Array::from_iter_values(numbers()))),
            ("v", Arc::new(Int64Array::from_iter_values(numbers().map(|row| row % 7)))),
            ("f", Arc::new(Float64Array::from_iter_values(numbers().map(|_| 0.5)))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        );
        vec![batch.unwrap()]
    };
    let parts: Vec<_> = (0..4).map(part).collect();
    Arc::new(MemTable::try_new(parts[0][0].schema(), parts).unwrap())
}

/// The stages of a statement over `big` and `few`, all joins of which exchange both sides.
async fn stages(sql: &str) -> Vec<Stage> {
    let settings = session::settings(&EngineConfig::default(), 4);
    let mut config = session::config(&settings).unwrap();
    for name in
        ["hash_join_single_partition_threshold", "hash_join_single_partition_threshold_rows"]
    {
        config = config.set_u64(&format!("datafusion.optimizer.{name}"), 0);
    }
    let context = SessionContext::new_with_config(config);
    context.register_table("big", table(10_000)).unwrap();
    context.register_table("few", table(5)).unwrap();
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let plan = split_joins(plan, context.state().config_options()).unwrap();
    let options =
        SplitOptions { runtime_filters: true, sealed_broadcast: true, most_slices: 1 << 20 };
    split(plan, options).unwrap()
}

/// The operators whose input a filter is, as the stages have them, with the names of their stages.
async fn filtered(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    for stage in stages(sql).await {
        let visit = |node: &Arc<dyn datafusion::physical_plan::ExecutionPlan>| {
            if node.children().iter().any(|input| input.is::<KeyFilterExec>()) {
                let text = displayable(node.as_ref()).one_line().to_string();
                let name = text.split([',', ':']).take(2).collect::<Vec<_>>().join(",");
                found.push(name.trim().to_owned());
            }
            Ok(TreeNodeRecursion::Continue)
        };
        stage.plan.apply(visit).unwrap();
    }
    found
}

const PARTIAL: &str = "AggregateExec, mode=Partial";
const EXCHANGE: &str = "RepartitionExec, partitioning=Hash([k@0]";

#[tokio::test]
async fn a_filter_goes_below_what_groups_by_its_keys() {
    let groups = "(select k, sum(v) as s from big group by k)";
    for sql in [
        format!("select w.v, b.s from few w join {groups} b on w.k = b.k"),
        format!("select w.v, b.s from few w left join {groups} b on w.k = b.k"),
        "select w.v from few w where w.v < (select avg(v) from big where big.k = w.k)".to_owned(),
        format!(
            "select w.v, b.s from few w join (select k, s + 1 as s from {groups} where s > 3) b on w.k = b.k"
        ),
        format!(
            "select w.v, b.s from few w join (select * from {groups} union all select k, v from big) b on w.k = b.k"
        ),
    ] {
        let found = filtered(&sql).await;
        assert!(found.contains(&PARTIAL.to_owned()), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn a_filter_goes_below_a_window_of_its_keys_and_no_other() {
    let window = |by: &str| {
        format!(
            "select w.v, b.n from few w join (select k, v, count(*) over (partition by {by} order by v) as n from big) b on w.k = b.k"
        )
    };
    for by in ["k", "k, v", "v, k"] {
        let found = filtered(&window(by)).await;
        assert!(found.iter().any(|name| name.starts_with("RepartitionExec")), "{by}: {found:?}");
        let stages = stages(&window(by)).await;
        let first = stages.iter().find(|stage| !stage.inputs.is_empty()).unwrap();
        let text = displayable(first.plan.as_ref()).indent(false).to_string();
        assert!(text.contains("KeyFilterExec") && !text.contains("Window"), "{by}: {text}");
    }
    let stages = stages(&window("v")).await;
    for stage in &stages {
        let text = displayable(stage.plan.as_ref()).indent(false).to_string();
        let below = text.split("Window").nth(1).unwrap_or("");
        assert!(!below.contains("KeyFilterExec"), "{text}");
    }
}

#[tokio::test]
async fn a_filter_stays_above_what_depends_on_other_rows() {
    for below in [
        "(select k, v from big order by v limit 100)",
        "(select k, f, count(*) as v from big group by grouping sets ((k), (f)))",
        "(select k, min(v) as v from big group by k, f limit 1000)",
        "(select v as k, count(*) as v from big group by v, k % 3 having count(*) > (select count(*) from few))",
    ] {
        let found =
            filtered(&format!("select w.v, b.v from few w join {below} b on w.k = b.k")).await;
        let allowed = |name: &String| {
            !name.starts_with("AggregateExec, mode=Partial") || below.contains("having")
        };
        assert!(found.iter().all(allowed), "{below}: {found:?}");
    }
}

#[tokio::test]
async fn a_filter_of_floats_stays_where_the_exchange_is() {
    let sql = "select w.v, b.s from few w join (select f, sum(v) as s from big group by f) b on w.f = b.f";
    let found = filtered(sql).await;
    assert!(!found.contains(&PARTIAL.to_owned()), "{found:?}");
}

#[tokio::test]
async fn the_smaller_side_filters_the_larger_whichever_is_built() {
    for sql in [
        "select b.v from big b left join few w on w.k = b.k where w.k is not null",
        "select w.v from few w where not exists (select 1 from big b where b.k = w.k and b.v <> w.v)",
        "select w.v from few w where exists (select 1 from big b where b.k = w.k and b.v <> w.v)",
        "select w.v, b.v from few w left join big b on b.k = w.k",
    ] {
        let found = filtered(sql).await;
        assert!(found.contains(&EXCHANGE.to_owned()), "{sql}: {found:?}");
    }
    let all = "select w.v, b.v from few w full join big b on b.k = w.k";
    assert_eq!(filtered(all).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_used_twice_is_not_filtered_for_one_of_its_users() {
    let sql = "with c as (select k, sum(v) as s from big group by k) \
        select a.s, b.s from few w join c a on a.k = w.k, (select s, k from c where k > 3) b where b.k = a.s";
    let shared = stages(sql).await;
    let partial = |stage: &&Stage| {
        displayable(stage.plan.as_ref()).indent(false).to_string().contains("mode=Partial")
    };
    let plain: Vec<_> = shared.iter().filter(partial).collect();
    let text = |stage: &&Stage| displayable(stage.plan.as_ref()).indent(false).to_string();
    assert!(plain.iter().any(|stage| !text(stage).contains("KeyFilterExec")), "{plain:?}");
}
