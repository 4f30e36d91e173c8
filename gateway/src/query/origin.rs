//! The connection that a query came from, as a part of the query's id.
//!
//! ```text
//!   01980c4e-6f00-7abc-8def-<12 digits: the connection>
//! ```
//! So any gateway finds what a connection runs with one LIST of the active queries, also after the gateway of the
//! connection has died, and no query costs a request more for it. The rest of the id is the time and random bits: a
//! connection runs one statement after the other, so two of its queries never have the same id.

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;

/// Bytes of the part of an id that names a connection.
pub(crate) const ORIGIN_BYTES: usize = 6;

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(pub(crate) [u8; ORIGIN_BYTES]);

impl Origin {
    /// A new id for a query of this connection.
    pub(crate) fn query(self, env: &Env) -> QueryId {
        let fresh = QueryId::new(env);
        let head = &fresh.as_str()[..fresh.as_str().len() - 2 * ORIGIN_BYTES];
        let text = format!("{head}{}", self.digits());
        QueryId::parse(&text).unwrap_or(fresh)
    }

    /// Whether a query came from this connection.
    pub(crate) fn is_of(self, query: &QueryId) -> bool {
        query.as_str().ends_with(&self.digits())
    }

    /// Its text.
    pub(crate) fn digits(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_shows_its_connection_and_no_two_are_alike() {
        let env = Env::system();
        let (one, other) = (Origin([0, 1, 2, 3, 254, 255]), Origin([0; ORIGIN_BYTES]));
        let ids: Vec<_> = (0..100).map(|_| one.query(&env)).collect();
        for (place, id) in ids.iter().enumerate() {
            assert!(one.is_of(id) && !other.is_of(id), "{id}");
            assert!(!ids[..place].contains(id));
            assert_eq!(QueryId::parse(id.as_str()).as_ref(), Some(id));
        }
    }
}
