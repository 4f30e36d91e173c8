//! The status of a query in HTTP: one JSON object, with links to the next requests.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::query::status::{QueryStatus, Status};

/// A status, with links to the next requests.
#[derive(Debug, Serialize)]
pub(crate) struct StatusBody<'a> {
    #[serde(flatten)]
    status: &'a QueryStatus,
    links: BTreeMap<&'static str, String>,
}

/// Path of a query.
pub(crate) fn path(query: &str) -> String {
    format!("/v1/queries/{query}")
}

impl<'a> StatusBody<'a> {
    pub(crate) fn new(status: &'a QueryStatus) -> Self {
        let own = path(&status.query_id);
        let mut links = BTreeMap::from([("self", own.clone())]);
        match status.status {
            Status::Succeeded => {
                links.insert("results", format!("{own}/results"));
                links.insert("parts", format!("{own}/parts"));
                links.insert("links", format!("{own}/links"));
            }
            Status::Pending | Status::Running => {
                links.insert("events", format!("{own}/events"));
                links.insert("results", format!("{own}/results"));
                links.insert("cancel", format!("{own}/cancel"));
            }
            Status::Failed | Status::Cancelled => {}
        }
        if status.has_root {
            for more in ["analyze", "plan", "stages", "profile"] {
                links.insert(more, format!("{own}/{more}"));
            }
        }
        Self { status, links }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use dunlin_manifest::query::Progress;
    use dunlin_manifest::records::{End, EndStatus, RECORD_VERSION};

    #[test]
    fn an_ended_query_links_to_its_results_and_a_running_one_to_cancel_too() {
        let links = |end: Option<&End>| {
            let status = QueryStatus::new("q", None, Progress::default(), end);
            serde_json::to_value(StatusBody::new(&status)).unwrap()["links"].clone()
        };
        assert_eq!(links(None)["cancel"], "/v1/queries/q/cancel");
        let end = End {
            v: RECORD_VERSION,
            nonce: String::new(),
            status: EndStatus::Succeeded,
            error: None,
            seal: None,
            answer: None,
            summary: None,
        };
        assert_eq!(links(Some(&end))["results"], "/v1/queries/q/results");
        assert_eq!(links(Some(&end)).get("cancel"), None);
    }
}
