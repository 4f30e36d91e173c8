//! The cheapest tree of joins.
//!
//! A tree costs what its joins cost: the rows that they build, probe and give, and the bytes that are exchanged for them.
//! Up to [`ALL`] relations, every tree without cross products is looked at, by dynamic programming over sets of relations;
//! of more, the join with the fewest rows comes next.
//!
//! The rows of a set of relations do not depend on the order in which they are joined. Equal columns keep one pair in as
//! many as the smaller side has different values, because one of the two is nearly always a key.

use std::cell::RefCell;
use std::collections::HashMap;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;

use super::estimate::{Estimate, estimate, width};
use super::facts::{Facts, float};
use super::graph::{At, Condition, Graph, Set, Shape, members, only};
use super::selectivity;

/// Most relations of which every tree is looked at.
const ALL: usize = 12;
/// Work for a row: to build, to probe, and to give.
const BUILD: f64 = 2.0;
const PROBE: f64 = 1.0;
const GIVE: f64 = 1.0;
/// Exchanged bytes that cost as much as one row of work.
const BYTES: f64 = 16.0;
/// Bytes of a probe side for which there is another task.
const TASK: f64 = (16 << 20) as f64;
/// The part of a probe side that is exchanged although a filter of keys could have dropped it.
const PASSED: f64 = 0.05;
/// The part of the rows that an anti join keeps whose other side has all keys.
const LEFT_OVER: f64 = 0.1;
/// The part of the rows that a further condition of a semi or an anti join decides about.
const DECIDED: f64 = 0.5;

/// Up to where a build side is sent whole, and to how many tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    rows: f64,
    bytes: f64,
    tasks: f64,
}

impl Limits {
    pub(super) fn of(options: &ConfigOptions) -> Self {
        let tasks = float(options.execution.target_partitions.max(1));
        let options = &options.optimizer;
        Self {
            tasks,
            rows: float(options.hash_join_single_partition_threshold_rows),
            bytes: float(options.hash_join_single_partition_threshold),
        }
    }
}

/// The search for a tree.
pub(super) struct Search<'a> {
    graph: &'a Graph,
    estimates: Vec<Estimate>,
    widths: Vec<f64>,
    limits: Limits,
    rows: RefCell<HashMap<Set, f64>>,
}

/// A tree, by the two sets that are joined last.
#[derive(Clone, Copy, Debug)]
struct Plan {
    cost: f64,
    sides: Option<(Set, Set)>,
}

impl<'a> Search<'a> {
    /// `None` if nothing is known of a relation.
    pub(super) fn new(graph: &'a Graph, limits: &Limits) -> Option<Self> {
        let relations = &graph.relations;
        let estimates =
            relations.iter().map(|it| estimate(&it.plan)).collect::<Option<Vec<_>>>()?;
        let estimates = filtered(graph, estimates);
        let widths = relations.iter().map(|it| width(&it.plan.schema())).collect();
        Some(Self { graph, estimates, widths, limits: *limits, rows: RefCell::default() })
    }

    /// The tree to build, if the relations hang together.
    pub(super) fn best(&self) -> Option<Shape> {
        if self.graph.relations.len() <= ALL { self.among_all() } else { self.one_by_one() }
    }

    fn among_all(&self) -> Option<Shape> {
        let count = self.graph.relations.len();
        let all: Set = (1 << count) - 1;
        let mut plans: HashMap<Set, Plan> =
            (0..count).map(|relation| (only(relation), Plan { cost: 0.0, sides: None })).collect();
        for set in 1..=all {
            let mut best: Option<Plan> = None;
            // Each set without its own lowest relation, so that no pair comes twice.
            let lowest = set & set.wrapping_neg();
            let others = set ^ lowest;
            let mut right = others;
            while right != 0 {
                let left = set ^ right;
                if let (Some(one), Some(other)) = (plans.get(&left), plans.get(&right))
                    && let Some((left, right)) = self.joinable(left, right)
                {
                    let cost = one.cost + other.cost + self.cost_of(left, right);
                    if best.is_none_or(|best| cost < best.cost) {
                        best = Some(Plan { cost, sides: Some((left, right)) });
                    }
                }
                right = (right - 1) & others;
            }
            if let Some(best) = best {
                plans.insert(set, best);
            }
        }
        self.shape(&plans, all)
    }

    fn shape(&self, plans: &HashMap<Set, Plan>, set: Set) -> Option<Shape> {
        let Some((left, right)) = plans.get(&set)?.sides else {
            return Some(Shape::Relation(set.trailing_zeros() as usize));
        };
        self.join(self.shape(plans, left)?, self.shape(plans, right)?)
    }

    /// The join of two trees, whose smaller side is built.
    pub(super) fn join(&self, left: Shape, right: Shape) -> Option<Shape> {
        let (left_set, right_set) = self.joinable(left.set(), right.set())?;
        let turned = left_set != left.set();
        let (left, right) = if turned { (right, left) } else { (left, right) };
        let is_larger = self.size(left_set).1 > self.size(right_set).1
            && self.graph.decider(right_set).is_none();
        let (left, right) = if is_larger { (right, left) } else { (left, right) };
        Some(Shape::Join(Box::new(left), Box::new(right)))
    }

    fn one_by_one(&self) -> Option<Shape> {
        let mut trees: Vec<Shape> = (0..self.graph.relations.len()).map(Shape::Relation).collect();
        while trees.len() > 1 {
            let mut best: Option<(f64, Set, Set)> = None;
            for (at, one) in trees.iter().enumerate() {
                for other in trees.iter().skip(at + 1) {
                    let Some((left, right)) = self.joinable(one.set(), other.set()) else {
                        continue;
                    };
                    let cost = self.cost_of(left, right) + self.rows(left | right);
                    if best.is_none_or(|best| cost < best.0) {
                        best = Some((cost, left, right));
                    }
                }
            }
            let (_, left, right) = best?;
            let mut take = |set: Set| {
                let at = trees.iter().position(|tree| tree.set() == set)?;
                Some(trees.swap_remove(at))
            };
            let (left, right) = (take(left)?, take(right)?);
            trees.push(self.join(left, right)?);
        }
        trees.pop()
    }

    /// What a tree costs.
    pub(super) fn cost(&self, shape: &Shape) -> f64 {
        match shape {
            Shape::Relation(_) => 0.0,
            Shape::Join(left, right) => {
                self.cost(left) + self.cost(right) + self.cost_of(left.set(), right.set())
            }
        }
    }

    fn keeps(&self, relation: usize) -> bool {
        self.graph.relations[relation].keeps.is_some()
    }

    /// The two sets as the left and the right side of a join, if there is one.
    fn joinable(&self, one: Set, other: Set) -> Option<(Set, Set)> {
        for (stays, decider) in [(one, other), (other, one)] {
            if let Some(keeps) = self.graph.decider(decider) {
                return (keeps.needs & stays == keeps.needs).then_some((stays, decider));
            }
        }
        let linked = self.links(one, other).next().is_some();
        linked.then_some((one, other))
    }

    /// The groups of equal columns that have columns on both sides.
    fn links(&self, one: Set, other: Set) -> impl Iterator<Item = &Vec<At>> {
        let in_set = |class: &[At], set: Set| class.iter().any(|at| set & only(at.relation) != 0);
        self.graph.classes.iter().filter(move |class| in_set(class, one) && in_set(class, other))
    }

    /// What joining two sets costs, without what they cost themselves.
    fn cost_of(&self, left: Set, right: Set) -> f64 {
        let given = self.rows(left | right);
        let (one, other) = (self.size(left), self.size(right));
        let (build, probe) = if one.1 <= other.1 { (one, other) } else { (other, one) };
        let work = BUILD * build.0 + PROBE * probe.0 + GIVE * given;
        if build.0 <= self.limits.rows && build.1 <= self.limits.bytes {
            // Each task of the probe side builds it again.
            let tasks = (probe.1 / TASK).clamp(1.0, self.limits.tasks);
            return work + (tasks - 1.0) * BUILD * build.0;
        }
        let passes = (given / probe.0.max(1.0) + PASSED).min(1.0);
        work + (build.1 + probe.1 * passes) / BYTES
    }

    /// Rows and bytes of a set.
    fn size(&self, set: Set) -> (f64, f64) {
        let joined =
            members(set).filter(|relation| !self.keeps(*relation) || set == only(*relation));
        let width: f64 = joined.map(|relation| self.widths[relation]).sum();
        (self.rows(set), self.rows(set) * width)
    }

    /// The rows that the relations of a set have together.
    fn rows(&self, set: Set) -> f64 {
        if let Some(rows) = self.rows.borrow().get(&set) {
            return *rows;
        }
        let rows = self.counted(set);
        self.rows.borrow_mut().insert(set, rows);
        rows
    }

    fn counted(&self, set: Set) -> f64 {
        if let Some(relation) = members(set).filter(|relation| self.keeps(*relation)).last()
            && set != only(relation)
        {
            return (self.rows(set & !only(relation)) * self.kept(relation)).max(1.0);
        }
        // The last one without which the others still hang together.
        let last =
            members(set).filter(|relation| self.hangs_together(set & !only(*relation))).last();
        let Some(last) = last.filter(|last| set != only(*last)) else {
            return members(set).map(|relation| self.estimates[relation].rows).product();
        };
        let rest = set & !only(last);
        let both = self.rows(rest) * self.estimates[last].rows;
        let conditions = self.graph.conditions.iter().filter(|condition| {
            let needs = condition.needs();
            needs & !set == 0 && needs & !rest != 0 && needs != only(last)
        });
        let conditions: f64 = conditions.map(|condition| self.selectivity(condition)).product();
        (both * conditions / self.keys(rest, only(last))).max(1.0)
    }

    fn selectivity(&self, condition: &Condition) -> f64 {
        let facts: Vec<Facts> = condition.columns.iter().map(|at| self.facts(*at)).collect();
        selectivity::of(&condition.expr, &facts)
    }

    fn facts(&self, at: At) -> Facts {
        self.estimates[at.relation].columns[at.column]
    }

    /// Different values of the columns by which two sets are joined.
    fn keys(&self, one: Set, other: Set) -> f64 {
        let set = one | other;
        let mut product = 1.0;
        let mut links = 0;
        let mut holders = set;
        for class in self.links(one, other) {
            let here = || class.iter().filter(|at| set & only(at.relation) != 0);
            let facts = here().map(|at| self.facts(*at));
            let dense = facts.clone().filter(|facts| !facts.sparse).map(|facts| facts.distinct);
            let smallest = dense.fold(f64::INFINITY, f64::min);
            product *= if smallest.is_finite() {
                smallest
            } else {
                facts.map(|facts| facts.distinct).fold(1.0, f64::max)
            };
            holders &= here().fold(0, |holders, at| holders | only(at.relation));
            links += 1;
        }
        if links > 1 {
            // A relation that has all keys has no more combinations of them than rows.
            let rows = members(holders).map(|relation| self.estimates[relation].base);
            product = rows.fold(product, f64::min);
        }
        product.max(1.0)
    }

    fn hangs_together(&self, set: Set) -> bool {
        let Some(first) = members(set).next() else { return false };
        let mut reached = only(first);
        loop {
            let more = members(set & !reached)
                .filter(|relation| self.links(reached, only(*relation)).next().is_some())
                .fold(reached, |reached, relation| reached | only(relation));
            if more == reached {
                return reached == set;
            }
            reached = more;
        }
    }

    /// The part of the rows that a semi or an anti join keeps.
    fn kept(&self, relation: usize) -> f64 {
        let Some(keeps) = &self.graph.relations[relation].keeps else { return 1.0 };
        let own = &self.estimates[relation];
        let keys: f64 = keeps.on.iter().map(|(at, _)| self.facts(*at).distinct).product();
        let there = keeps.on.iter().map(|(_, column)| own.columns[*column].distinct);
        let there = there.product::<f64>().min(own.rows);
        let mut found = (there / keys.max(1.0)).clamp(1e-9, 1.0);
        if keeps.filter.is_some() {
            found *= DECIDED;
        }
        match keeps.join_type {
            JoinType::LeftAnti => (1.0 - found).max(LEFT_OVER),
            _ => found,
        }
    }
}

/// The estimates after the conditions that look at one relation.
fn filtered(graph: &Graph, mut estimates: Vec<Estimate>) -> Vec<Estimate> {
    for condition in &graph.conditions {
        let needs = condition.needs();
        if needs.count_ones() == 1 {
            let own = &mut estimates[needs.trailing_zeros() as usize];
            let facts: Vec<Facts> =
                condition.columns.iter().map(|at| own.columns[at.column]).collect();
            own.rows = (own.rows * selectivity::of(&condition.expr, &facts)).max(1.0);
        }
    }
    estimates
}
