//! The first rows by a struct or a list are those of the whole sort.
//!
//! ```text
//!  SortExec: TopK(fetch=3), expr=[v ASC NULLS LAST]   ==>   LocalLimitExec: fetch=3
//!                                                             SortExec: expr=[v ASC NULLS LAST]
//! ```
//! The engine drops rows early that are behind the last one that it keeps. For that it compares structs and lists with NULLs
//! inside in another order than when it sorts.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("nested_top", nested_top)
}

fn nested_top(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(sort) = node.downcast_ref::<SortExec>() else { return Ok(Transformed::no(node)) };
    let Some(fetch) = sort.fetch() else { return Ok(Transformed::no(node)) };
    let schema = sort.input().schema();
    let mut is_nested = false;
    for key in sort.expr() {
        is_nested |= key.expr.data_type(&schema)?.is_nested();
    }
    if !is_nested {
        return Ok(Transformed::no(node));
    }
    let whole = Arc::new(sort.with_fetch(None));
    Ok(Transformed::yes(Arc::new(LocalLimitExec::new(whole, fetch))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn only_nested_keys_lose_the_early_end() {
        let context = SessionContext::new();
        for (key, is_whole) in
            [("x", false), ("named_struct('a', x)", true), ("x, make_array(x)", true)]
        {
            let sql = format!("select * from (values (1), (2)) t (x) order by {key} limit 1");
            let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let plan = rule().optimize(plan, &Default::default()).unwrap();
            let text = displayable(plan.as_ref()).indent(false).to_string();
            assert_eq!(text.contains("TopK"), !is_whole, "{text}");
            assert_eq!(text.contains("LocalLimitExec: fetch=1"), is_whole, "{text}");
        }
    }
}
