//! A session: what a connection keeps, and one message after the other.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use datafusion::common::ScalarValue;
use tokio_util::sync::CancellationToken;

use super::answer::Rows;
use super::bounds::Bounds;
use super::cancel::{Known, Name};
use super::catalog::Who;
use super::face::Face;
use super::failure::{Failure, state};
use super::frames::{self, Message};
use super::link::{Link, Stop};
use super::out::Transaction;
use super::prepared::Prepared;
use super::settings::Settings;
use crate::auth::Principal;
use crate::options::Live;

/// Most prepared statements of a session, and most bytes of their texts.
pub(super) const MOST_STATEMENTS: usize = 1_000;
pub(super) const MOST_TEXT: usize = 16 << 20;
/// Most portals and cursors of a session.
pub(super) const MOST_PORTALS: usize = 100;

/// What a connection keeps.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) face: Arc<Face>,
    pub(super) link: Link,
    pub(super) peer: SocketAddr,
    pub(super) client: Principal,
    /// The configuration that knows the client so.
    pub(super) seen: Weak<Live>,
    pub(super) name: Name,
    pub(super) known: Known,
    pub(super) stop: CancellationToken,
    pub(super) settings: Settings,
    pub(super) transaction: Transaction,
    /// The settings at the begin of the transaction, and those that are set for it only.
    pub(super) saved: Option<(Settings, BTreeSet<String>)>,
    pub(super) savepoints: Vec<String>,
    pub(super) statements: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) cursors: HashMap<String, Cursor>,
    /// What can end the statement that runs.
    pub(super) scope: Option<Bounds>,
    /// The statement is one of several of one message.
    pub(super) is_one_of_many: bool,
    /// After an error, messages are skipped until the client says Sync.
    pub(super) skips: bool,
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) statement: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
    /// Which columns are wanted in the binary form.
    pub(super) formats: Vec<bool>,
    pub(super) state: State,
}

/// How far a portal is.
#[derive(Debug)]
pub(super) enum State {
    /// It has not been executed.
    New,
    /// Rows are left.
    Open(Box<Rows>),
    /// All was sent.
    Done,
    /// Its client took too long.
    Dropped,
}

/// A cursor.
#[derive(Debug)]
pub(super) struct Cursor {
    /// None: its client took too long.
    pub(super) rows: Option<Box<Rows>>,
    /// It stays when the transaction ends.
    pub(super) hold: bool,
    pub(super) is_done: bool,
}

impl Session {
    /// Answers messages until the client leaves, breaks the protocol, or the gateway stops.
    pub(super) async fn run(mut self) {
        let ended = self.messages().await;
        if let Err(Stop::Failed(failure)) = ended {
            self.link.out.failure(&failure);
            let _ = self.link.flush().await;
        }
        self.link.close().await;
    }

    async fn messages(&mut self) -> Result<(), Stop> {
        loop {
            let stop = self.stop.clone();
            let (env, idle) = (self.face.env.clone(), self.idle());
            let (tag, body) = tokio::select! {
                biased;
                message = self.link.message() => message?,
                () = stop.cancelled() => {
                    return Err(Failure::fatal(
                        state::SHUTDOWN,
                        "terminating connection due to administrator command: the gateway is stopping",
                    )
                    .hint("Connect again; other gateways serve the same tables.")
                    .into());
                }
                () = env.clock.sleep(idle.unwrap_or_default()), if idle.is_some() => {
                    self.drop_idle();
                    continue;
                }
            };
            let message = match body.and_then(|body| frames::message(tag, body)) {
                Ok(Message::Terminate) => return Ok(()),
                Ok(message) => message,
                Err(failure) if failure.fatal => return Err(failure.into()),
                Err(failure) => {
                    self.refuse(tag, &failure).await?;
                    continue;
                }
            };
            self.look_again()?;
            self.message(message).await?;
            // A client may send many messages before it asks for their answers.
            self.link.pace().await?;
        }
    }

    /// After a reload the client may be another one, or none.
    fn look_again(&mut self) -> Result<(), Failure> {
        let now = self.face.current.now();
        if std::ptr::eq(self.seen.as_ptr(), Arc::as_ptr(&now)) {
            return Ok(());
        }
        self.client = now.keyring.still(&self.client).ok_or_else(|| {
            Failure::fatal(
                state::NOT_ADMITTED,
                "terminating connection: this gateway no longer knows the API key that was shown",
            )
            .hint("Connect again with a key that it knows.")
        })?;
        self.seen = Arc::downgrade(&now);
        Ok(())
    }

    async fn message(&mut self, message: Message) -> Result<(), Stop> {
        match message {
            // As in Postgres, this is true for every message.
            message if self.skips && message != Message::Sync => Ok(()),
            Message::Query(text) => self.simple(&text).await,
            Message::Sync => {
                self.skips = false;
                if self.transaction == Transaction::None {
                    self.portals.clear();
                }
                self.link.out.ready(self.transaction);
                self.link.flush().await
            }
            Message::Flush => self.link.flush().await,
            Message::Terminate | Message::Copy => Ok(()),
            Message::Password(_) => {
                Err(Failure::protocol("a password is not expected here").into())
            }
            Message::FunctionCall => {
                let failure = Failure::error(
                    state::FEATURE_NOT_SUPPORTED,
                    "calls of functions by their numbers are not supported",
                );
                self.fail(&failure);
                self.link.out.ready(self.transaction);
                self.link.flush().await
            }
            other => match self.extended(other).await {
                Err(Stop::Failed(failure)) if !failure.fatal => {
                    self.fail(&failure);
                    self.skips = true;
                    Ok(())
                }
                other => other,
            },
        }
    }

    /// Answers a message that cannot be read.
    async fn refuse(&mut self, tag: u8, failure: &Failure) -> Result<(), Stop> {
        if self.skips {
            return Ok(());
        }
        self.fail(failure);
        if tag == b'Q' {
            self.link.out.ready(self.transaction);
        } else {
            self.skips = true;
        }
        self.link.flush().await
    }

    /// Tells a client why its statement ended. A transaction goes on only after it was rolled back.
    pub(super) fn fail(&mut self, failure: &Failure) {
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        self.link.out.failure(failure);
    }

    /// Refuses a statement in a transaction that has failed.
    pub(super) fn check_transaction(&self, prepared: &Prepared) -> Result<(), Failure> {
        use super::command::Command::{Commit, Rollback, RollbackTo};
        let ends = matches!(prepared.command, Commit | Rollback | RollbackTo(_));
        if self.transaction == Transaction::Failed && !ends {
            return Err(Failure::error(
                state::FAILED_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// Who asks, as functions of the session tell it.
    pub(super) fn who(&self) -> Who {
        Who {
            user: self.settings.get("session_authorization").unwrap_or_default().to_owned(),
            process: self.name.process,
            settings: Arc::new(self.settings.all().clone()),
            grants: self.client.grants(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.face.env.clock.monotonic()
    }

    /// How long rows that hold a place may still wait for the client; none if there are none.
    fn idle(&self) -> Option<Duration> {
        let now = self.now();
        self.waiting().map(|rows| (rows.taken + self.face.patience).saturating_sub(now)).min()
    }

    /// Rows that this process computes, and that wait for the client.
    fn waiting(&self) -> impl Iterator<Item = &Rows> {
        let portals = self.portals.values().filter_map(|portal| match &portal.state {
            State::Open(rows) => Some(rows.as_ref()),
            State::New | State::Done | State::Dropped => None,
        });
        let cursors = self.cursors.values().filter_map(|cursor| cursor.rows.as_deref());
        portals.chain(cursors).filter(|rows| rows.is_inline)
    }

    /// Gives up rows whose client has not come for them in time, so that others get their place.
    fn drop_idle(&mut self) {
        let least = self.now().saturating_sub(self.face.patience);
        let is_late = |rows: &Rows| rows.is_inline && rows.taken <= least;
        for portal in self.portals.values_mut() {
            if matches!(&portal.state, State::Open(rows) if is_late(rows)) {
                portal.state = State::Dropped;
            }
        }
        for cursor in self.cursors.values_mut() {
            if cursor.rows.as_deref().is_some_and(is_late) {
                cursor.rows = None;
            }
        }
    }

    /// Why rows are gone that a client wants now.
    pub(super) fn dropped(&self) -> Failure {
        let seconds = self.face.patience.as_secs();
        Failure::error(
            state::CANCELLED,
            format!("nobody has fetched rows for {seconds} s, and the query was ended"),
        )
        .hint("Run the query again; with SET dunlin.route = 'fleet' its rows wait in the store.")
    }
}
