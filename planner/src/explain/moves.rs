//! Where the rows of a stage go, and why they are moved.

use std::sync::Arc;

use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use dunlin_manifest::records::{Output, StageId};
use dunlin_shuffle::{ExchangeReaderExec, KeyFilterExec};
use serde::Serialize;

use super::steps::named;
use crate::stages::Stage;

/// Where the rows of a stage go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// `hash`: into buckets by keys; `partitions`: as they are; `answer`: to the client.
    pub how: &'static str,
    /// The keys of the hash.
    pub keys: Vec<String>,
    /// The buckets of the hash.
    pub buckets: Option<u32>,
    /// The stages that read them.
    pub to: Vec<StageId>,
    /// Why rows move: what the readers do with them.
    pub why: Vec<String>,
}

/// Where the rows of a stage go.
pub(super) fn of(stage: &Stage, all: &[Stage]) -> Moved {
    let readers =
        all.iter().filter(|other| other.inputs.iter().any(|input| input.stage == stage.id));
    let (mut to, mut why) = (Vec::new(), Vec::new());
    for reader in readers {
        to.push(reader.id);
        for reason in reasons(reader, stage.id) {
            let reason = format!("stage {} {reason}", reader.id);
            if !why.contains(&reason) {
                why.push(reason);
            }
        }
    }
    let (how, keys, buckets) = match stage.output {
        Output::Hash { buckets } => ("hash", keys(&stage.plan), Some(buckets)),
        Output::Partitions => ("partitions", Vec::new(), None),
        Output::Result => ("answer", Vec::new(), None),
    };
    Moved { how, keys, buckets, to, why }
}

/// The keys by which the root of a stage's plan places rows.
fn keys(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    if let Some(subqueries) = plan.downcast_ref::<ScalarSubqueryExec>() {
        return keys(subqueries.input());
    }
    match plan.downcast_ref::<RepartitionExec>().map(RepartitionExec::partitioning) {
        Some(Partitioning::Hash(keys, _)) => keys.iter().map(named).collect(),
        _ => Vec::new(),
    }
}

/// What a stage does with the rows of `input`, as the rest of a sentence that begins with the stage.
fn reasons(reader: &Stage, input: StageId) -> Vec<String> {
    let mut found = Vec::new();
    let mut above = Vec::new();
    visit(&reader.plan, input, &mut above, &mut found);
    found
}

fn visit<'a>(
    plan: &'a Arc<dyn ExecutionPlan>,
    input: StageId,
    above: &mut Vec<&'a Arc<dyn ExecutionPlan>>,
    found: &mut Vec<String>,
) {
    if plan.downcast_ref::<ExchangeReaderExec>().is_some_and(|reader| reader.stage() == input) {
        let gathered = above.last().is_some_and(|node| node.is::<CoalescePartitionsExec>());
        let otherwise = if gathered { "gathers them in one task" } else { "reads them" };
        let reason = above.iter().rev().find_map(|node| reason(node));
        found.push(reason.unwrap_or(otherwise).to_owned());
    }
    if plan.downcast_ref::<KeyFilterExec>().is_some_and(|filter| filter.stage() == input) {
        found.push("drops rows that match none of their keys".to_owned());
    }
    above.push(plan);
    for child in plan.children() {
        visit(child, input, above, found);
    }
    above.pop();
}

/// What the nearest operator that needs rows together does with them.
fn reason(node: &Arc<dyn ExecutionPlan>) -> Option<&'static str> {
    if node.is::<AggregateExec>() {
        return Some("aggregates them");
    }
    if crate::operators::collected_join(node).is_some() {
        return Some("joins with all of them in every task");
    }
    if node.is::<HashJoinExec>() || node.is::<SortMergeJoinExec>() {
        return Some("joins them");
    }
    if node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>() {
        return Some("computes window functions over them");
    }
    if node.is::<SortPreservingMergeExec>() {
        return Some("merges them in order");
    }
    if node.is::<RepartitionExec>() {
        return Some("places them in more buckets");
    }
    node.is::<ScalarSubqueryExec>().then_some("uses their value")
}
