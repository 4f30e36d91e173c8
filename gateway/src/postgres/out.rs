//! The messages to a client, as bytes that wait to be sent.

use bytes::{BufMut, BytesMut};

use super::failure::{Failure, state};
use super::kind::Kind;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What is known of its values beside their type.
    pub(super) modifier: i32,
    /// Its values are sent in the binary form.
    pub(super) binary: bool,
}

/// The state of the transaction that a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    Open,
    Failed,
}

/// Messages that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) bytes: BytesMut,
}

impl Out {
    /// A message whose body is written by `write`.
    pub(super) fn message(&mut self, tag: u8, write: impl FnOnce(&mut BytesMut)) {
        let start = self.begin(tag);
        write(&mut self.bytes);
        self.finish(start);
    }

    /// Begins a message. [`Self::finish`] takes what this returns.
    pub(super) fn begin(&mut self, tag: u8) -> usize {
        self.bytes.put_u8(tag);
        let start = self.bytes.len();
        self.bytes.put_u32(0);
        start
    }

    /// Writes the length of a message that has been begun.
    pub(super) fn finish(&mut self, start: usize) {
        // A message of a batch is shorter than a message may be: its values were counted.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes back a message that has been begun.
    pub(super) fn give_up(&mut self, start: usize) {
        self.bytes.truncate(start - 1);
    }

    fn plain(&mut self, tag: u8) {
        self.message(tag, |_| {});
    }

    pub(super) fn authentication_ok(&mut self) {
        self.message(b'R', |out| out.put_u32(0));
    }

    pub(super) fn ask_for_password(&mut self) {
        self.message(b'R', |out| out.put_u32(3));
    }

    pub(super) fn ask_for_sasl(&mut self, mechanism: &str) {
        self.message(b'R', |out| {
            out.put_u32(10);
            text(mechanism, out);
            out.put_u8(0);
        });
    }

    pub(super) fn sasl(&mut self, is_last: bool, data: &str) {
        self.message(b'R', |out| {
            out.put_u32(if is_last { 12 } else { 11 });
            out.put_slice(data.as_bytes());
        });
    }

    /// The version that is spoken instead, and the options that are not known.
    pub(super) fn negotiate(&mut self, minor: u16, unknown: &[String]) {
        self.message(b'v', |out| {
            out.put_u32((3 << 16) | u32::from(minor));
            out.put_u32(u32::try_from(unknown.len()).unwrap_or(0));
            for name in unknown {
                text(name, out);
            }
        });
    }

    pub(super) fn parameter(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            text(name, out);
            text(value, out);
        });
    }

    pub(super) fn key(&mut self, process: u32, secret: &[u8]) {
        self.message(b'K', |out| {
            out.put_u32(process);
            out.put_slice(secret);
        });
    }

    pub(super) fn ready(&mut self, transaction: Transaction) {
        self.message(b'Z', |out| {
            out.put_u8(match transaction {
                Transaction::None => b'I',
                Transaction::Open => b'T',
                Transaction::Failed => b'E',
            });
        });
    }

    pub(super) fn parsed(&mut self) {
        self.plain(b'1');
    }

    pub(super) fn bound(&mut self) {
        self.plain(b'2');
    }

    pub(super) fn closed(&mut self) {
        self.plain(b'3');
    }

    pub(super) fn no_data(&mut self) {
        self.plain(b'n');
    }

    pub(super) fn suspended(&mut self) {
        self.plain(b's');
    }

    pub(super) fn empty(&mut self) {
        self.plain(b'I');
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.message(b'C', |out| text(tag, out));
    }

    pub(super) fn parameters(&mut self, oids: &[u32]) {
        self.message(b't', |out| {
            out.put_u16(u16::try_from(oids.len()).unwrap_or(u16::MAX));
            for oid in oids {
                out.put_u32(*oid);
            }
        });
    }

    pub(super) fn columns(&mut self, columns: &[Column]) {
        self.message(b'T', |out| {
            out.put_u16(u16::try_from(columns.len()).unwrap_or(u16::MAX));
            for column in columns {
                text(&column.name, out);
                // No table and no number of a column: answers are not tables.
                out.put_u32(0);
                out.put_u16(0);
                out.put_u32(column.kind.oid());
                out.put_i16(column.kind.size());
                out.put_i32(column.modifier);
                out.put_u16(column.binary.into());
            }
        });
    }

    pub(super) fn copy_out(&mut self, columns: usize) {
        self.message(b'H', |out| {
            out.put_u8(0);
            out.put_u16(u16::try_from(columns).unwrap_or(u16::MAX));
            for _ in 0..columns {
                out.put_u16(0);
            }
        });
    }

    pub(super) fn copy_done(&mut self) {
        self.plain(b'c');
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        let severity = if failure.fatal { "FATAL" } else { "ERROR" };
        self.report(b'E', severity, failure);
    }

    /// A notice that ends nothing.
    pub(super) fn notice(&mut self, message: &str) {
        self.report(b'N', "NOTICE", &Failure::error(state::SUCCESS, message));
    }

    pub(super) fn warning(&mut self, state: &'static str, message: &str) {
        self.report(b'N', "WARNING", &Failure::error(state, message));
    }

    fn report(&mut self, tag: u8, severity: &str, failure: &Failure) {
        self.message(tag, |out| {
            let mut field = |name: u8, value: &str| {
                out.put_u8(name);
                text(value, out);
            };
            field(b'S', severity);
            field(b'V', severity);
            field(b'C', failure.state);
            field(b'M', &failure.message);
            if let Some(detail) = &failure.detail {
                field(b'D', detail);
            }
            if let Some(hint) = &failure.hint {
                field(b'H', hint);
            }
            if let Some(position) = failure.position {
                field(b'P', &position.to_string());
            }
            out.put_u8(0);
        });
    }
}

/// A text with the zero that ends it. A zero in the text would end it too early.
fn text(value: &str, out: &mut BytesMut) {
    out.extend(value.bytes().filter(|byte| *byte != 0));
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_its_length_and_one_that_is_given_up_leaves_nothing() {
        let mut out = Out::default();
        out.complete("SELECT 1");
        assert_eq!(&out.bytes[..], b"C\0\0\0\x0dSELECT 1\0");
        let start = out.begin(b'D');
        out.bytes.put_slice(b"half");
        out.give_up(start);
        assert_eq!(out.bytes.len(), 14);
    }

    #[test]
    fn a_failure_has_its_fields_and_no_zero_in_them() {
        let mut out = Out::default();
        let failure = Failure { position: Some(7), ..Failure::fatal("57P01", "by\0e") };
        out.failure(&failure.hint("h"));
        assert_eq!(&out.bytes[5..], b"SFATAL\0VFATAL\0C57P01\0Mbye\0Hh\0P7\0\0");
    }
}
