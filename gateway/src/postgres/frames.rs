//! The messages of a client, from their bytes.
//!
//! ```text
//!   start of a connection:  length, code, …            after it:  tag, length, body
//! ```
//! Everything here is a pure function of bytes, and no bytes make it fail in another way than with an error: a length that
//! does not fit, a text without its end, a count of more values than there are.

use bytes::{Buf, Bytes};

use super::failure::{Failure, state};

/// Longest first message of a connection, as in Postgres.
pub(super) const MAX_STARTUP: usize = 10_000;
/// The codes of first messages.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The client wants TLS.
    Ssl,
    /// The client wants encryption by GSSAPI.
    Gss,
    /// Another connection's statement is to be cancelled.
    Cancel { process: u32, secret: Bytes },
    /// A session begins.
    Startup { minor: u16, parameters: Vec<(String, String)> },
}

/// A message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    /// A prepared statement or, if `portal`, a portal.
    Describe {
        portal: bool,
        name: String,
    },
    Execute {
        portal: String,
        rows: usize,
    },
    Close {
        portal: bool,
        name: String,
    },
    Flush,
    Sync,
    Terminate,
    /// A password, or a message of SASL.
    Password(Bytes),
    /// What a client sends that copies to the server, which is not offered.
    Copy,
    /// A call of a function by its number, which is not offered.
    FunctionCall,
}

/// The values of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    /// For each value whether it is binary; one for all of them, or none if all are texts.
    pub(super) formats: Vec<bool>,
    pub(super) values: Vec<Option<Bytes>>,
    /// The same for the columns of the answer.
    pub(super) results: Vec<bool>,
}

/// Reads the first message of a connection, without its length.
///
/// # Errors
/// A version or bytes that are not known.
pub(super) fn first(mut body: Bytes) -> Result<First, Failure> {
    let code = u32_of(&mut body)?;
    match code {
        SSL => Ok(First::Ssl),
        GSS => Ok(First::Gss),
        CANCEL => Ok(First::Cancel { process: u32_of(&mut body)?, secret: body }),
        _ => {
            let (major, minor) = (code >> 16, (code & 0xffff) as u16);
            if major != 3 {
                return Err(Failure::protocol(format!(
                    "version {major}.{minor} of the protocol is not supported; use 3.0 to 3.2"
                )));
            }
            let mut parameters = Vec::new();
            loop {
                let name = text(&mut body)?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, text(&mut body)?));
            }
            end(&body)?;
            Ok(First::Startup { minor, parameters })
        }
    }
}

/// Reads a message of a session.
///
/// # Errors
/// A tag or bytes that are not known.
pub(super) fn message(tag: u8, mut body: Bytes) -> Result<Message, Failure> {
    let body = &mut body;
    let message = match tag {
        b'Q' => Message::Query(text(body)?),
        b'P' => {
            let (name, sql) = (text(body)?, text(body)?);
            let count = u16_of(body)?;
            let types = (0..count).map(|_| u32_of(body)).collect::<Result<_, _>>()?;
            Message::Parse { name, sql, types }
        }
        b'B' => Message::Bind(bind(body)?),
        b'D' => {
            let (portal, name) = target(body)?;
            Message::Describe { portal, name }
        }
        b'C' => {
            let (portal, name) = target(body)?;
            Message::Close { portal, name }
        }
        b'E' => {
            let portal = text(body)?;
            // 0 and less: all of them.
            let rows = usize::try_from(u32_of(body)? as i32).unwrap_or(0);
            Message::Execute { portal, rows }
        }
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'p' => return Ok(Message::Password(body.split_off(0))),
        b'd' | b'c' | b'f' => return Ok(Message::Copy),
        b'F' => return Ok(Message::FunctionCall),
        tag => {
            return Err(Failure::protocol(format!("a message of type {tag:#04x} is not known")));
        }
    };
    end(body)?;
    Ok(message)
}

fn bind(body: &mut Bytes) -> Result<Bind, Failure> {
    let (portal, statement) = (text(body)?, text(body)?);
    let formats = formats(body)?;
    let count = u16_of(body)?;
    let mut values = Vec::new();
    for _ in 0..count {
        let length = u32_of(body)? as i32;
        values.push(match usize::try_from(length) {
            Ok(length) if length <= body.remaining() => Some(body.split_to(length)),
            Ok(_) => return Err(short()),
            Err(_) if length == -1 => None,
            Err(_) => return Err(short()),
        });
    }
    let results = self::formats(body)?;
    Ok(Bind { portal, statement, formats, values, results })
}

fn formats(body: &mut Bytes) -> Result<Vec<bool>, Failure> {
    let count = u16_of(body)?;
    (0..count)
        .map(|_| match u16_of(body)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Failure::error(state::PROTOCOL, format!("format {other} is not known"))),
        })
        .collect()
}

/// The format of the value at a place; none if there is no such place.
pub(super) fn format_of(formats: &[bool], place: usize) -> bool {
    match formats {
        [] => false,
        [all] => *all,
        each => each.get(place).copied().unwrap_or(false),
    }
}

fn target(body: &mut Bytes) -> Result<(bool, String), Failure> {
    if !body.has_remaining() {
        return Err(short());
    }
    let kind = body.get_u8();
    let name = text(body)?;
    match kind {
        b'S' => Ok((false, name)),
        b'P' => Ok((true, name)),
        _ => Err(Failure::protocol("neither a statement nor a portal is named")),
    }
}

fn short() -> Failure {
    Failure::protocol("a message is shorter than what it says to hold")
}

fn end(body: &Bytes) -> Result<(), Failure> {
    if body.has_remaining() {
        return Err(Failure::protocol("a message is longer than what it holds"));
    }
    Ok(())
}

fn u16_of(body: &mut Bytes) -> Result<u16, Failure> {
    if body.remaining() < 2 { Err(short()) } else { Ok(body.get_u16()) }
}

fn u32_of(body: &mut Bytes) -> Result<u32, Failure> {
    if body.remaining() < 4 { Err(short()) } else { Ok(body.get_u32()) }
}

/// A text that ends with a zero.
fn text(body: &mut Bytes) -> Result<String, Failure> {
    let length = body.iter().position(|byte| *byte == 0).ok_or_else(short)?;
    let bytes = body.split_to(length);
    body.advance(1);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Failure::error(state::NOT_UTF8, "a text is not valid UTF-8")
            .hint("Set the client's encoding to UTF8.")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::{BufMut, BytesMut};

    use super::*;

    fn bytes(write: impl Fn(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::new();
        write(&mut out);
        out.freeze()
    }

    #[test]
    fn first_messages_are_told_apart() {
        let code = |code| bytes(|out| out.put_u32(code));
        assert_eq!(first(code(SSL)).unwrap(), First::Ssl);
        assert_eq!(first(code(GSS)).unwrap(), First::Gss);
        let startup = bytes(|out| {
            out.put_u32(3 << 16 | 2);
            out.put_slice(b"user\0ci\0database\0\0\0");
        });
        let parameters =
            vec![("user".to_owned(), "ci".to_owned()), ("database".to_owned(), String::new())];
        assert_eq!(first(startup).unwrap(), First::Startup { minor: 2, parameters });
        assert!(first(code(2 << 16)).unwrap_err().message.contains("version 2.0"));
        let cancel = bytes(|out| {
            out.put_u32(CANCEL);
            out.put_u32(7);
            out.put_slice(b"secret");
        });
        let secret = Bytes::from_static(b"secret");
        assert_eq!(first(cancel).unwrap(), First::Cancel { process: 7, secret });
    }

    #[test]
    fn values_may_be_null_and_say_their_length() {
        let body = bytes(|out| {
            out.put_slice(b"p\0s\0");
            out.put_slice(&[0, 1, 0, 1, 0, 3]);
            out.put_i32(-1);
            out.put_i32(0);
            out.put_i32(2);
            out.put_slice(b"ab");
            out.put_u16(0);
        });
        let expected = Bind {
            portal: "p".to_owned(),
            statement: "s".to_owned(),
            formats: vec![true],
            values: vec![None, Some(Bytes::new()), Some(Bytes::from_static(b"ab"))],
            results: Vec::new(),
        };
        assert_eq!(message(b'B', body).unwrap(), Message::Bind(expected));
    }

    #[test]
    fn no_cut_of_a_message_is_more_than_an_error() {
        let bind = bytes(|out| {
            out.put_slice(b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x02ab\0\x01\0\x01");
        });
        let parse = Bytes::from_static(b"s\0select $1\0\0\x01\0\0\0\x17");
        for (tag, whole) in [(b'B', bind), (b'P', parse), (b'D', Bytes::from_static(b"Sx\0"))] {
            assert!(message(tag, whole.clone()).is_ok());
            for length in 0..whole.len() {
                assert!(message(tag, whole.slice(..length)).is_err(), "{tag} {length}");
            }
            let longer = [&whole[..], b"\0"].concat();
            assert!(message(tag, longer.into()).is_err());
        }
        // Any tag and any bytes.
        for tag in 0..=255u8 {
            for body in [&b""[..], b"\0", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff\0\xff\0"] {
                let _ = message(tag, Bytes::copy_from_slice(body));
                let _ = first(Bytes::copy_from_slice(body));
            }
        }
    }

    #[test]
    fn a_length_below_minus_one_is_refused() {
        let body = bytes(|out| {
            out.put_slice(b"\0\0\0\0\0\x01");
            out.put_i32(-2);
            out.put_u16(0);
        });
        assert!(message(b'B', body).is_err());
    }
}
