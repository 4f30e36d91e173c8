//! The answer to EXPLAIN, in each of its formats.

use datafusion::execution::SendableRecordBatchStream;
use dunlin_planner::cost::Estimate;
use dunlin_planner::{ExplainFormat, Explanation, Planned};
use serde_json::json;

use super::analysis::plan_stream;
use crate::query::error::CoreError;

/// One row for each part of the explanation.
pub(crate) fn explained(
    planned: &Planned,
    format: ExplainFormat,
    estimate: &Estimate,
) -> Result<SendableRecordBatchStream, CoreError> {
    let Some(explanation) = &planned.explanation else {
        return Err(CoreError::internal("an EXPLAIN was planned and not explained"));
    };
    let Explanation { stages, plans } = explanation.as_ref();
    let route = || ("route", format!("{}: {}", planned.route.as_str(), planned.route_reason));
    let expected = || ("estimate", estimate.text());
    match format {
        ExplainFormat::Text => {
            plan_stream(&[("distributed_plan", stages.text()), route(), expected()])
        }
        ExplainFormat::Full => plan_stream(&[
            ("logical_plan", plans.logical.clone()),
            ("physical_plan", plans.physical.clone()),
            ("distributed_plan", plans.distributed.clone()),
            route(),
            expected(),
        ]),
        ExplainFormat::Json => {
            let text = serde_json::to_string_pretty(&json!({
                "route": planned.route.as_str(),
                "route_reason": planned.route_reason,
                "scan_bytes": planned.scan_bytes,
                "estimate": estimate,
                "stages": stages.stages,
            }));
            plan_stream(&[("json", text.map_err(CoreError::internal)?)])
        }
        ExplainFormat::Graphviz => plan_stream(&[("graphviz", stages.graphviz())]),
        ExplainFormat::Mermaid => plan_stream(&[("mermaid", stages.mermaid())]),
    }
}
