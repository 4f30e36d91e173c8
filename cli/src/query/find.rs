//! Finds a query by the beginning of its id.

use anyhow::anyhow;
use serde_json::Value;

use crate::failure::Failure;
use crate::link::Link;

/// Characters of a whole id.
const WHOLE: usize = 36;
/// Queries of a page of the list.
const PAGE: usize = 200;
/// Pages that are looked through.
const PAGES: usize = 50;
/// Ids that an error names.
const NAMED: usize = 5;

/// The id that begins with `part`.
///
/// # Errors
/// No query, or more than one; a gateway that has no list.
pub(super) async fn id(link: &Link, part: &str) -> Result<String, Failure> {
    if part.len() >= WHOLE {
        return Ok(part.to_owned());
    }
    let part = part.to_ascii_lowercase();
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let page = page(link, PAGE, cursor.as_deref()).await?;
        let ids = page.queries.iter().filter_map(id_of);
        found.extend(ids.filter(|id| id.starts_with(&part)).map(str::to_owned));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    choose(&part, found).map_err(|told| anyhow!(told).into())
}

fn choose(part: &str, mut found: Vec<String>) -> Result<String, String> {
    if found.len() > 1 {
        let named: Vec<&str> = found.iter().take(NAMED).map(String::as_str).collect();
        let more = if found.len() > NAMED { ", …" } else { "" };
        return Err(format!(
            "{} queries begin with {part}: {}{more}; give more of the id",
            found.len(),
            named.join(", ")
        ));
    }
    let none = || {
        format!(
            "no query that this gateway lists begins with {part}; `dunlin query list` lists them"
        )
    };
    found.pop().ok_or_else(none)
}

/// A page of the list.
pub(super) struct Page {
    pub(super) queries: Vec<Value>,
    pub(super) next: Option<String>,
}

/// A page of the list, newest first.
///
/// # Errors
/// A gateway that has no list says so in our words.
pub(super) async fn page(link: &Link, limit: usize, cursor: Option<&str>) -> Result<Page, Failure> {
    let answer = match link.list(limit, cursor).await {
        Err(Failure::Problem(problem)) if matches!(problem.status, 404 | 405) => {
            return Err(anyhow!(
                "this gateway cannot list queries, so it knows them by whole ids only: a newer gateway can"
            )
            .into());
        }
        other => other?,
    };
    let queries = answer["queries"].as_array().cloned().unwrap_or_default();
    Ok(Page { queries, next: answer["next"].as_str().map(str::to_owned) })
}

/// The id of a query in the list.
pub(super) fn id_of(query: &Value) -> Option<&str> {
    query["id"].as_str().or_else(|| query["query_id"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_is_found_and_of_several_none_is_chosen() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(choose("01a", ids(&["01ab"])), Ok("01ab".to_owned()));
        assert!(choose("01a", ids(&[])).is_err_and(|told| told.contains("begins with 01a")));
        let told = choose("01a", ids(&["01ab", "01ac"])).err().unwrap_or_default();
        assert!(told.contains("2 queries begin with 01a: 01ab, 01ac; give more"), "{told}");
    }
}
