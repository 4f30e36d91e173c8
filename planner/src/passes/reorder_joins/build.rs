//! A tree of joins as a plan.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::graph::{At, Condition, Graph, Keeps, Set, Shape, only, only_columns, renumbered};

/// A part of the tree, and what its columns are.
struct Built {
    plan: Arc<dyn ExecutionPlan>,
    columns: Vec<At>,
}

impl Built {
    fn column(&self, at: At) -> Option<Arc<dyn PhysicalExpr>> {
        let position = self.position(at)?;
        let name = self.plan.schema().field(position).name().clone();
        Some(Arc::new(Column::new(&name, position)))
    }

    fn position(&self, at: At) -> Option<usize> {
        self.columns.iter().position(|column| *column == at)
    }

    /// The same rows with these columns only.
    fn only(self, wanted: &[At]) -> Result<Self> {
        if self.columns == wanted {
            return Ok(self);
        }
        let chosen: Vec<usize> = wanted.iter().filter_map(|at| self.position(*at)).collect();
        Ok(Self { plan: only_columns(&self.plan, &chosen)?, columns: wanted.to_vec() })
    }
}

/// The plan of a tree, with the columns of the plan that it replaces. `None` if their types would differ.
pub(super) fn tree(
    graph: &Graph,
    shape: &Shape,
    old: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(built) = graph.built(shape)? else { return Ok(None) };
    let schema = old.schema();
    let columns = graph.output.iter().zip(schema.fields()).map(|(at, field)| {
        Some(ProjectionExpr { expr: built.column(*at)?, alias: field.name().clone() })
    });
    let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(columns, built.plan)?);
    let same = plan.schema().fields().iter().zip(schema.fields()).all(|(new, old)| {
        new.data_type() == old.data_type() && (old.is_nullable() || !new.is_nullable())
    });
    Ok(same.then_some(plan))
}

impl Graph {
    /// `None` if a column is not where it should be, which would be a mistake of this module.
    fn built(&self, shape: &Shape) -> Result<Option<Built>> {
        let set = shape.set();
        let built = match shape {
            Shape::Relation(relation) => self.relation(*relation)?,
            Shape::Join(left, right) => {
                let sets = (left.set(), right.set());
                let keeps = self.decider(sets.1);
                let (Some(left), Some(right)) = (self.built(left)?, self.built(right)?) else {
                    return Ok(None);
                };
                match keeps {
                    Some(keeps) => self.kept(keeps, left, right)?,
                    None => self.joined(sets, &left, &right)?,
                }
            }
        };
        let Some(built) = built else { return Ok(None) };
        if self.decider(set).is_some() {
            return Ok(Some(built));
        }
        let wanted: Vec<At> =
            built.columns.iter().copied().filter(|at| self.is_wanted(*at, set)).collect();
        built.only(&wanted).map(Some)
    }

    /// Whether a column of a set is looked at after the relations of the set were joined.
    fn is_wanted(&self, at: At, set: Set) -> bool {
        let here = |at: &At| set & only(at.relation) != 0;
        self.output.contains(&at)
            || self.classes.iter().any(|class| {
                // Of equal columns one is enough.
                class.iter().find(|other| here(other)) == Some(&at) && !class.iter().all(here)
            })
            || self
                .conditions
                .iter()
                .any(|condition| condition.needs() & !set != 0 && condition.columns.contains(&at))
            || self.relations.iter().enumerate().any(|(relation, of)| {
                let Some(keeps) = of.keeps.as_ref().filter(|_| set & only(relation) == 0) else {
                    return false;
                };
                let filter = keeps.filter.iter().flat_map(|filter| &filter.columns);
                keeps.on.iter().map(|(at, _)| at).chain(filter).any(|column| *column == at)
            })
    }

    /// A relation, with the conditions that look at nothing else.
    fn relation(&self, relation: usize) -> Result<Option<Built>> {
        let plan = Arc::clone(&self.relations[relation].plan);
        let schema = plan.schema();
        let column = |column: usize| -> Arc<dyn PhysicalExpr> {
            Arc::new(Column::new(schema.field(column).name(), column))
        };
        let mut conditions = Vec::new();
        for condition in self.conditions.iter().filter(|it| it.needs() == only(relation)) {
            let own = |position: usize| condition.columns[position].column;
            conditions.push(renumbered(&condition.expr, own)?);
        }
        // All columns of a class are equal in the end. A join compares one of each side.
        for class in &self.classes {
            let own: Vec<usize> =
                class.iter().filter(|at| at.relation == relation).map(|at| at.column).collect();
            for pair in own.windows(2) {
                let (one, other) = (column(pair[0]), column(pair[1]));
                conditions.push(Arc::new(BinaryExpr::new(one, Operator::Eq, other)) as _);
            }
        }
        let columns = (0..schema.fields().len()).map(|column| At { relation, column }).collect();
        let plan: Arc<dyn ExecutionPlan> = if conditions.is_empty() {
            plan
        } else {
            Arc::new(FilterExec::try_new(conjunction(conditions), plan)?)
        };
        Ok(Some(Built { plan, columns }))
    }

    fn joined(
        &self,
        (left_set, right_set): (Set, Set),
        left: &Built,
        right: &Built,
    ) -> Result<Option<Built>> {
        let set = left_set | right_set;
        let of = |class: &[At], side: &Built| class.iter().find_map(|at| side.column(*at));
        let on: Vec<_> = self
            .classes
            .iter()
            .filter_map(|class| Some((of(class, left)?, of(class, right)?)))
            .collect();
        let due = self.conditions.iter().filter(|condition| {
            let needs = condition.needs();
            needs & !set == 0 && needs & !left_set != 0 && needs & !right_set != 0
        });
        let place = |at: At| match (left.position(at), right.position(at)) {
            (Some(index), _) => Some(ColumnIndex { index, side: JoinSide::Left }),
            (None, Some(index)) => Some(ColumnIndex { index, side: JoinSide::Right }),
            (None, None) => None,
        };
        let Some(filter) = join_filter(due, place)? else { return Ok(None) };
        if on.is_empty() {
            return Ok(None);
        }
        let join = HashJoinExec::try_new(
            Arc::clone(&left.plan),
            Arc::clone(&right.plan),
            on,
            filter,
            &JoinType::Inner,
            None,
            self.mode,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        let columns = left.columns.iter().chain(&right.columns).copied().collect();
        Ok(Some(Built { plan: Arc::new(join), columns }))
    }

    /// A semi or an anti join.
    fn kept(&self, keeps: &Keeps, left: Built, right: Built) -> Result<Option<Built>> {
        let pairs = keeps.on.iter().map(|(at, column)| {
            let own = right.columns.get(*column)?;
            Some((left.column(*at)?, right.column(*own)?))
        });
        let Some(on) = pairs.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let place = |at: At| {
            let own = right.position(at).map(|index| (index, JoinSide::Right));
            let (index, side) = own.or(left.position(at).map(|index| (index, JoinSide::Left)))?;
            Some(ColumnIndex { index, side })
        };
        let Some(filter) = join_filter(keeps.filter.iter(), place)? else { return Ok(None) };
        let join = HashJoinExec::try_new(
            Arc::clone(&left.plan),
            right.plan,
            on,
            filter,
            &keeps.join_type,
            None,
            self.mode,
            keeps.null_equality,
            false,
        )?;
        Ok(Some(Built { plan: Arc::new(join), columns: left.columns }))
    }
}

/// Conditions as the filter of a join. `place` says where a column is. `None` if it is nowhere.
fn join_filter<'a>(
    conditions: impl Iterator<Item = &'a Condition>,
    place: impl Fn(At) -> Option<ColumnIndex>,
) -> Result<Option<Option<JoinFilter>>> {
    let (mut parts, mut places, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    for condition in conditions {
        let before = places.len();
        parts.push(renumbered(&condition.expr, |position| before + position)?);
        for at in &condition.columns {
            let Some(place) = place(*at) else { return Ok(None) };
            places.push(place);
        }
        fields.extend(condition.fields.iter().cloned());
    }
    if parts.is_empty() {
        return Ok(Some(None));
    }
    let schema = Arc::new(Schema::new(fields));
    Ok(Some(Some(JoinFilter::new(conjunction(parts), places, schema))))
}
