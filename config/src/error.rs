//! What is wrong with a value: where it came from, what was expected, and the nearest name.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::near::nearest;
use crate::node::{Origin, Part, section};
use crate::secrets::SecretError;

/// A key that cannot be read. It never quotes a value that came from a secret.
#[derive(Clone, Debug)]
pub struct ReadError {
    wrong: Wrong,
    at: Option<Box<At>>,
}

/// Where it is.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) origin: Origin,
    /// The way to the value; for an unknown or a missing key, to its section.
    pub(crate) path: Vec<Part>,
    /// Its value came from a secret.
    pub(crate) is_secret: bool,
}

#[derive(Clone, Debug)]
enum Wrong {
    Unknown { key: String, known: Vec<&'static str> },
    Missing(&'static str),
    Twice(&'static str),
    Value { found: String, expected: String },
    Variant { found: String, known: Vec<&'static str> },
    Secret(SecretError),
    Other(String),
}

impl ReadError {
    pub(crate) fn secret(error: SecretError) -> Self {
        Self { wrong: Wrong::Secret(error), at: None }
    }

    fn of(wrong: Wrong) -> Self {
        Self { wrong, at: None }
    }

    /// The same error with its place, unless it has one.
    pub(crate) fn at(mut self, at: impl FnOnce() -> At) -> Self {
        self.at.get_or_insert_with(|| Box::new(at()));
        self
    }

    /// What is wrong in `place`, which is the whole path, and in `section`, which is the path without its last key.
    fn text(&self, path: &[Part], is_secret: bool) -> String {
        let place = || match path {
            [Part::Key(key)] => format!("[{key}]"),
            [before @ .., Part::Key(key)] => format!("{} {key}", section(before)),
            _ => section(path),
        };
        match &self.wrong {
            Wrong::Unknown { key, known } => unknown(path, key, known),
            Wrong::Missing(key) if path.is_empty() => format!("[{key}] is missing"),
            Wrong::Missing(key) => format!("{} needs the key {key}", section(path)),
            Wrong::Twice(key) => {
                format!("{} has {key} twice, once by another name", section(path))
            }
            Wrong::Value { expected, .. } if is_secret => {
                format!("{} must be {expected}, and the value of its secret is not", place())
            }
            Wrong::Other(_) if is_secret => {
                format!("{} cannot be used with the value of its secret", place())
            }
            Wrong::Value { found, expected } => {
                format!("{} must be {expected}, and not {found}", place())
            }
            Wrong::Variant { known, .. } if is_secret => {
                format!("{} must be {}, and the value of its secret is not", place(), listed(known))
            }
            Wrong::Variant { found, known } => {
                format!(
                    "{} must be {}, and not {found:?}{}",
                    place(),
                    listed(known),
                    hint(found, known)
                )
            }
            Wrong::Secret(error) => format!("{}: {error}", place()),
            Wrong::Other(message) => format!("{}: {message}", place()),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{}: {}", at.origin, self.text(&at.path, at.is_secret)),
            None => f.write_str(&self.text(&[], false)),
        }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Wrong::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of(Wrong::Value { found: plain(&found), expected: wanted(&expected.to_string()) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::of(Wrong::Variant { found: found.to_owned(), known: known.to_vec() })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::of(Wrong::Unknown { key: key.to_owned(), known: known.to_vec() })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of(Wrong::Missing(key))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::of(Wrong::Twice(key))
    }
}

fn unknown(path: &[Part], key: &str, known: &[&str]) -> String {
    let place = section(path);
    let is_root = path.is_empty();
    let what = if is_root { format!("section [{key}]") } else { format!("key {key:?}") };
    let hint = match nearest(key, known) {
        Some(near) if is_root => format!("; did you mean [{near}]?"),
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; it has {}", known.join(", ")),
    };
    format!("{place} has no {what}{hint}")
}

fn hint(found: &str, known: &[&str]) -> String {
    nearest(found, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

fn listed(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    match quoted.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => quoted.join(""),
    }
}

/// What a value is, in words.
fn plain(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str("") => "an empty text".to_owned(),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section".to_owned(),
        other => other.to_string(),
    }
}

/// What a type of Rust takes, in words.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" => "a text",
        "a sequence" => "a list",
        "a map" => "a section",
        other if other.starts_with("struct ") => "a section",
        other => other,
    }
    .to_owned()
}
