//! Describes one node of a plan as text: everything that its answer depends on.
//!
//! The text has two parts: what the node displays about itself with its properties, and everything about every
//! expression that it holds (display texts omit fields).

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::physical_plan::{CsvSource, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, ExecutionPlanProperties};

use dunlin_plan::wire::scans::json_is_array;

use crate::describe::expressions::{debug, expression, expressions};

/// Everything about a plan that its answer depends on.
pub(crate) fn text(plan: &Arc<dyn ExecutionPlan>) -> Result<String> {
    let mut text = node(plan)?;
    for child in plan.children() {
        text += "(";
        text += &self::text(child)?;
        text += ")";
    }
    Ok(text)
}

/// Everything about one node that its answer depends on, with one fact on each line.
pub(crate) fn node(plan: &Arc<dyn ExecutionPlan>) -> Result<String> {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label}: {}", steady(&value));
    };
    line("node", plan.name().to_owned());
    line("display", display(plan.as_ref()));
    line("schema", format!("{:?}", plan.schema()));
    line("partitioning", plan.output_partitioning().to_string());
    let equivalences = plan.equivalence_properties();
    line("ordering", format!("{:?}", plan.output_ordering().map(ToString::to_string)));
    line("equivalences", sets(equivalences));
    line("fetch", format!("{:?}", plan.fetch()));
    line("boundedness", format!("{:?}", plan.boundedness()));
    let mut number = 0;
    plan.apply_expressions(&mut |expr| {
        line(&format!("expression {number}"), expression(expr)?);
        number += 1;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        for expr in window.window_expr() {
            line("window", without_schemas(&debug(expr)?));
        }
    } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        line("mode", format!("{:?}", window.input_order_mode));
        for expr in window.window_expr() {
            line("window", without_schemas(&debug(expr)?));
        }
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        line("mode", format!("{:?} {:?}", aggregate.mode(), aggregate.input_order_mode()));
        line("limit", format!("{:?}", aggregate.limit_options()));
        let groups = aggregate.group_expr();
        for (expr, name) in groups.expr().iter().chain(groups.null_expr()) {
            line("group", format!("{name} {}", expression(expr)?));
        }
        line("groups", format!("{:?} {}", groups.groups(), groups.is_single()));
        for filter in aggregate.filter_expr() {
            line("filter", expressions(filter)?);
        }
        for expr in aggregate.aggr_expr() {
            line(
                "aggregate",
                format!(
                    "{} {:?} distinct={} ignore_nulls={} reversed={} order={} {}",
                    expr.name(),
                    expr.fun().name(),
                    expr.is_distinct(),
                    expr.ignore_nulls(),
                    expr.is_reversed(),
                    sort_keys(expr.order_bys())?,
                    expressions(&expr.expressions())?,
                ),
            );
        }
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        line("nulls", format!("{:?} aware={}", join.null_equality(), join.null_aware));
        line("filter", join_filter(join.filter())?);
        line("projection", format!("{:?}", join.projection));
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        line("filter", join_filter(join.filter())?);
        line("projection", format!("{:?}", join.projection()));
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        line("nulls", format!("{:?} {:?}", join.null_equality(), join.sort_options()));
        line("filter", join_filter(join.filter().as_ref())?);
    } else if let Some(unnest) = plan.downcast_ref::<UnnestExec>() {
        line("lists", format!("{:?}", unnest.list_column_indices()));
        line("structs", format!("{:?}", unnest.struct_column_indices()));
        line("options", format!("{:?}", unnest.options()));
    } else if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let source = scan.data_source();
        if let Some(config) = source.downcast_ref::<FileScanConfig>() {
            describe_scan(config, &mut line)?;
        } else {
            line("source", debug(source)?);
            line("rows", source.downcast_ref().map_or_else(|| Ok(String::new()), values)?);
        }
    }
    Ok(text)
}

/// A debug text without its `schema: Schema { … }` parts. A window's aggregate keeps the schema that it was planned
/// with. That schema has one field more than the decoded one: the window's own output, which no argument can name.
pub(crate) fn without_schemas(text: &str) -> String {
    without(text, "schema: Schema {")
}

/// `text` without the parts that begin with `opening` and end with the matching brace. Strings are skipped, so that a
/// column's name cannot hide anything else.
fn without(text: &str, opening: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(opening) {
        kept.push_str(&rest[..at]);
        rest = &rest[at + opening.len()..];
        let mut depth = 1;
        let mut quoted = false;
        let mut escaped = false;
        let mut end = rest.len();
        for (index, c) in rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '{' if !quoted => depth += 1,
                '}' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = index + 1;
                break;
            }
        }
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// Orderings, constants and classes of equal expressions, each as a set.
fn sets(equivalences: &EquivalenceProperties) -> String {
    let sorted = |texts: &mut dyn Iterator<Item = String>| {
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        texts.join("; ")
    };
    let orders = sorted(&mut equivalences.oeq_class().iter().map(|order| format!("[{order}]")));
    let constants = sorted(
        &mut equivalences
            .constants()
            .iter()
            .map(|constant| format!("{} {:?}", constant.expr, constant.across_partitions)),
    );
    let classes = sorted(&mut equivalences.eq_group().iter().map(|class| {
        let members = sorted(&mut class.iter().map(ToString::to_string));
        format!("{{{members}}}")
    }));
    format!("order: {orders}, constants: {constants}, equal: {classes}")
}

/// A debug text without details that differ between two decodings and have no meaning: the order in which a `CASE`
/// prints the hash map of its lookup table (which is made from its branches, and those are printed, too), and the
/// numbers of dictionaries, which old readers of Arrow IPC needed.
fn steady(text: &str) -> String {
    let text = without(text, "IndexMap { map: {");
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(", dict_id: ") {
        kept.push_str(&rest[..at]);
        rest = rest[at + ", dict_id: ".len()..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    kept.push_str(rest);
    kept
}

fn join_filter(filter: Option<&JoinFilter>) -> Result<String> {
    let Some(filter) = filter else { return Ok(String::new()) };
    Ok(format!("{} {:?}", expression(filter.expression())?, filter.column_indices()))
}

fn sort_keys<'a>(keys: impl IntoIterator<Item = &'a PhysicalSortExpr>) -> Result<String> {
    let mut text = String::new();
    for key in keys {
        let _ = write!(text, "{} {:?};", expression(&key.expr)?, key.options);
    }
    Ok(text)
}

fn describe_scan(config: &FileScanConfig, line: &mut impl FnMut(&str, String)) -> Result<()> {
    line("store", config.object_store_url.to_string());
    line("limit", format!("{:?}", config.limit));
    line("batch", format!("{:?}", config.batch_size));
    line("compression", format!("{:?}", config.file_compression_type));
    for order in &config.output_ordering {
        line("declared order", sort_keys(order)?);
    }
    // Decoding sets this wherever the files are ordered. It only forbids shortcuts.
    let preserve = config.preserve_order || !config.output_ordering.is_empty();
    line("preserve order", preserve.to_string());
    line("adapter", config.expr_adapter_factory.is_some().to_string());
    line("type", config.file_source.file_type().to_owned());
    line("file schema", format!("{:?}", config.file_schema()));
    line("folders", format!("{:?}", config.table_partition_cols()));
    line("text", text_options(config));
    line("filter", expressions(&config.file_source.filter())?);
    for column in config.file_source.projection().into_iter().flat_map(|columns| columns.iter()) {
        line("column", format!("{} {}", column.alias, expression(&column.expr)?));
    }
    for (number, group) in config.file_groups.iter().enumerate() {
        for file in group.iter() {
            line(
                &format!("file of {number}"),
                format!(
                    "{} {} {:?} {:?}",
                    file.object_meta.location,
                    file.object_meta.size,
                    file.range,
                    file.partition_values
                ),
            );
        }
    }
    Ok(())
}

/// How a scan reads text.
fn text_options(config: &FileScanConfig) -> String {
    let Some(csv) = config.file_source.downcast_ref::<CsvSource>() else {
        return format!("array: {}", json_is_array(config));
    };
    format!(
        "{} {} {} {:?} {:?} {:?} {} {}",
        csv.has_header(),
        csv.delimiter(),
        csv.quote(),
        csv.escape(),
        csv.comment(),
        csv.terminator(),
        csv.truncate_rows(),
        csv.newlines_in_values()
    )
}

/// A digest of every value. The debug form leaves out rows of long batches.
fn values(memory: &MemorySourceConfig) -> Result<String> {
    let partitions = memory.partitions();
    let options = FormatOptions::default().with_null("\u{0}").with_display_error(false);
    let mut text = String::new();
    let mut digest = 0_u64;
    for batch in partitions.iter().flatten() {
        for column in batch.columns() {
            let shown = ArrayFormatter::try_new(column.as_ref(), &options)?;
            for row in 0..batch.num_rows() {
                text.clear();
                shown.value(row).write(&mut text)?;
                // Each value changes all that comes after it.
                let mut hasher = DefaultHasher::new();
                (digest, &text).hash(&mut hasher);
                digest = hasher.finish();
            }
        }
    }
    let rows: Vec<usize> =
        partitions.iter().map(|batches| batches.iter().map(RecordBatch::num_rows).sum()).collect();
    Ok(format!("{rows:?} {digest:016x}"))
}

fn display(plan: &dyn ExecutionPlan) -> String {
    struct Verbose<'a>(&'a dyn ExecutionPlan);
    impl std::fmt::Display for Verbose<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt_as(DisplayFormatType::Default, f)
        }
    }
    Verbose(plan).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_left_out_and_nothing_behind_it() {
        let text = r#"A { schema: Schema { fields: [Field { name: "a}\"{" }] }, filter: Some(x) }"#;
        assert_eq!(without_schemas(text), "A { , filter: Some(x) }");
    }

    #[test]
    fn what_prints_differently_each_time_is_left_out_and_nothing_behind_it() {
        let text = |map: &str, id: &str| {
            format!(
                r#"Case {{ lookup: PrimitiveIndexMap {{ map: {{{map}}} }}, else: 2 }} Field {{ name: "x"{id} }}"#
            )
        };
        let plain = steady(&text("", ""));
        assert_eq!(steady(&text("0: 0, 1: 1", ", dict_id: 7")), plain);
        assert_eq!(steady(&text("1: 1, 0: 0", "")), plain);
        assert!(plain.contains("else: 2") && plain.contains(r#"name: "x""#), "{plain}");
    }
}
