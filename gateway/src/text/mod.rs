//! What interfaces have in common that is about texts: the words of a statement, before the core parses it; `?` as `$1`; the
//! calendar.
//!
//! Interfaces need the words to tell commands of a session from queries. Nothing here knows a protocol.

mod civil;
mod placeholders;
mod words;

pub(crate) use civil::civil;
pub(crate) use placeholders::numbered;
pub(crate) use words::{Word, Words};
