//! The names of stages, for people.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::operators::file_scan;

/// A few words for people: what the stage mainly does.
pub(super) fn name(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut joins = 0;
    let mut words: Vec<String> = Vec::new();
    let _ = plan.apply(|node| {
        let word = match node.name() {
            "HashJoinExec" | "SortMergeJoinExec" | "NestedLoopJoinExec" | "CrossJoinExec" => {
                joins += 1;
                (joins == 1).then(|| "join".to_owned())
            }
            "AggregateExec" => Some("aggregate".to_owned()),
            "SortExec" => Some("sort".to_owned()),
            "SortPreservingMergeExec" => Some("merge".to_owned()),
            "WindowAggExec" | "BoundedWindowAggExec" => Some("window".to_owned()),
            "UnionExec" | "InterleaveExec" => Some("union".to_owned()),
            "GlobalLimitExec" => Some("limit".to_owned()),
            "DataSourceExec" => Some(scan_name(node)),
            _ => None,
        };
        if let Some(word) = word.filter(|word| !words.contains(word)) {
            words.push(word);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if words.is_empty() { "gather".to_owned() } else { words.join(", ") }
}

fn scan_name(node: &Arc<dyn ExecutionPlan>) -> String {
    let path = file_scan(node)
        .and_then(|config| config.file_groups.first()?.iter().next().cloned())
        .map(|file| file.object_meta.location);
    let folder = path.as_ref().and_then(|path| {
        let parts: Vec<_> = path.parts().collect();
        let wanted = if parts.len() > 1 { parts.len() - 2 } else { 0 };
        parts.get(wanted).map(|part| part.as_ref().to_owned())
    });
    match folder {
        Some(folder) => format!("scan {folder}"),
        None => "scan".to_owned(),
    }
}
