//! A tree of joins as a graph: what is joined, and on what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::operators::rebuild;

/// More relations than this are not looked at: sets of them are bits of a word.
const MOST: usize = 60;

/// A column of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) relation: usize,
    pub(super) column: usize,
}

/// A set of relations.
pub(super) type Set = u64;

/// The set with one relation.
pub(super) fn only(relation: usize) -> Set {
    1 << relation
}

/// The relations of a set, in their order.
pub(super) fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..64).filter(move |relation| set & only(*relation) != 0)
}

/// Something that is joined.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// If its rows only decide which rows of other relations stay.
    pub(super) keeps: Option<Keeps>,
}

/// A semi or an anti join with its right side.
#[derive(Debug)]
pub(super) struct Keeps {
    pub(super) join_type: JoinType,
    /// Columns of other relations, and columns of this one that must be equal to them.
    pub(super) on: Vec<(At, usize)>,
    pub(super) filter: Option<Condition>,
    pub(super) null_equality: NullEquality,
    /// The relations whose columns it looks at.
    pub(super) needs: Set,
}

/// An expression over columns of several relations. Its columns are positions in `columns`.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) columns: Vec<At>,
    pub(super) fields: Vec<Field>,
}

impl Condition {
    /// The relations whose columns it names.
    pub(super) fn needs(&self) -> Set {
        self.columns.iter().fold(0, |set, at| set | only(at.relation))
    }
}

/// What is joined first.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Relation(usize),
    Join(Box<Shape>, Box<Shape>),
}

impl Shape {
    pub(super) fn set(&self) -> Set {
        match self {
            Self::Relation(relation) => only(*relation),
            Self::Join(left, right) => left.set() | right.set(),
        }
    }
}

/// A tree of joins.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) relations: Vec<Relation>,
    /// Groups of columns that are equal in each row of the result.
    pub(super) classes: Vec<Vec<At>>,
    pub(super) conditions: Vec<Condition>,
    /// The columns of the result.
    pub(super) output: Vec<At>,
    /// The order in which the statement joins.
    pub(super) shape: Shape,
    pub(super) mode: PartitionMode,
}

impl Graph {
    /// The graph of a plan, if it is a tree of joins whose order can matter.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let mut gathering = Gathering::default();
        if !joins_below(plan) {
            return None;
        }
        let (output, shape) = gathering.gather(plan);
        let Gathering { relations, equals, conditions, mode } = gathering;
        // A condition without columns belongs to no place.
        if !(3..=MOST).contains(&relations.len()) || conditions.iter().any(|it| it.needs() == 0) {
            return None;
        }
        let classes = classes(&equals);
        let type_of =
            |at: &At| relations[at.relation].plan.schema().field(at.column).data_type().clone();
        // Columns that are equal by a third one are compared with each other.
        let comparable =
            classes.iter().all(|class| class.iter().all(|at| type_of(at) == type_of(&class[0])));
        if !comparable {
            return None;
        }
        Some(Self { relations, classes, conditions, output, shape, mode: mode? })
    }
}

impl Graph {
    /// The set's only relation, if it decides which rows of others stay, and how it does.
    pub(super) fn decider(&self, set: Set) -> Option<&Keeps> {
        let relation = self.relations.get(set.trailing_zeros() as usize)?;
        relation.keeps.as_ref().filter(|_| set.count_ones() == 1)
    }
}

/// Groups of columns that are equal to each other.
fn classes(equals: &[(At, At)]) -> Vec<Vec<At>> {
    let mut classes: Vec<Vec<At>> = Vec::new();
    for (left, right) in equals {
        let mut merged = vec![*left, *right];
        classes.retain(|class| {
            let apart = !class.contains(left) && !class.contains(right);
            if !apart {
                merged.extend(class);
            }
            apart
        });
        merged.sort_unstable();
        merged.dedup();
        classes.push(merged);
    }
    classes.sort_unstable();
    classes
}

/// What a node is for the graph.
enum Step<'a> {
    Inner(&'a HashJoinExec),
    /// A semi or an anti join. The second is true if the rows of its left side stay.
    Keeps(&'a HashJoinExec, bool),
    Columns(&'a ProjectionExec),
    Filter(&'a FilterExec),
    Relation,
}

impl<'a> Step<'a> {
    fn of(plan: &'a Arc<dyn ExecutionPlan>) -> Self {
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            let is_plain =
                join.on().iter().all(|(left, right)| left.is::<Column>() && right.is::<Column>())
                    && join
                        .filter()
                        .is_none_or(|filter| cannot_fail(filter.expression(), filter.schema()))
                    && join.fetch().is_none()
                    && !join.null_aware;
            let nothing = join.null_equality() == NullEquality::NullEqualsNothing;
            return match join.join_type() {
                JoinType::Inner if is_plain && nothing => Self::Inner(join),
                JoinType::LeftSemi | JoinType::LeftAnti if is_plain => Self::Keeps(join, true),
                JoinType::RightSemi | JoinType::RightAnti if is_plain => Self::Keeps(join, false),
                _ => Self::Relation,
            };
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let is_plain = projection.expr().iter().all(|it| it.expr.is::<Column>());
            return if is_plain { Self::Columns(projection) } else { Self::Relation };
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>()
            && filter.fetch().is_none()
            && cannot_fail(filter.predicate(), &filter.input().schema())
        {
            return Self::Filter(filter);
        }
        Self::Relation
    }
}

/// True if the plan is a join of the graph, perhaps with a filter or a choice of columns above it.
fn joins_below(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match Step::of(plan) {
        Step::Inner(_) | Step::Keeps(..) => true,
        Step::Columns(projection) => joins_below(projection.input()),
        Step::Filter(filter) => joins_below(filter.input()),
        Step::Relation => false,
    }
}

#[derive(Default)]
struct Gathering {
    relations: Vec<Relation>,
    equals: Vec<(At, At)>,
    conditions: Vec<Condition>,
    mode: Option<PartitionMode>,
}

impl Gathering {
    /// The columns of a plan, and its place in the order.
    fn gather(&mut self, plan: &Arc<dyn ExecutionPlan>) -> (Vec<At>, Shape) {
        if !joins_below(plan) {
            return self.relation(plan, None);
        }
        match Step::of(plan) {
            Step::Relation => self.relation(plan, None),
            Step::Columns(projection) => {
                let (columns, shape) = self.gather(projection.input());
                let chosen = projection.expr().iter().filter_map(|it| column_of(&it.expr));
                (chosen.map(|column| columns[column]).collect(), shape)
            }
            Step::Filter(filter) => {
                let (columns, shape) = self.gather(filter.input());
                let schema = filter.input().schema();
                for part in split_conjunction(filter.predicate()) {
                    let of = |column: usize| (columns[column], schema.field(column).clone());
                    self.conditions.extend(condition(part, of));
                }
                (projected(columns, filter.projection().as_deref()), shape)
            }
            Step::Inner(join) => self.inner(join),
            Step::Keeps(join, left_stays) => self.keeps(join, left_stays),
        }
    }

    fn relation(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        keeps: Option<Keeps>,
    ) -> (Vec<At>, Shape) {
        let relation = self.relations.len();
        let columns = (0..plan.schema().fields().len()).map(|column| At { relation, column });
        self.relations.push(Relation { plan: Arc::clone(plan), keeps });
        (columns.collect(), Shape::Relation(relation))
    }

    fn inner(&mut self, join: &HashJoinExec) -> (Vec<At>, Shape) {
        self.mode.get_or_insert(*join.partition_mode());
        let (left, left_shape) = self.gather(join.left());
        let (right, right_shape) = self.gather(join.right());
        for (one, other) in join.on() {
            if let (Some(one), Some(other)) = (column_of(one), column_of(other)) {
                self.equals.push((left[one], right[other]));
            }
        }
        if let Some(filter) = join.filter() {
            let of = |position: usize| {
                let place = &filter.column_indices()[position];
                let side = if place.side == JoinSide::Left { &left } else { &right };
                (side[place.index], filter.schema().field(position).clone())
            };
            for part in split_conjunction(filter.expression()) {
                self.conditions.extend(condition(part, of));
            }
        }
        let columns = left.iter().chain(&right).copied().collect();
        let shape = Shape::Join(Box::new(left_shape), Box::new(right_shape));
        (projected(columns, join.projection.as_deref()), shape)
    }

    fn keeps(&mut self, join: &HashJoinExec, left_stays: bool) -> (Vec<At>, Shape) {
        self.mode.get_or_insert(*join.partition_mode());
        let (stays, decides) =
            if left_stays { (join.left(), join.right()) } else { (join.right(), join.left()) };
        let (columns, shape) = self.gather(stays);
        let own = self.relations.len();
        let pairs = join.on().iter().filter_map(|(left, right)| {
            let (one, other) = if left_stays { (left, right) } else { (right, left) };
            Some((columns[column_of(one)?], column_of(other)?))
        });
        let on: Vec<(At, usize)> = pairs.collect();
        let filter = join.filter().and_then(|filter| {
            let of = |position: usize| {
                let place = &filter.column_indices()[position];
                let is_left = place.side == JoinSide::Left;
                let at = if is_left == left_stays {
                    columns[place.index]
                } else {
                    At { relation: own, column: place.index }
                };
                (at, filter.schema().field(position).clone())
            };
            condition(filter.expression(), of)
        });
        let of_filter = filter.iter().flat_map(|filter| &filter.columns);
        let looked_at = on.iter().map(|(at, _)| at).chain(of_filter);
        let needs = looked_at.fold(0, |set, at| set | only(at.relation)) & !only(own);
        let join_type = match join.join_type() {
            JoinType::LeftSemi | JoinType::RightSemi => JoinType::LeftSemi,
            _ => JoinType::LeftAnti,
        };
        let null_equality = join.null_equality();
        let keeps = Keeps { join_type, on, filter, null_equality, needs };
        let (_, own_shape) = self.relation(decides, Some(keeps));
        let shape = Shape::Join(Box::new(shape), Box::new(own_shape));
        (projected(columns, join.projection.as_deref()), shape)
    }
}

/// The same plan with other relations, in the order in which they were gathered.
pub(super) fn with_relations(
    plan: &Arc<dyn ExecutionPlan>,
    relations: &mut impl Iterator<Item = Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut next = || relations.next().unwrap_or_else(|| Arc::clone(plan));
    if !joins_below(plan) {
        return Ok(next());
    }
    let children = match Step::of(plan) {
        Step::Relation => return Ok(next()),
        Step::Columns(projection) => vec![with_relations(projection.input(), relations)?],
        Step::Filter(filter) => vec![with_relations(filter.input(), relations)?],
        Step::Inner(join) => {
            let left = with_relations(join.left(), relations)?;
            vec![left, with_relations(join.right(), relations)?]
        }
        Step::Keeps(join, true) => {
            let left = with_relations(join.left(), relations)?;
            vec![left, relations.next().unwrap_or_else(|| Arc::clone(join.right()))]
        }
        Step::Keeps(join, false) => {
            let right = with_relations(join.right(), relations)?;
            vec![relations.next().unwrap_or_else(|| Arc::clone(join.left())), right]
        }
    };
    rebuild(Arc::clone(plan), children)
}

/// What makes a plan again of another input.
type Above = Box<dyn FnOnce(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>>;

/// A projection that computes something over joins, in two: the columns that it uses, and what is computed of them. Other
/// columns of the joins need not be kept until then.
pub(super) fn narrowed(
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<(Arc<dyn ExecutionPlan>, Above)>> {
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(None) };
    if matches!(Step::of(plan), Step::Columns(_)) || !joins_below(projection.input()) {
        return Ok(None);
    }
    let used = projection.expr().iter().flat_map(|it| collect_columns(&it.expr));
    let used: BTreeSet<usize> = used.map(|column| column.index()).collect();
    let used: Vec<usize> = used.into_iter().collect();
    if used.is_empty() {
        return Ok(None);
    }
    let narrow = only_columns(projection.input(), &used)?;
    let exprs = projection.expr().iter().map(|it| {
        let expr = renumbered(&it.expr, |column| used.binary_search(&column).unwrap_or(column))?;
        Ok(ProjectionExpr { expr, alias: it.alias.clone() })
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let above: Above = Box::new(move |input| Ok(Arc::new(ProjectionExec::try_new(exprs, input)?)));
    Ok(Some((narrow, above)))
}

/// The plan with these columns only.
pub(super) fn only_columns(
    plan: &Arc<dyn ExecutionPlan>,
    columns: &[usize],
) -> Result<Arc<dyn ExecutionPlan>> {
    let chosen = ProjectionExprs::from_indices(columns, &plan.schema());
    Ok(Arc::new(ProjectionExec::try_new(chosen.iter().cloned(), Arc::clone(plan))?))
}

/// The expression with its columns in other places.
pub(super) fn renumbered(
    expr: &Arc<dyn PhysicalExpr>,
    mut to: impl FnMut(usize) -> usize,
) -> Result<Arc<dyn PhysicalExpr>> {
    let moved = Arc::clone(expr).transform(|inner| match inner.downcast_ref::<Column>() {
        Some(column) => {
            let moved = Column::new(column.name(), to(column.index()));
            Ok(Transformed::yes(Arc::new(moved) as _))
        }
        None => Ok(Transformed::no(inner)),
    });
    moved.data()
}

fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

fn projected(columns: Vec<At>, projection: Option<&[usize]>) -> Vec<At> {
    match projection {
        Some(chosen) => chosen.iter().map(|column| columns[*column]).collect(),
        None => columns,
    }
}

/// An expression as a condition. `of` says what its columns are.
fn condition(expr: &Arc<dyn PhysicalExpr>, of: impl Fn(usize) -> (At, Field)) -> Option<Condition> {
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    let renumbered = renumbered(expr, |column| {
        *places.entry(column).or_insert_with(|| {
            let (at, field) = of(column);
            columns.push(at);
            fields.push(field);
            columns.len() - 1
        })
    });
    // Nothing in it fails.
    Some(Condition { expr: renumbered.ok()?, columns, fields })
}

/// True if the expression has a value for every row, so that it may be evaluated for more rows than before.
fn cannot_fail(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let type_of = |expr: &Arc<dyn PhysicalExpr>| expr.data_type(schema).ok();
    let fit = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let is_float = type_of(expr).is_some_and(|data_type| data_type.is_floating());
        match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply => is_float,
            op => is_a_comparison(*op) || matches!(op, Operator::And | Operator::Or),
        }
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        type_of(cast.expr()).is_some_and(|from| always_fits(&from, cast.cast_type()))
    } else {
        expr.is::<Column>()
            || expr.is::<Literal>()
            || expr.is::<InListExpr>()
            || expr.downcast_ref::<LikeExpr>().is_some_and(|like| like.pattern().is::<Literal>())
            || expr.is::<IsNullExpr>()
            || expr.is::<IsNotNullExpr>()
            || expr.is::<NotExpr>()
    };
    fit && expr.children().into_iter().all(|child| cannot_fail(child, schema))
}

fn is_a_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// True if each value of a type is one of the other type.
fn always_fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64, LargeUtf8, Utf8, Utf8View};
    if from == to {
        return true;
    }
    match (from, to) {
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) | (Float32, Float64) => true,
        (from, Float64) => from.is_integer(),
        (Decimal128(digits, scale), Decimal128(more, deeper)) => {
            let whole = |digits: &u8, scale: &i8| i16::from(*digits) - i16::from(*scale);
            deeper >= scale && whole(more, deeper) >= whole(digits, scale)
        }
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => {
            from.primitive_width() <= to.primitive_width()
        }
        _ => false,
    }
}
