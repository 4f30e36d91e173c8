//! The answer to EXPLAIN, in each of its formats.

use datafusion::execution::SendableRecordBatchStream;
use dunlin_planner::cost::Estimate;
use dunlin_planner::{ExplainFormat, Planned};
use serde_json::{Value, json};

use super::analysis::plan_stream;
use crate::query::error::CoreError;

/// One row for each part of the explanation.
pub(crate) fn explained(
    planned: &Planned,
    format: ExplainFormat,
    estimate: &Estimate,
) -> Result<SendableRecordBatchStream, CoreError> {
    let route = || ("route", format!("{}: {}", planned.route.as_str(), planned.route_reason));
    let expected = || ("estimate", estimate.text());
    match format {
        ExplainFormat::Text => {
            plan_stream(&[("distributed_plan", planned.explained().text()), route(), expected()])
        }
        ExplainFormat::Full => {
            let plans = planned.explain();
            plan_stream(&[
                ("logical_plan", plans.logical),
                ("physical_plan", plans.physical),
                ("distributed_plan", plans.distributed),
                route(),
                expected(),
            ])
        }
        ExplainFormat::Json => {
            let text = serde_json::to_string_pretty(&as_json(planned, estimate));
            plan_stream(&[("json", text.map_err(CoreError::internal)?)])
        }
        ExplainFormat::Graphviz => plan_stream(&[("graphviz", planned.explained().graphviz())]),
        ExplainFormat::Mermaid => plan_stream(&[("mermaid", planned.explained().mermaid())]),
    }
}

/// Route, stages and estimate.
fn as_json(planned: &Planned, estimate: &Estimate) -> Value {
    let explained = planned.explained();
    json!({
        "route": planned.route.as_str(),
        "route_reason": planned.route_reason,
        "scan_bytes": planned.scan_bytes,
        "estimate": estimate,
        "stages": explained.stages,
    })
}
