//! Ids of traces and spans. They follow from what they name, so that any process can tell a span's parent without being
//! told, and no process has to live for a trace to be whole.
//!
//! ```text
//!   trace of the client's request, or of the query ─> query ─> stage ─> attempt
//! ```

use std::fmt;

use crate::model::ids::{Attempt, QueryId, StageId, TaskId};

/// The trace and the span in which a request was made, as W3C's `traceparent` says them
/// (<https://www.w3.org/TR/trace-context/>): `00-<trace id>-<span id>-<flags>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: u128,
    /// The span that made the request.
    pub parent: u64,
    /// Whether whoever began the trace wants it to be recorded.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; `None` if it is not one. Of a later version only what this version has is read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |part: &str, length: usize| {
            part.len() == length
                && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_whole = is_hex(version, 2)
            && version != "ff"
            && is_hex(trace, 32)
            && is_hex(parent, 16)
            && is_hex(flags, 2)
            && (version != "00" || parts.next().is_none());
        if !is_whole {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace, parent, is_sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, parent, is_sampled } = self;
        write!(f, "00-{trace:032x}-{parent:016x}-{:02x}", u8::from(*is_sampled))
    }
}

/// The trace of a query: that of the client's request, or one of its own. `context` is what `root` holds.
#[must_use]
pub fn trace_id(query: &QueryId, context: Option<&str>) -> u128 {
    let given = context.and_then(TraceContext::parse).map(|context| context.trace);
    given.unwrap_or_else(|| {
        let hash = blake3::hash(format!("trace/{query}").as_bytes());
        u128::from_be_bytes(first(hash.as_bytes())).max(1)
    })
}

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOf {
    /// The query.
    Query,
    /// One of its stages.
    Stage(StageId),
    /// An attempt of a task.
    Attempt(StageId, TaskId, Attempt),
}

/// The id of a span.
#[must_use]
pub fn span_id(query: &QueryId, of: SpanOf) -> u64 {
    let name = match of {
        SpanOf::Query => format!("span/{query}"),
        SpanOf::Stage(stage) => format!("span/{query}/{stage}"),
        SpanOf::Attempt(stage, task, attempt) => format!("span/{query}/{stage}/{task}.{attempt}"),
    };
    u64::from_be_bytes(first(blake3::hash(name.as_bytes()).as_bytes())).max(1)
}

fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = TraceContext::parse(GIVEN).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), GIVEN);
        let of_later_version = GIVEN.replacen("00-", "01-", 1) + "-more";
        assert_eq!(TraceContext::parse(&of_later_version), Some(context));
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_follow_from_what_they_name() {
        let query = QueryId::at(1_700_000_000_000, &[7; 10]);
        assert_eq!(trace_id(&query, Some(GIVEN)), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(trace_id(&query, None), trace_id(&query, Some("nonsense")));
        let ids = [
            span_id(&query, SpanOf::Query),
            span_id(&query, SpanOf::Stage(1)),
            span_id(&query, SpanOf::Attempt(1, 0, 1)),
            span_id(&query, SpanOf::Attempt(1, 1, 0)),
        ];
        assert_eq!(std::collections::HashSet::from(ids).len(), 4);
    }
}
