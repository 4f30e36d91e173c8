//! What a stage does, step by step, in the order in which rows pass.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use dunlin_plan::best_first::BestFirstExec;
use dunlin_plan::location::{Location, address};
use dunlin_plan::operators::file_scan;
use dunlin_plan::words::{bytes, count, with_sql_types};
use dunlin_plan::write::{CommitExec, WriteExec};
use dunlin_shuffle::{ExchangeReaderExec, KeyFilterExec};
use serde::Serialize;

use super::operators::{cut, without_numbers};
use crate::config::TableConfig;
use crate::scans::group_bytes;

/// The most names that are written out, and the longest of them.
const LISTED: usize = 8;
const LONGEST: usize = 80;
/// The longest condition.
const CONDITION: usize = 240;

/// A step of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields are named after what they hold
pub enum Step {
    /// Reads files of a table.
    Scan {
        table: String,
        format: String,
        files: usize,
        bytes: u64,
        columns: Vec<String>,
        filter: Option<String>,
        limit: Option<usize>,
    },
    /// Drops rows.
    Filter { condition: String },
    /// Drops rows that cannot match the keys of another stage.
    KeyFilter { stage: u32, keys: Vec<String> },
    /// Opens the files that can hold the first rows by a column first, and stops when the others cannot matter.
    BestFirst { by: String, files: usize },
    /// Joins two sides. If `whole`, every task reads all of the left side.
    Join {
        kind: String,
        left: String,
        right: String,
        on: Vec<String>,
        condition: Option<String>,
        whole: bool,
    },
    /// Groups and aggregates. `part` is `first` (of the rows of a task), `last` (puts the first parts together) or
    /// `all`.
    Aggregate { compute: Vec<String>, by: Vec<String>, part: &'static str },
    /// Sorts, and keeps the first `fetch` rows.
    Sort { by: Vec<String>, fetch: Option<usize> },
    /// Merges sorted runs.
    Merge { by: Vec<String>, fetch: Option<usize> },
    /// Computes window functions.
    Window { compute: Vec<String> },
    /// Keeps rows.
    Limit { skip: usize, fetch: Option<usize> },
    /// Puts the rows of several inputs together.
    Union { inputs: usize },
    /// Writes rows into files. `by` are the columns whose values are names of folders.
    Write { to: String, format: String, by: Vec<String> },
    /// Commits the files that were written, all or none.
    Commit { to: String },
    /// Another operator that changes rows.
    Other { operator: String },
}

/// The tables of the configuration by the places of their files.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableNames(Vec<(String, String, String)>);

impl TableNames {
    /// Of the tables that have a place.
    pub(crate) fn of(tables: &[TableConfig]) -> Self {
        let place = |table: &TableConfig, text: &str| {
            let location = Location::parse(text).ok()?;
            Some((location.address(), location.path.to_string(), table.name.clone()))
        };
        let places = |table: &TableConfig| {
            let all = table.location.iter();
            all.filter_map(|text| place(table, text)).collect::<Vec<_>>()
        };
        Self(tables.iter().flat_map(places).collect())
    }

    /// The table of a scan: the one with the longest place that its first file lies in, else the folder of the file.
    fn name(&self, config: &FileScanConfig) -> String {
        let first = config.file_groups.iter().flat_map(|group| group.iter()).next();
        let Some(file) = first else { return "no files".to_owned() };
        let store = address(config.object_store_url.as_ref());
        let path = file.object_meta.location.as_ref();
        let lies_in = |place: &str| {
            path.strip_prefix(place).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || place.is_empty() || place.ends_with('/')
            })
        };
        let table = self.0.iter().filter(|(of, place, _)| *of == store && lies_in(place));
        let table = table.max_by_key(|(_, place, _)| place.len());
        table.map_or_else(
            || path.rsplit('/').nth(1).unwrap_or(path).to_owned(),
            |(_, _, name)| name.clone(),
        )
    }
}

/// The steps of a plan.
pub(super) fn of_plan(plan: &Arc<dyn ExecutionPlan>, tables: &TableNames) -> Vec<Step> {
    let mut steps = Vec::new();
    append(&mut steps, plan, tables);
    steps
}

fn append(steps: &mut Vec<Step>, plan: &Arc<dyn ExecutionPlan>, tables: &TableNames) {
    for child in plan.children() {
        append(steps, child, tables);
    }
    if let Some(config) = file_scan(plan) {
        steps.push(scan(config, tables));
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let condition = condition(filter.predicate());
        // A condition on what a scan has just read belongs to it, in the place of its copy for pruning.
        if let Some(Step::Scan { filter: known, .. }) = steps.last_mut()
            && file_scan(filter.input()).is_some()
        {
            *known = Some(condition);
        } else {
            steps.push(Step::Filter { condition });
        }
    } else if let Some(step) = join(plan, tables).or_else(|| rows(plan)) {
        steps.push(step);
    }
}

fn scan(config: &FileScanConfig, tables: &TableNames) -> Step {
    let files: BTreeSet<_> = config
        .file_groups
        .iter()
        .flat_map(|group| group.iter())
        .map(|file| &file.object_meta.location)
        .collect();
    let columns = config
        .projected_schema()
        .map(|schema| schema.fields().iter().map(|field| field.name().clone()).collect());
    Step::Scan {
        table: tables.name(config),
        format: config.file_source.file_type().to_owned(),
        files: files.len(),
        bytes: config.file_groups.iter().map(group_bytes).sum(),
        columns: columns.unwrap_or_default(),
        filter: config.file_source.filter().as_ref().map(condition),
        limit: config.limit,
    }
}

/// Two expressions that a join compares.
type Equal = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

fn join(plan: &Arc<dyn ExecutionPlan>, tables: &TableNames) -> Option<Step> {
    let pairs = |on: &[Equal]| {
        on.iter().map(|(left, right)| format!("{} = {}", named(left), named(right))).collect()
    };
    let of_filter =
        |filter: Option<&JoinFilter>| filter.map(|filter| condition(filter.expression()));
    let (kind, left, right, on, condition, whole) = if let Some(join) =
        plan.downcast_ref::<HashJoinExec>()
    {
        let whole = crate::operators::collected_join(plan).is_some();
        (
            *join.join_type(),
            join.left(),
            join.right(),
            pairs(join.on()),
            of_filter(join.filter()),
            whole,
        )
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        let filter = of_filter(join.filter().as_ref());
        (join.join_type(), join.left(), join.right(), pairs(join.on()), filter, false)
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        (*join.join_type(), join.left(), join.right(), Vec::new(), of_filter(join.filter()), true)
    } else {
        let join = plan.downcast_ref::<CrossJoinExec>()?;
        (JoinType::Inner, join.left(), join.right(), Vec::new(), None, true)
    };
    let kind = match (kind, on.is_empty(), &condition) {
        (JoinType::Inner, true, None) => "cross".to_owned(),
        (kind, ..) => words_of(kind).to_owned(),
    };
    Some(Step::Join {
        kind,
        left: side(left, tables),
        right: side(right, tables),
        on,
        condition,
        whole,
    })
}

fn words_of(kind: JoinType) -> &'static str {
    match kind {
        JoinType::Inner => "inner",
        JoinType::Left => "left",
        JoinType::Right => "right",
        JoinType::Full => "full",
        JoinType::LeftSemi => "left semi",
        JoinType::RightSemi => "right semi",
        JoinType::LeftAnti => "left anti",
        JoinType::RightAnti => "right anti",
        JoinType::LeftMark => "left mark",
        JoinType::RightMark => "right mark",
    }
}

/// What a side of a join is made of: tables and stages.
fn side(plan: &Arc<dyn ExecutionPlan>, tables: &TableNames) -> String {
    fn leaves(found: &mut Vec<String>, plan: &Arc<dyn ExecutionPlan>, tables: &TableNames) {
        if let Some(reader) = plan.downcast_ref::<ExchangeReaderExec>() {
            found.push(format!("stage {}", reader.stage()));
        } else if let Some(config) = file_scan(plan) {
            found.push(tables.name(config));
        }
        for child in plan.children() {
            leaves(found, child, tables);
        }
    }
    let mut found = Vec::new();
    leaves(&mut found, plan, tables);
    found.dedup();
    match &found[..] {
        [] => "rows".to_owned(),
        [one] => one.clone(),
        several => format!("({})", list(several)),
    }
}

/// The other operators that a person should know of.
fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<Step> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let part = match aggregate.mode() {
            AggregateMode::Partial => "first",
            AggregateMode::Final
            | AggregateMode::FinalPartitioned
            | AggregateMode::PartialReduce => "last",
            AggregateMode::Single | AggregateMode::SinglePartitioned => "all",
        };
        let compute =
            aggregate.aggr_expr().iter().map(|expr| with_sql_types(expr.name())).collect();
        let by =
            aggregate.group_expr().expr().iter().map(|(_, name)| with_sql_types(name)).collect();
        return Some(Step::Aggregate { compute, by, part });
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return Some(Step::Sort { by: order(sort.expr()), fetch: sort.fetch() });
    }
    if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        return Some(Step::Merge { by: order(merge.expr()), fetch: merge.fetch() });
    }
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        let compute = window.window_expr().iter().map(|expr| with_sql_types(expr.name())).collect();
        return Some(Step::Window { compute });
    }
    if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        let compute = window.window_expr().iter().map(|expr| with_sql_types(expr.name())).collect();
        return Some(Step::Window { compute });
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return Some(Step::Limit { skip: limit.skip(), fetch: limit.fetch() });
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Some(Step::Limit { skip: 0, fetch: Some(limit.fetch()) });
    }
    if let Some(filter) = plan.downcast_ref::<KeyFilterExec>() {
        let keys = filter.keys().iter().map(named).collect();
        return Some(Step::KeyFilter { stage: filter.stage(), keys });
    }
    if let Some(best) = plan.downcast_ref::<BestFirstExec>() {
        let by = best.schema().field(best.key().column).name().clone();
        return Some(Step::BestFirst { by, files: best.files().iter().map(Vec::len).sum() });
    }
    if let Some(write) = plan.downcast_ref::<WriteExec>() {
        let (spec, schema) = (write.spec(), write.input().schema());
        let by = spec.folders.iter().map(|at| schema.field(*at).name().clone()).collect();
        let format = spec.format.name().to_owned();
        return Some(Step::Write { to: spec.target(), format, by });
    }
    if let Some(commit) = plan.downcast_ref::<CommitExec>() {
        return Some(Step::Commit { to: commit.spec().target() });
    }
    match plan.name() {
        "UnionExec" | "InterleaveExec" => Some(Step::Union { inputs: plan.children().len() }),
        // These move rows, or change them one by one.
        "ProjectionExec"
        | "CoalescePartitionsExec"
        | "RepartitionExec"
        | "ExchangeReaderExec"
        | "ScalarSubqueryExec"
        | "CoalesceBatchesExec"
        | "CooperativeExec"
        | "PlaceholderRowExec"
        | "EmptyExec"
        | "ConformExec" => None,
        other => Some(Step::Other { operator: other.trim_end_matches("Exec").to_owned() }),
    }
}

fn order(keys: &LexOrdering) -> Vec<String> {
    keys.iter()
        .map(|key| {
            let way = if key.options.descending { " DESC" } else { "" };
            // What is written is what differs from SQL's default.
            let nulls = match (key.options.descending, key.options.nulls_first) {
                (true, false) => " NULLS LAST",
                (false, true) => " NULLS FIRST",
                _ => "",
            };
            format!("{}{way}{nulls}", named(&key.expr))
        })
        .collect()
}

/// A physical expression without the numbers of its columns.
pub(super) fn named(expr: &Arc<dyn PhysicalExpr>) -> String {
    cut(&with_sql_types(&without_numbers(&expr.to_string())), LONGEST)
}

fn condition(expr: &Arc<dyn PhysicalExpr>) -> String {
    let text = with_sql_types(&without_numbers(&expr.to_string()));
    // Forms of the engine that say less than these words.
    let text = text.replace("scalar_subquery(<pending>)", "the value of a subquery");
    cut(&text.replace(" IN (SET) (", " IN ("), CONDITION)
}

/// Names, the first few of many.
pub(super) fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED).map(|name| cut(name, LONGEST)).collect();
    match names.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |names: &[String]| match names.is_empty() {
            true => String::new(),
            false => format!(" by {}", list(names)),
        };
        let first = |fetch: &Option<usize>| {
            fetch.map_or_else(String::new, |fetch| format!(", keeps the first {fetch}"))
        };
        match self {
            Self::Scan { table, files, bytes: size, columns, filter, limit, .. } => {
                write!(f, "scan {table} ({}, {}", count(*files, "file"), bytes(*size))?;
                if !columns.is_empty() {
                    write!(f, "; {}", list(columns))?;
                }
                write!(f, ")")?;
                if let Some(filter) = filter {
                    write!(f, " where {filter}")?;
                }
                if let Some(limit) = limit {
                    write!(f, ", at most {}", count(*limit, "row"))?;
                }
                Ok(())
            }
            Self::Filter { condition } => write!(f, "keep rows where {condition}"),
            Self::KeyFilter { stage, keys } => {
                write!(f, "drop rows whose {} is not among the keys of stage {stage}", list(keys))
            }
            Self::BestFirst { by, files } => write!(
                f,
                "open the {} best first by {by}, and stop when no other can matter",
                count(*files, "file")
            ),
            Self::Join { kind, left, right, on, condition, whole } => {
                write!(f, "{kind} join {left} and {right}")?;
                if !on.is_empty() {
                    write!(f, " on {}", on.join(" and "))?;
                }
                if let Some(condition) = condition {
                    write!(f, "{} {condition}", if on.is_empty() { " where" } else { " and" })?;
                }
                if *whole { write!(f, " ({left} whole in every task)") } else { Ok(()) }
            }
            Self::Aggregate { compute, by: groups, part } => {
                let what = match (compute.is_empty(), *part) {
                    (true, "first") => "distinct values, a part in each task,".to_owned(),
                    (true, _) => "distinct values".to_owned(),
                    (false, "first") => {
                        format!("aggregate {}, a part in each task,", list(compute))
                    }
                    (false, "last") => "put the parts of the aggregates together".to_owned(),
                    (false, _) => format!("aggregate {}", list(compute)),
                };
                write!(f, "{}", format!("{what}{}", by(groups)).trim_end_matches(','))
            }
            Self::Sort { by: keys, fetch } => write!(f, "sort{}{}", by(keys), first(fetch)),
            Self::Merge { by: keys, fetch } => {
                write!(f, "merge in order{}{}", by(keys), first(fetch))
            }
            Self::Window { compute } => write!(f, "window functions {}", list(compute)),
            Self::Limit { skip: 0, fetch: Some(fetch) } => {
                write!(f, "keep the first {}", count(*fetch, "row"))
            }
            Self::Limit { skip, fetch: Some(fetch) } => {
                write!(f, "skip {}, keep the next {fetch}", count(*skip, "row"))
            }
            Self::Limit { skip, fetch: None } => write!(f, "skip {}", count(*skip, "row")),
            Self::Union { inputs } => {
                write!(f, "put the rows of {} together", count(*inputs, "input"))
            }
            Self::Write { to, format, by } => {
                write!(f, "write {format} files to {to}")?;
                if by.is_empty() { Ok(()) } else { write!(f, " in folders by {}", list(by)) }
            }
            Self::Commit { to } => write!(f, "commit the files to {to}, all or none"),
            Self::Other { operator } => write!(f, "{operator}"),
        }
    }
}
