//! The audit log: who did what, at which gateway, and whether it was allowed.
//!
//! ```text
//!   statement, cancel, another's answer, refused login ──> Audit ──every few seconds──> use/audit/<day>/<ms>-<nonce>
//! ```
//! An object has one JSON object a line, and is written once. `system.audit` reads them. A process that dies takes the events
//! of its last seconds with it; what a stored query was is in its records nevertheless.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::records::ErrorCode;
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::day::day_of;
use super::handles::Handles;
use super::hub::Hub;
use crate::auth::{AuthError, Owner, Principal, Via};

/// Events wait so long for others of the same object.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of events that wait no longer.
const MOST_BYTES: usize = 1 << 20;
/// Events that wait at most. A gateway whose store does not answer leaves out more, and says so.
const MOST_EVENTS: usize = 20_000;
/// Longest text of a statement that is kept, in bytes.
const MOST_SQL: usize = 16 << 10;
/// Objects that are read at the same time.
const READS: usize = 16;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Showed no key that is known.
    Login,
    /// Sent a statement.
    Statement,
    /// Cancelled a query.
    Cancel,
    /// Asked for the answer of another one's query.
    Read,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Statement => "statement",
            Self::Cancel => "cancel",
            Self::Read => "read",
        }
    }
}

/// One event. Unknown fields of later versions are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at_ms: u64,
    pub(crate) gateway: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workgroup: Option<String>,
    pub(crate) action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sql: Option<String>,
    pub(crate) is_allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<ErrorCode>,
}

/// Writes what clients of this gateway did.
#[derive(Debug)]
pub(crate) struct Audit {
    handles: Arc<Handles>,
    hub: Arc<Hub>,
    stop: CancellationToken,
    gateway: String,
    is_on: bool,
    /// None: this process is frozen after its answers.
    wait: Option<Duration>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    events: usize,
    left_out: u64,
    /// Somebody will write them.
    is_due: bool,
}

impl Audit {
    pub(crate) fn new(
        handles: Arc<Handles>,
        hub: Arc<Hub>,
        stop: CancellationToken,
        (is_on, is_frozen): (bool, bool),
    ) -> Arc<Self> {
        let gateway = handles.env().nonce();
        let wait = (!is_frozen).then_some(WAIT);
        Arc::new(Self { handles, hub, stop, gateway, is_on, wait, waiting: Mutex::default() })
    }

    /// Whether anything is written down.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// An event of this client, now.
    fn event(&self, action: Action, caller: &Principal) -> Event {
        let (protocol, address) = match caller.via {
            Some(Via { protocol, address }) => (Some(protocol.to_owned()), Some(address)),
            None => (None, None),
        };
        Event {
            at_ms: self.handles.env().clock.wall_ms(),
            gateway: self.gateway.clone(),
            protocol,
            address,
            principal: Some(caller.name.to_string()),
            owner: caller.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            workgroup: caller.workgroup.as_ref().map(|group| group.name.to_string()),
            action,
            query_id: None,
            sql: None,
            is_allowed: true,
            error_code: None,
        }
    }

    /// Somebody sent a statement. `refused`: why it was not taken.
    pub(crate) fn statement(
        self: &Arc<Self>,
        caller: &Principal,
        sql: &str,
        query: Option<String>,
        refused: Option<ErrorCode>,
    ) {
        if !self.is_on {
            return;
        }
        let event = Event {
            query_id: query,
            sql: Some(shortened(sql)),
            is_allowed: refused.is_none(),
            error_code: refused,
            ..self.event(Action::Statement, caller)
        };
        self.note(&event);
    }

    /// Somebody cancelled a query.
    pub(crate) fn cancelled(self: &Arc<Self>, caller: &Principal, query: &QueryId) {
        if self.is_on {
            let event = self.event(Action::Cancel, caller);
            self.note(&Event { query_id: Some(query.to_string()), ..event });
        }
    }

    /// Somebody asked for the answer of a query of this owner.
    pub(crate) fn read(self: &Arc<Self>, caller: &Principal, query: &QueryId, owner: Option<&str>) {
        if self.is_on && caller.owner.as_ref().map(Owner::as_str) != owner {
            let event = self.event(Action::Read, caller);
            self.note(&Event { query_id: Some(query.to_string()), ..event });
        }
    }

    /// Somebody showed no key that is known.
    pub(crate) fn refused_login(self: &Arc<Self>, via: Via, error: AuthError, name: Option<&str>) {
        // Who shows no key at all tries nothing: a page that was opened, a probe.
        if !self.is_on || error == AuthError::Missing {
            return;
        }
        let caller = Principal { via: Some(via), ..Principal::anyone() };
        let event = Event {
            principal: name.map(|name| name.chars().take(64).collect()),
            is_allowed: false,
            error_code: Some(ErrorCode::Unauthorized),
            ..self.event(Action::Login, &caller)
        };
        self.note(&event);
    }

    fn note(self: &Arc<Self>, event: &Event) {
        let Ok(line) = serde_json::to_vec(event) else { return };
        let mut waiting = self.waiting.lock();
        if waiting.events >= MOST_EVENTS {
            waiting.left_out += 1;
            return;
        }
        waiting.events += 1;
        waiting.lines.extend_from_slice(&line);
        waiting.lines.push(b'\n');
        let is_much = waiting.lines.len() >= MOST_BYTES;
        if waiting.is_due && !is_much {
            return;
        }
        waiting.is_due = true;
        drop(waiting);
        let (audit, wait) = (Arc::clone(self), self.wait.filter(|_| !is_much));
        self.hub.beside(async move {
            if let Some(wait) = wait {
                tokio::select! {
                    () = audit.handles.env().clock.sleep(wait) => {}
                    () = audit.stop.cancelled() => {}
                }
            }
            audit.flush().await;
        });
    }

    /// Writes the events that wait.
    pub(crate) async fn flush(&self) {
        let Waiting { lines, events, left_out, .. } = std::mem::take(&mut *self.waiting.lock());
        if left_out > 0 {
            tracing::error!(
                left_out,
                "the audit log leaves out events: the store does not take them"
            );
        }
        if events == 0 {
            return;
        }
        let env = self.handles.env();
        let now = env.clock.wall_ms();
        let key = keys::audit(day_of(now), now, &env.nonce());
        if let Err(error) = self.handles.store().put(&key, Bytes::from(lines.clone())).await {
            tracing::error!(%error, events, "events of the audit log could not be written");
            let mut waiting = self.waiting.lock();
            if waiting.events + events <= MOST_EVENTS {
                // They go with the next ones.
                waiting.events += events;
                waiting.lines.extend_from_slice(&lines);
            } else {
                waiting.left_out += events as u64;
            }
        }
    }
}

/// A statement's text, if it is not too long.
fn shortened(sql: &str) -> String {
    if sql.len() <= MOST_SQL {
        return sql.to_owned();
    }
    let end = (0..=MOST_SQL).rev().find(|at| sql.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &sql[..end])
}

/// The events of these days (as days after 1970; none: of all days), if they are in at most so many objects.
///
/// # Errors
/// The store's.
pub(super) async fn events(
    store: &ObjectControlStore,
    days: Option<std::ops::RangeInclusive<u64>>,
    most: usize,
) -> Result<Option<Vec<Event>>, StoreError> {
    let mut names = Vec::new();
    match days {
        Some(days) => {
            for day in days {
                names.extend(store.list(&keys::audit_of(day)).await?);
                if names.len() > most {
                    return Ok(None);
                }
            }
        }
        None => names = store.list(keys::AUDIT).await?,
    }
    if names.len() > most {
        return Ok(None);
    }
    names.sort_by(|a, b| b.key.cmp(&a.key));
    let read: Vec<_> = stream::iter(names)
        .map(|listed| async move { store.get(&listed.key).await })
        .buffered(READS)
        .try_collect()
        .await?;
    let lines = |body: &[u8]| -> Vec<Event> {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // What another version has written in another way is left out.
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    };
    // An object may be collected between the list and the read.
    let mut events: Vec<Event> =
        read.into_iter().flatten().flat_map(|got| lines(&got.body)).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
    Ok(Some(events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_statement_is_cut_between_characters() {
        let long = "é".repeat(MOST_SQL);
        let cut = shortened(&long);
        assert!(cut.len() <= MOST_SQL + 3 && cut.ends_with("é…"));
        assert_eq!(shortened("select 1"), "select 1");
    }
}
