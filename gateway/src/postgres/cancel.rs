//! Cancelling what a connection runs, from another connection to any gateway.
//!
//! ```text
//!   BackendKeyData = number (32 bits), secret          secret = HMAC of the connection under the client's key
//!                                                        protocol 3.2: 16 bits more of the connection, 256 bits,
//!                                                                      and for a person 64 bits: who it is
//!                                                        protocol 3.0: the first 32 bits, as in Postgres
//!   CancelRequest ──> here? stop the statement
//!                └──> elsewhere: its queries are in the store, and their ids name the connection: end them
//!                     else it runs inline: leave a wish in the store, which its gateway looks for
//! ```
//! The secret is made from the configuration, so every gateway with the same keys can check it, and none has to remember
//! it. It says which client it belongs to, and only that client's queries are cancelled.
//!
//! A key is found by trying all of them. Persons who come with tokens are in no list: who it was stands in the long secret,
//! under the same code. The short one has no room for it, so only the gateway of the connection knows.

use std::collections::HashMap;
use std::sync::Arc;

use dunlin_manifest::env::Env;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::auth::{HASH, Keyring, OWNER_BYTES, Owner, Principal};
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
        let person = client.owner.as_ref().and_then(Owner::person_bytes);
        Some(match (long, person) {
            (true, None) => [&self.more[..], &signature].concat(),
            (true, Some(person)) => [&self.more[..], &signature, &person].concat(),
            (false, _) => signature[..SHORT].to_vec(),
        })
    }

    /// The connection that a secret belongs to, and its client. `connections`: those that are here.
    pub(super) fn of_secret(
        keyring: &Keyring,
        connections: &Connections,
        process: u32,
        secret: &[u8],
    ) -> Option<(Self, Principal)> {
        if let Ok(signature) = <[u8; SHORT]>::try_from(secret) {
            let name = Self { process, more: [0; MORE] };
            let message = name.message();
            let here = connections.client(name.origin());
            let here = here.filter(|client| keyring.is_signer(client, &message, &signature));
            return Some((name, here.or_else(|| keyring.signer(&message, &signature))?));
        }
        let (more, rest) = secret.split_first_chunk::<MORE>()?;
        let (signature, person) = rest.split_first_chunk::<HASH>()?;
        let name = Self { process, more: *more };
        let client = match <[u8; OWNER_BYTES]>::try_from(person) {
            Ok(person) => keyring.person(person, &name.message(), signature)?,
            Err(_) if person.is_empty() => keyring.signer(&name.message(), signature)?,
            Err(_) => return None,
        };
        Some((name, client))
    }
}

/// The connections of this process, and what each runs.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<Origin, Slot>>);

/// A connection: whose it is, and what ends its statement, while it runs one.
#[derive(Debug)]
struct Slot {
    client: Principal,
    running: Option<CancellationToken>,
}

/// A connection is known until this is dropped.
#[derive(Debug)]
pub(super) struct Known {
    connections: Arc<Connections>,
    origin: Origin,
}

impl Connections {
    /// Makes a connection known.
    pub(super) fn enter(self: &Arc<Self>, origin: Origin, client: Principal) -> Known {
        self.0.lock().insert(origin, Slot { client, running: None });
        Known { connections: Arc::clone(self), origin }
    }

    /// Whose connection it is, if it is here.
    fn client(&self, origin: Origin) -> Option<Principal> {
        self.0.lock().get(&origin).map(|slot| slot.client.clone())
    }

    /// Ends what a connection runs. False if the connection is not here.
    fn cancel(&self, origin: Origin) -> bool {
        match self.0.lock().get(&origin) {
            None => false,
            Some(slot) => {
                if let Some(running) = &slot.running {
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
            slot.running = Some(running.clone());
        }
        running
    }

    /// The statement has ended.
    pub(super) fn end(&self) {
        if let Some(slot) = self.connections.0.lock().get_mut(&self.origin) {
            slot.running = None;
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
    use crate::auth::{KeyOptions, OidcOptions, Scope, Scopes, hash_of};

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
        let of_secret = |ring: &Keyring, process, secret: &[u8]| {
            Name::of_secret(ring, &Connections::default(), process, secret)
        };
        let client = here.recognise(Some("b")).unwrap();
        for long in [true, false] {
            let name = Name::new(&Env::system(), long);
            let secret = name.secret(&here, &client, long).unwrap();
            assert_eq!(secret.len(), if long { 34 } else { 4 });
            let (found, of) = of_secret(&there, name.process, &secret).unwrap();
            assert_eq!((found, of.owner), (name, client.owner.clone()));
            // Another number, another key, a secret that is changed or cut.
            assert_eq!(of_secret(&there, name.process ^ 1, &secret), None);
            assert_eq!(of_secret(&ring(&["a"]), name.process, &secret), None);
            for place in 0..secret.len() {
                let mut wrong = secret.clone();
                wrong[place] ^= 0x10;
                assert_eq!(of_secret(&there, name.process, &wrong), None);
                if place != SHORT {
                    assert_eq!(of_secret(&there, name.process, &secret[..place]), None);
                }
            }
        }
    }

    #[test]
    fn a_persons_secret_is_good_everywhere_if_it_is_long_and_at_its_own_gateway_if_it_is_short() {
        let issuer = |secret: &str| {
            let config = serde_json::json!({
                "issuer": "https://id.example", "audience": "dunlin", "secret": secret,
            });
            let options = OidcOptions::of(&serde_json::from_value(config).unwrap(), &[]).unwrap();
            ring(&["a"]).with_issuer(Some(&options))
        };
        let (here, there) = (issuer(&"s".repeat(32)), issuer(&"s".repeat(32)));
        let owner = |name| Some(Owner::of_subject("https://id.example", name));
        let ada = Principal { owner: owner("ada"), ..Principal::anyone() };
        let (open, full) = (Connections::default(), Arc::new(Connections::default()));
        for long in [true, false] {
            let name = Name::new(&Env::system(), long);
            let secret = name.secret(&here, &ada, long).unwrap();
            assert_eq!(secret.len(), if long { 42 } else { 4 });
            let known = full.enter(name.origin(), ada.clone());
            let (found, of) = Name::of_secret(&here, &full, name.process, &secret).unwrap();
            assert_eq!((found, of.owner), (name, ada.owner.clone()));
            let elsewhere = Name::of_secret(&there, &open, name.process, &secret);
            assert_eq!(elsewhere.is_some(), long);
            if let Some((_, of)) = elsewhere {
                assert_eq!((&of.owner, of.scopes), (&ada.owner, Scopes::default()));
            }
            // Another secret of the configuration, another person, bytes that are changed or missing.
            let other = issuer(&"t".repeat(32));
            assert_eq!(Name::of_secret(&other, &full, name.process, &secret), None);
            for place in 0..secret.len() {
                let mut wrong = secret.clone();
                wrong[place] ^= 0x10;
                assert_eq!(Name::of_secret(&there, &full, name.process, &wrong), None);
                let cut = &secret[..place];
                assert_eq!(Name::of_secret(&there, &full, name.process, cut), None, "{place}");
            }
            drop(known);
            let bob = Principal { owner: owner("bob"), ..Principal::anyone() };
            let _known = full.enter(name.origin(), bob);
            let by = Name::of_secret(&here, &full, name.process, &secret);
            assert_eq!(by.and_then(|(_, client)| client.owner), ada.owner.clone().filter(|_| long));
        }
    }

    #[test]
    fn only_what_runs_is_cancelled() {
        let connections = Arc::new(Connections::default());
        let origin = Origin([1; ORIGIN_BYTES]);
        assert!(!connections.cancel(origin));
        let known = connections.enter(origin, Principal::anyone());
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
