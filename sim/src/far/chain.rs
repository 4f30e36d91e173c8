//! How many requests waited for one another.

use std::time::Duration;

use dunlin_manifest::keys::{self, Key};

use crate::far::proxy::Seen;

/// A request, from when it was sent to when it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What the request was for.
    pub kind: String,
    /// When it was sent.
    pub start: Duration,
    /// When its answer was complete.
    pub end: Duration,
}

/// The longest sequence of requests in which each was sent after the one before was answered. Nothing that such
/// requests are for can be done in less time than the requests take together.
#[must_use]
pub fn longest_chain(spans: &[Span]) -> Vec<&Span> {
    let mut by_end: Vec<&Span> = spans.iter().collect();
    by_end.sort_by_key(|span| (span.end, span.start));
    let mut chain: Vec<&Span> = Vec::new();
    // Taking what ends first leaves the most room for what follows.
    for span in by_end {
        if chain.last().is_none_or(|last| span.start >= last.end) {
            chain.push(span);
        }
    }
    chain
}

/// The requests for a query that may have been waited for: not heartbeats, and not questions for what is not there yet.
#[must_use]
pub fn spans(query: &str, seen: &[Seen]) -> Vec<Span> {
    let asked = seen.iter().filter(|seen| seen.method != "DELETE" && seen.status != Some(404));
    asked
        .filter_map(|seen| {
            let prefix = seen.list.as_deref();
            let path = prefix.unwrap_or(&seen.key);
            // Below the state's prefix.
            let key = path.split_once('/')?.1;
            let kind = match prefix {
                Some(_) if key.contains(query) => format!("LIST {}", key.split('/').next()?),
                Some(_) => return None,
                None => kind(seen, query, key)?,
            };
            Some(Span { kind, start: seen.start, end: seen.end? })
        })
        .collect()
}

fn kind(seen: &Seen, query: &str, key: &str) -> Option<String> {
    let (of, key) = keys::parse(key)?;
    let name = match key {
        Key::Heartbeat(..) | Key::Refusal(_) => return None,
        Key::Active => "live",
        Key::End => "end",
        Key::Root => "root",
        Key::Plan(_) => "plan",
        Key::Seal(_) => "seal",
        Key::GroupSeal(..) => "group seal",
        Key::AllGroups(_) => "all groups",
        Key::Claim(..) => "claim",
        Key::Fail(..) => "fail",
        Key::Commit(..) => "commit",
        Key::Data(_) => "data",
        Key::Result(_) => "result",
    };
    (of.as_str() == query).then(|| format!("{} {name}", seen.method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_overlap_count_once() {
        let span = |kind: &str, start, end| Span {
            kind: kind.to_owned(),
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
        };
        let spans = [
            span("hint", 0, 10),
            span("plan", 1, 11),
            span("root", 12, 22),
            span("beside", 0, 100),
            span("claim", 22, 30),
        ];
        let kinds: Vec<&str> =
            longest_chain(&spans).iter().map(|span| span.kind.as_str()).collect();
        assert_eq!(kinds, ["hint", "root", "claim"]);
        assert!(longest_chain(&[]).is_empty());
    }
}
