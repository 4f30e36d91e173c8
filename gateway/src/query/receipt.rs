//! The receipt of a query that has ended.

use dunlin_manifest::keys;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::End;
use dunlin_manifest::store::ControlStore;
use dunlin_planner::cost::Tariff;

use super::answer::Receipt;
use super::handles::Handles;

/// What a query has used and cost, with what calls have told beside their commits.
pub(crate) async fn receipt(
    handles: &Handles,
    tariff: &Tariff,
    handle: &QueryHandle,
    end: &End,
) -> Receipt {
    let mut receipt = Receipt::of(handle.root.route, &end.summary.unwrap_or_default());
    // A hint: without it the receipt lacks calls that found no task.
    let listed = handle.store().list(&keys::uses_of_query(&handle.query)).await;
    let told = listed.unwrap_or_default();
    for (usage, requests) in told.iter().filter_map(|entry| keys::parse_used(&entry.key)) {
        receipt.functions += usage;
        receipt.requests += requests;
    }
    receipt.requests_gateway = handles.requests(&handle.query);
    receipt.price(tariff);
    receipt
}
