//! Cancelling what a connection runs, from another connection to any gateway.
//!
//! ```text
//!   BackendKeyData = number (32 bits), secret          secret = HMAC of the connection under the client's key
//!                                                        protocol 3.2: 16 bits more of the connection, 256 bits
//!                                                        protocol 3.0: the first 32 bits, as in Postgres
//!   CancelRequest ──> here? stop the statement
//!                └──> elsewhere: its queries are in the store, and their ids name the connection: end them
//!                     else it runs inline: leave a wish in the store, which its gateway looks for
//! ```
//! The secret is made from the configuration, so every gateway with the same keys can check it, and none has to remember
//! it. It says which client it belongs to, and only that client's queries are cancelled.

use std::collections::HashMap;
use std::sync::Arc;

use dunlin_manifest::env::Env;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::auth::{Keyring, Principal};
use crate::query::origin::{ORIGIN_BYTES, Origin};
use crate::query::queries::Queries;

/// Bytes of the secret of a connection of protocol 3.0.
const SHORT: usize = 4;
/// Bytes of a connection's name that its number does not have.
const MORE: usize = ORIGIN_BYTES - SHORT;

/// A connection as others name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The number that a client is told, and that `pg_backend_pid()` returns.
    pub(super) process: u32,
    /// Zero for a connection of protocol 3.0.
    more: [u8; MORE],
}

impl Name {
    /// A new name. `long`: the client takes a secret of any length.
    pub(super) fn new(env: &Env, long: bool) -> Self {
        let mut random = [0u8; ORIGIN_BYTES];
        env.entropy.fill(&mut random);
        let [a, b, c, d, e, f] = random;
        // Drivers keep the number in 31 bits.
        let process = u32::from_be_bytes([a & 0x7f, b, c, d]).max(1);
        Self { process, more: if long { [e, f] } else { [0; MORE] } }
    }

    /// The part of the ids of its queries.
    pub(super) fn origin(self) -> Origin {
        let [a, b, c, d] = self.process.to_be_bytes();
        let [e, f] = self.more;
        Origin([a, b, c, d, e, f])
    }

    fn message(self) -> Vec<u8> {
        [b"dunlin cancel ", &self.origin().0[..]].concat()
    }

    /// What its client shows to cancel what it runs. None if the client's key is not configured any more.
    pub(super) fn secret(
        self,
        keyring: &Keyring,
        client: &Principal,
        long: bool,
    ) -> Option<Vec<u8>> {
        let signature = keyring.sign(client, &self.message())?;
        Some(match long {
            true => [&self.more[..], &signature[..]].concat(),
            false => signature[..SHORT].to_vec(),
        })
    }

    /// The connection that a secret belongs to, and its client.
    pub(super) fn of_secret(
        keyring: &Keyring,
        process: u32,
        secret: &[u8],
    ) -> Option<(Self, Principal)> {
        let (more, signature) = match secret.len() {
            SHORT => ([0; MORE], secret),
            length if length == MORE + crate::auth::HASH => {
                let (more, signature) = secret.split_at(MORE);
                (more.try_into().ok()?, signature)
            }
            _ => return None,
        };
        let name = Self { process, more };
        let client = keyring.signer(&name.message(), signature)?;
        Some((name, client))
    }
}

/// The connections of this process, and what each runs.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<Origin, Slot>>);

/// A connection: what ends its statement, while it runs one.
#[derive(Debug, Default)]
struct Slot(Option<CancellationToken>);

/// A connection is known until this is dropped.
#[derive(Debug)]
pub(super) struct Known {
    connections: Arc<Connections>,
    origin: Origin,
}

impl Connections {
    /// Makes a connection known.
    pub(super) fn enter(self: &Arc<Self>, origin: Origin) -> Known {
        self.0.lock().insert(origin, Slot::default());
        Known { connections: Arc::clone(self), origin }
    }

    /// Ends what a connection runs. False if the connection is not here.
    fn cancel(&self, origin: Origin) -> bool {
        match self.0.lock().get(&origin) {
            None => false,
            Some(Slot(running)) => {
                if let Some(running) = running {
                    running.cancel();
                }
                true
            }
        }
    }
}

impl Known {
    /// A statement begins. What this returns is cancelled when the statement is to end.
    pub(super) fn begin(&self) -> CancellationToken {
        let running = CancellationToken::new();
        if let Some(slot) = self.connections.0.lock().get_mut(&self.origin) {
            slot.0 = Some(running.clone());
        }
        running
    }

    /// The statement has ended.
    pub(super) fn end(&self) {
        if let Some(slot) = self.connections.0.lock().get_mut(&self.origin) {
            slot.0 = None;
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.connections.0.lock().remove(&self.origin);
    }
}

/// Ends what a connection runs, wherever it runs. The client is told nothing, as in Postgres.
pub(super) async fn cancel(
    connections: &Connections,
    queries: &Queries,
    (name, client): (Name, Principal),
) {
    let origin = name.origin();
    if connections.cancel(origin) {
        return;
    }
    let done = async {
        if queries.cancel_of(&client, origin).await?.is_empty() {
            queries.ask_to_stop(origin).await?;
        }
        Ok::<_, crate::query::error::CoreError>(())
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, by = %client.name, "what a connection runs cannot be cancelled");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::{KeyOptions, Scope, hash_of};

    fn ring(keys: &[&str]) -> Keyring {
        let scopes = [Scope::Query].into_iter().collect();
        let options = keys.iter().map(|key| KeyOptions {
            name: (*key).to_owned(),
            sha256: hash_of(key),
            scopes,
            scram: None,
            workgroup: None,
        });
        Keyring::new(&options.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_secret_names_its_connection_and_client_at_every_gateway_with_the_key() {
        let (here, there) = (ring(&["a", "b"]), ring(&["c", "b"]));
        let client = here.recognise(Some("b")).unwrap();
        for long in [true, false] {
            let name = Name::new(&Env::system(), long);
            let secret = name.secret(&here, &client, long).unwrap();
            assert_eq!(secret.len(), if long { 34 } else { 4 });
            let (found, of) = Name::of_secret(&there, name.process, &secret).unwrap();
            assert_eq!((found, of.owner), (name, client.owner.clone()));
            // Another number, another key, a secret that is changed or cut.
            assert_eq!(Name::of_secret(&there, name.process ^ 1, &secret), None);
            assert_eq!(Name::of_secret(&ring(&["a"]), name.process, &secret), None);
            for place in 0..secret.len() {
                let mut wrong = secret.clone();
                wrong[place] ^= 0x10;
                assert_eq!(Name::of_secret(&there, name.process, &wrong), None);
                if place != SHORT {
                    assert_eq!(Name::of_secret(&there, name.process, &secret[..place]), None);
                }
            }
        }
    }

    #[test]
    fn only_what_runs_is_cancelled() {
        let connections = Arc::new(Connections::default());
        let origin = Origin([1; ORIGIN_BYTES]);
        assert!(!connections.cancel(origin));
        let known = connections.enter(origin);
        assert!(connections.cancel(origin));
        let running = known.begin();
        assert!(!running.is_cancelled());
        connections.cancel(origin);
        assert!(running.is_cancelled());
        known.end();
        assert!(!known.begin().is_cancelled());
        drop(known);
        assert!(!connections.cancel(origin));
    }
}
