//! What EXPLAIN answers with, as text: a heading and a plan for each row.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use super::cells::Cells;
use super::out::Out;
use super::sink::Sink;

/// Whether an answer has the columns of EXPLAIN.
pub(super) fn is_plan(schema: &SchemaRef) -> bool {
    let fields = schema.fields();
    let text =
        |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    fields.len() == 2
        && fields.iter().all(|field| text(field.data_type()))
        && fields[0].name() == "plan_type"
        && fields[1].name() == "plan"
}

/// Plans as text.
#[derive(Debug)]
pub(super) struct Plans;

impl Sink for Plans {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        let mut cells = Cells::new(batch, true)?;
        for row in 0..batch.num_rows() {
            let kind = cells.text(row, 0)?.unwrap_or_default();
            let plan = cells.text(row, 1)?.unwrap_or_default();
            writeln!(out, "{}", text(&kind, plan.trim_end()))?;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Out) -> Result<()> {
        Ok(())
    }
}

fn text(kind: &str, plan: &str) -> String {
    match kind {
        // For programs that read nothing else: `… | dot -Tsvg`.
        "json" | "graphviz" | "mermaid" => plan.to_owned(),
        _ if plan.contains('\n') => format!("{kind}:\n{plan}\n"),
        _ => format!("{kind}: {plan}"),
    }
}
