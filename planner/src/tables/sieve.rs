//! Which folders can hold a row of the answer, by what their names say so far.
//!
//! ```text
//!  year = 2024 AND month IN (1, 2)      year=2023/           no row:  not listed
//!                                       year=2024/           perhaps: its folders are looked at
//!                                       year=2024/month=1/   perhaps: listed, and nothing more is asked of it
//! ```
//! A part of a filter counts once all its columns are known. Then it is evaluated as it is for a file, so a folder is left
//! out only if each file below it would be. What cannot be evaluated leaves nothing out.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use object_store::path::PathPart;

use super::folders;
use super::walk::Below;

/// What the scans of a statement want of a table's folders.
#[derive(Debug)]
pub(super) struct Sieve {
    columns: Vec<FieldRef>,
    schema: DFSchema,
    /// One for each scan.
    wanted: Vec<Part>,
    /// The columns that filters name.
    named: BTreeSet<usize>,
}

/// A part of a filter.
#[derive(Debug)]
enum Part {
    /// True if all are.
    All(Vec<Part>),
    /// True if one is.
    Any(Vec<Part>),
    /// Evaluated once its columns are known.
    Whole(Arc<dyn PhysicalExpr>, BTreeSet<usize>),
    /// Not evaluated.
    Unknown,
}

impl Sieve {
    /// The sieve for the filters over folders of some scans; nothing if one of them wants all folders.
    pub(super) fn of(
        columns: &[FieldRef],
        scans: &[Vec<Expr>],
        state: &dyn Session,
    ) -> Result<Option<Self>> {
        if scans.is_empty() || scans.iter().any(Vec::is_empty) {
            return Ok(None);
        }
        // What is not known yet is NULL here, also in a column that is declared NOT NULL.
        let field = |it: &FieldRef| Field::new(it.name(), it.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().map(field).collect();
        let schema = DFSchema::from_unqualified_fields(fields.into(), Default::default())?;
        let part = |scan: &Vec<Expr>| {
            Part::All(scan.iter().map(|filter| Part::of(filter, &schema, state)).collect())
        };
        let wanted: Vec<Part> = scans.iter().map(part).collect();
        let mut named = BTreeSet::new();
        wanted.iter().for_each(|part| part.names(&mut named));
        Ok(Some(Self { columns: columns.to_vec(), schema, wanted, named }))
    }

    /// What is wanted of a folder. `folders` are the parts of its path below the table's place.
    pub(super) fn below(&self, folders: &[PathPart<'_>]) -> Below {
        let known = folders::known(folders, &self.columns);
        if !self.wanted.iter().any(|part| self.may_be_true(part, &known)) {
            return Below::Nothing;
        }
        let name = folders.last().map(AsRef::as_ref).unwrap_or_default();
        // A folder such as `_day=1` is a column's. Others of such names hold no file of the table.
        let is_hidden = name.starts_with(['_', '.']) && !name.contains('=');
        let is_open = self.named.iter().any(|at| !folders::names(folders, &self.columns[*at]));
        if is_open && !is_hidden { Below::Folders } else { Below::Whole }
    }

    fn may_be_true(&self, part: &Part, known: &[Option<ScalarValue>]) -> bool {
        match part {
            Part::All(parts) => parts.iter().all(|part| self.may_be_true(part, known)),
            Part::Any(parts) => parts.iter().any(|part| self.may_be_true(part, known)),
            Part::Whole(filter, columns) if columns.iter().all(|at| known[*at].is_some()) => {
                let passes = self.evaluated(filter, known);
                // As in WHERE, a row for which a filter is NULL does not pass.
                passes.map_or(true, |passes| passes == ScalarValue::Boolean(Some(true)))
            }
            Part::Whole(..) | Part::Unknown => true,
        }
    }

    fn evaluated(
        &self,
        filter: &Arc<dyn PhysicalExpr>,
        known: &[Option<ScalarValue>],
    ) -> Result<ScalarValue> {
        let value = |(value, column): (&Option<ScalarValue>, &FieldRef)| match value {
            Some(value) => value.to_array(),
            None => ScalarValue::try_from(column.data_type())?.to_array(),
        };
        let values = known.iter().zip(&self.columns).map(value).collect::<Result<_>>()?;
        let schema: Arc<Schema> = Arc::clone(self.schema.inner());
        let row = RecordBatch::try_new(schema, values)?;
        ScalarValue::try_from_array(&filter.evaluate(&row)?.into_array(1)?, 0)
    }
}

impl Part {
    fn of(filter: &Expr, schema: &DFSchema, state: &dyn Session) -> Self {
        if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter {
            let both = || vec![Self::of(left, schema, state), Self::of(right, schema, state)];
            match op {
                Operator::And => return Self::All(both()),
                Operator::Or => return Self::Any(both()),
                _ => {}
            }
        }
        match state.create_physical_expr(filter.clone(), schema) {
            Ok(whole) => {
                let columns = collect_columns(&whole).iter().map(|column| column.index()).collect();
                Self::Whole(whole, columns)
            }
            Err(_) => Self::Unknown,
        }
    }

    fn names(&self, named: &mut BTreeSet<usize>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.names(named)),
            Self::Whole(_, columns) => named.extend(columns),
            Self::Unknown => {}
        }
    }
}
