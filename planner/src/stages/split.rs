//! Cuts a physical plan into stages.
//!
//! A stage ends wherever rows must move between tasks:
//!
//! | operator | the cut | what the consumer reads |
//! |---|---|---|
//! | `RepartitionExec` by hash | at it: the producer places rows in buckets; twice if there would be very many slices | one bucket a partition |
//! | `CoalescePartitionsExec` | below it, a `fetch` pushed into the producer | every partition of the producer |
//! | `SortPreservingMergeExec` | below it | every partition, each its own ordered run |
//! | single-partition build side of a join | below it, unless it only reads an exchange | all of it, in every task |
//! | scalar subquery | at its root | its one row |
//! | hash join on exchanged keys | a stage of one side also reads the other side's | a filter of the other side's keys |
//!
//! Nothing is renumbered: a task runs its own partitions `p` of the stage's plan, and everything inside the plan
//! keeps its index. That is correct only if no operator shares state between partitions. So a stage with an operator
//! outside [`crate::stages::SHARES_NOTHING`] runs as **one task**, in one process. The operator was written for that
//! case.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use dunlin_manifest::records::{Output, StageId};
use dunlin_plan::operators::partition_count;
use dunlin_shuffle::{ExchangeReaderExec, KeyFilterExec};

use crate::operators::{collected_join, exchange, holds_subquery, rebuild};
use crate::stages::broadcast::{Filtered, broadcast_plan, keep_sound_broadcasts};
use crate::stages::expected::{Expectations, Expected};
use crate::stages::filtered::{FilteredJoin, Side, promises_to_pay};
use crate::stages::finish::{Finished, Level, finish};
use crate::stages::names::name;
use crate::stages::prove::{divisible_input, empty_with, identity, shared_state};
use crate::stages::reader::reader;
use crate::stages::ride::mark_rides;
use crate::stages::sink::{Sinking, Uses};
use crate::stages::stage::{SplitOptions, Stage};

/// Cuts `plan`; the last stage's output is the answer.
///
/// # Errors
/// The error of DataFusion when a node is rebuilt with new children.
pub fn split(plan: Arc<dyn ExecutionPlan>, options: SplitOptions) -> Result<Vec<Stage>> {
    let mut splitter = Splitter {
        expectations: Expectations::of(&plan),
        uses: Uses::of(&plan),
        stages: Vec::new(),
        level: None,
        options,
        known: HashMap::new(),
        filtered: Vec::new(),
    };
    splitter.root(plan, Output::Result)?;
    let mut stages = splitter.stages;
    keep_sound_broadcasts(&mut stages);
    mark_rides(&mut stages);
    Ok(stages)
}

struct Splitter {
    expectations: Expectations,
    /// Parts of the plan that are used several times.
    uses: Uses,
    stages: Vec<Stage>,
    /// The scalar subqueries that expressions at the current level may refer to.
    level: Option<Level>,
    options: SplitOptions,
    /// Stages by their identity, so that the same rows are produced only once.
    known: HashMap<String, StageId>,
    /// Probe sides that were cut with a filter.
    filtered: Vec<Filtered>,
}

impl Splitter {
    /// Cuts a whole plan (the query's or a scalar subquery's) and makes the rest of it the last stage.
    fn root(&mut self, plan: Arc<dyn ExecutionPlan>, output: Output) -> Result<StageId> {
        let outer = self.level.take();
        let expected = self.expectations.of_rows(&plan);
        let body = self.open(plan)?;
        let id = self.stage(body, output, expected)?;
        self.level = outer;
        Ok(id)
    }

    /// Enters a level of scalar subqueries. Each becomes a stage of one row.
    fn open(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(exec) = plan.downcast_ref::<ScalarSubqueryExec>() else {
            return self.cut(plan);
        };
        let mut links = Vec::with_capacity(exec.subqueries().len());
        for link in exec.subqueries() {
            let id = self.root(Arc::clone(&link.plan), Output::Partitions)?;
            links.push(ScalarSubqueryLink { plan: reader(id, &link.plan)?, index: link.index });
        }
        let template = Arc::new(ScalarSubqueryExec::new(
            Arc::clone(exec.input()),
            exec.subqueries().to_vec(),
            exec.results().clone(),
        ));
        self.level = Some(Level { template, links });
        self.cut(Arc::clone(exec.input()))
    }

    fn cut(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if plan.is::<ScalarSubqueryExec>() {
            // A level inside another one: its whole subtree is cut with its own subqueries and becomes a stage,
            // because a stage can hold only one level.
            let id = self.root(Arc::clone(&plan), Output::Partitions)?;
            return reader(id, &plan);
        }
        if let Some((keys, buckets, input)) = exchange(&plan) {
            let expected = self.expectations.of_rows(input);
            let body = self.cut(Arc::clone(input))?;
            let (id, _) = self.exchanged(body, (keys, buckets), expected)?;
            return reader(id, &plan);
        }
        if let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>()
            && partition_count(coalesce.input()) > 1
        {
            let input = Arc::clone(coalesce.input());
            let read = self.hand_over(&input, coalesce.fetch())?;
            return rebuild(plan, vec![read]);
        }
        if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>()
            && partition_count(merge.input()) > 1
        {
            let input = Arc::clone(merge.input());
            let read = self.hand_over(&input, merge.fetch())?;
            let keys = merge.expr();
            if !keys.iter().any(|key| holds_subquery(&key.expr)) {
                return rebuild(plan, vec![read]);
            }
            // A reader cannot declare an order by the row of a subquery that it does not have.
            let gathered = Arc::new(CoalescePartitionsExec::new(read));
            let sort = SortExec::new(keys.clone(), gathered).with_fetch(merge.fetch());
            return Ok(Arc::new(sort));
        }
        if let Some([left, right]) = collected_join(&plan) {
            let (left, right) = (Arc::clone(left), Arc::clone(right));
            let build = if partition_count(&right) > 1 && !is_gather(&left) {
                // Otherwise every task would compute the build side again.
                self.hand_over(&left, None)?
            } else {
                self.cut(left)?
            };
            let probe = self.cut(right)?;
            return rebuild(plan, vec![build, probe]);
        }
        if self.options.runtime_filters
            && let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && let Some(cut) = self.cut_filtered(&plan, join)?
        {
            return Ok(cut);
        }
        let children = plan
            .children()
            .into_iter()
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
            .map(|child| self.cut(child))
            .collect::<Result<Vec<_>>>()?;
        if children.is_empty() { Ok(plan) } else { rebuild(plan, children) }
    }

    /// Cuts a join one side of which filters the other. The stage where the filter stands waits for the seal of the side
    /// that it comes from. `None` if no filter promises to pay.
    fn cut_filtered(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        join: &HashJoinExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        for sides in FilteredJoin::of(join) {
            let above = sides.input.as_ref().unwrap_or(&sides.filtered);
            // Only whether there is a place: the stage has no number yet.
            let sinks = self.sunk(StageId::MAX, &sides)?.is_some();
            if sinks || (sides.input.is_some() && promises_to_pay(&sides.source, above)?) {
                return self.cut_by(plan, &sides).map(Some);
            }
        }
        Ok(None)
    }

    /// The filtered side (below its exchange, if that is one by the same keys) with the filter where it saves more.
    fn sunk(&self, stage: StageId, sides: &FilteredJoin) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let bucket = u32::try_from(sides.buckets).unwrap_or(u32::MAX);
        let sinking = Sinking { stage, bucket, source: &sides.source, uses: &self.uses };
        sinking.below(sides.input.as_ref().unwrap_or(&sides.filtered), &sides.keys)
    }

    fn cut_by(
        &mut self,
        join: &Arc<dyn ExecutionPlan>,
        sides: &FilteredJoin,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = self.cut(Arc::clone(&sides.source))?;
        let stage = source
            .downcast_ref::<ExchangeReaderExec>()
            .map(ExchangeReaderExec::stage)
            .and_then(|id| self.stages.get_mut(id as usize));
        let filtered = match stage {
            Some(stage) => {
                stage.key_filter = true;
                let id = stage.id;
                self.cut_target(id, sides)?
            }
            None => self.cut(Arc::clone(&sides.filtered))?,
        };
        let children = match sides.target {
            Side::Right => vec![source, filtered],
            Side::Left => vec![filtered, source],
        };
        rebuild(Arc::clone(join), children)
    }

    /// Cuts the side that the keys of stage `source` filter.
    fn cut_target(
        &mut self,
        source: StageId,
        sides: &FilteredJoin,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sunk = self.sunk(source, sides)?;
        let Some(input) = &sides.input else {
            return self.cut(sunk.unwrap_or_else(|| Arc::clone(&sides.filtered)));
        };
        let expected = self.expectations.of_rows(input);
        let (keys, buckets) = (&sides.keys, sides.buckets);
        let stands = sunk.is_some();
        let body = self.cut(sunk.unwrap_or_else(|| Arc::clone(input)))?;
        let sent = if stands {
            Arc::clone(&body)
        } else {
            let bucket = u32::try_from(buckets).unwrap_or(u32::MAX);
            Arc::new(KeyFilterExec::new(Arc::clone(&body), source, bucket, keys.clone()))
        };
        let (exchanged, levels) = self.exchanged(sent, (keys, buckets), expected)?;
        if levels == 1 && sides.target == Side::Right {
            self.filtered.push(Filtered { build: source, probe: exchanged, body });
        }
        reader(exchanged, &sides.filtered)
    }

    /// Makes `body` a stage whose rows are placed in `buckets` buckets, and tells in how many levels. The second level
    /// reads what the first has placed in fewer buckets, and places it in all of them: two producers of 4,096 tasks and
    /// 256 buckets, and of 256 tasks and 4,096 buckets, have 1/8 of the slices of one with 4,096 of both.
    fn exchanged(
        &mut self,
        mut body: Arc<dyn ExecutionPlan>,
        (keys, buckets): (&[Arc<dyn PhysicalExpr>], usize),
        expected: Expected,
    ) -> Result<(StageId, usize)> {
        let by =
            |body, count| RepartitionExec::try_new(body, Partitioning::Hash(keys.to_vec(), count));
        let mut levels = 1;
        if let Some(first) = first_level(partition_count(&body), buckets, self.options.most_slices)
            && !keys.iter().any(holds_subquery)
        {
            let root: Arc<dyn ExecutionPlan> = Arc::new(by(body, first)?);
            let output = Output::Hash { buckets: u32::try_from(first).unwrap_or(u32::MAX) };
            let id = self.stage(Arc::clone(&root), output, expected)?;
            body = reader(id, &root)?;
            levels = 2;
        }
        let output = Output::Hash { buckets: u32::try_from(buckets).unwrap_or(u32::MAX) };
        Ok((self.stage(Arc::new(by(body, buckets)?), output, expected)?, levels))
    }

    /// Makes `input` a stage whose partitions are read without changes.
    fn hand_over(
        &mut self,
        input: &Arc<dyn ExecutionPlan>,
        fetch: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(reader) = input.downcast_ref::<ExchangeReaderExec>() {
            return Ok(Arc::new(reader.clone()));
        }
        let mut expected = self.expectations.of_rows(input);
        let mut body = self.cut(Arc::clone(input))?;
        if let Some(fetch) = fetch {
            expected = expected.at_most(fetch.saturating_mul(partition_count(&body)));
            body = Arc::new(LocalLimitExec::new(body, fetch));
        }
        let id = self.stage(body, Output::Partitions, expected)?;
        reader(id, input)
    }

    /// Creates a stage, or finds the one that gives the same rows.
    fn stage(
        &mut self,
        body: Arc<dyn ExecutionPlan>,
        output: Output,
        expected: Expected,
    ) -> Result<StageId> {
        let id = StageId::try_from(self.stages.len())
            .map_err(|_| DataFusionError::Plan("the plan has too many stages".to_owned()))?;
        let Finished { plan, inner, partitions, walk, subqueries } =
            finish(&body, output, self.level.as_ref())?;
        let one_task = if partitions > 1 { shared_state(&inner)? } else { None };
        let identity = if output == Output::Result { None } else { identity(&plan)? };
        if let Some(identity) = identity {
            match self.known.entry(format!("{output:?}\n{identity}")) {
                Entry::Occupied(known) => return Ok(*known.get()),
                Entry::Vacant(place) => place.insert(id),
            };
        }
        let plain = one_task.is_none() && matches!(output, Output::Hash { .. });
        let broadcast = if plain && self.options.sealed_broadcast {
            broadcast_plan(&body, output, self.level.as_ref(), &self.filtered, &self.stages)?
        } else {
            None
        };
        self.stages.push(Stage {
            id,
            name: name(&inner),
            plan,
            partitions,
            inputs: walk.inputs,
            output,
            expected,
            scan_bytes: if walk.leaves.is_empty() { Vec::new() } else { walk.scan_bytes },
            one_task,
            key_filter: false,
            leaves: walk.leaves,
            // The row of a subquery must be read even if nothing else has rows, because it may be an error.
            empty_with: if subqueries {
                Vec::new()
            } else {
                empty_with(&inner).into_iter().collect()
            },
            shares: if plain { divisible_input(&body) } else { None },
            broadcast,
            absorbed_by: None,
        });
        Ok(id)
    }
}

/// Buckets of the first of two levels of an exchange; `None` if one level has at most `most` slices, or if a second one
/// would not help. A number that divides `buckets` is best: each task of the second level then fills few of them.
fn first_level(partitions: usize, buckets: usize, most: usize) -> Option<usize> {
    if partitions.saturating_mul(buckets) <= most {
        return None;
    }
    let largest = (most / partitions.max(1)).clamp(2, buckets.max(2) - 1);
    let divides = |count: &usize| buckets.is_multiple_of(*count);
    let first = (largest.div_ceil(4)..=largest).rev().find(divides).unwrap_or(largest);
    (first < buckets && first < partitions).then_some(first)
}

/// True for a build side that only reads an exchange once it is cut. This does not include one with a fetch: which
/// rows arrive first must be decided once, and not by every task.
fn is_gather(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.fetch().is_some() {
        return false;
    }
    let below = match (
        plan.downcast_ref::<CoalescePartitionsExec>(),
        plan.downcast_ref::<SortPreservingMergeExec>(),
    ) {
        (Some(coalesce), _) => coalesce.input(),
        (_, Some(merge)) => merge.input(),
        _ => return false,
    };
    partition_count(below) > 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;

    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    use datafusion::physical_plan::joins::NestedLoopJoinExec;
    use dunlin_plan::config::EngineConfig;
    use dunlin_plan::session;

    use super::*;
    use crate::operators::broadcast_is_sound;
    use crate::passes::split_joins;

    /// The stages of `sql` over tables `a` and `b` of four partitions each.
    async fn stages(sql: &str) -> Vec<Stage> {
        let settings = session::settings(&EngineConfig::default(), 4);
        let context = SessionContext::new_with_config(session::config(&settings).unwrap());
        let fields =
            vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Int64, true)];
        let schema = Arc::new(Schema::new(fields));
        for table in ["a", "b"] {
            let parts = (0..4)
                .map(|part| {
                    let column =
                        || Arc::new(Int64Array::from_iter_values(part * 10..part * 10 + 10));
                    let columns = vec![column() as _, column() as _];
                    vec![RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()]
                })
                .collect();
            let table_of = MemTable::try_new(Arc::clone(&schema), parts).unwrap();
            context.register_table(table, Arc::new(table_of)).unwrap();
        }
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let options = context.state().config_options().as_ref().clone();
        let plan = split_joins(plan, &options).unwrap();
        let options =
            SplitOptions { runtime_filters: true, sealed_broadcast: true, most_slices: 1 << 20 };
        split(plan, options).unwrap()
    }

    #[test]
    fn an_exchange_of_too_many_slices_has_two_levels_with_fewer() {
        assert_eq!(first_level(1024, 1024, 1 << 20), None);
        assert_eq!(first_level(4096, 4096, 1 << 20), Some(256));
        assert_eq!(first_level(1025, 1025, 1 << 20), Some(1023));
        assert_eq!(first_level(4096, 1000, 1 << 20), Some(250));
        assert_eq!(first_level(16, 16, 32), Some(2));
        // One partition gains nothing.
        assert_eq!(first_level(1, 4096, 1024), None);
    }

    #[tokio::test]
    async fn the_first_rows_of_a_build_side_are_chosen_once() {
        for sql in [
            "select b.v from (select k from a where v > 3 limit 5) a join b on a.k = b.k",
            "select b.v, a.k from (select k from a where v > 3 limit 5) a cross join b",
            "select b.v from b where not exists (select 1 from (select k from a limit 5) a where a.k = b.k)",
            "select b.v from b left join (select k from a limit 5) a on a.k < b.k",
        ] {
            for stage in stages(sql).await {
                let mut chosen = false;
                stage
                    .plan
                    .apply(|node| {
                        chosen |= node.fetch().is_some()
                            && (node.is::<CoalescePartitionsExec>()
                                || node.is::<SortPreservingMergeExec>());
                        Ok(TreeNodeRecursion::Continue)
                    })
                    .unwrap();
                assert!(!chosen || stage.partitions == 1, "{sql}: stage {}", stage.id);
            }
        }
    }

    #[tokio::test]
    async fn a_nested_loop_join_that_emits_build_rows_has_one_probe_partition() {
        for sql in [
            "select a.v, b.v from a left join b on a.k < b.k",
            "select a.v from a where not exists (select 1 from b where b.k > a.k)",
        ] {
            for stage in stages(sql).await {
                stage
                    .plan
                    .apply(|node| {
                        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                            let sound = broadcast_is_sound(*join.join_type());
                            assert!(sound || partition_count(join.right()) == 1, "{sql}");
                        }
                        Ok(TreeNodeRecursion::Continue)
                    })
                    .unwrap();
            }
        }
    }
}
