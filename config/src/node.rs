//! The configuration as a tree. Each value knows where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a text.
    Text {
        /// The file, the object or the variable that has the text.
        name: Arc<str>,
        /// The line, from 1.
        line: usize,
    },
    /// A source as a whole.
    Whole(Arc<str>),
    /// An environment variable.
    Variable(Arc<str>),
    /// The key of a `--set`.
    Flag(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { name, line } => write!(f, "{name}, line {line}"),
            Self::Whole(name) => f.write_str(name),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(key) => write!(f, "flag --set {key}"),
        }
    }
}

/// The keys of a section.
pub type Table = BTreeMap<String, Node>;

/// A value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// A text. It may hold references to secrets.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A date or a time, as it is written.
    Time(String),
    /// A list.
    List(Vec<Node>),
    /// A section.
    Table(Table),
}

/// Says what kind of value it is, and never the value: it may be a credential.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::Integer(_) => f.write_str("Integer"),
            Self::Float(_) => f.write_str("Float"),
            Self::Bool(_) => f.write_str("Bool"),
            Self::Time(_) => f.write_str("Time"),
            Self::List(nodes) => f.debug_list().entries(nodes).finish(),
            Self::Table(table) => f.debug_map().entries(table).finish(),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
    /// What stands in the variable or after `--set`: a key that wants a text takes `5` or `true` as one.
    pub(crate) typed: Option<Typed>,
}

/// A text that is not shown.
#[derive(Clone)]
pub(crate) struct Typed(pub(crate) String);

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

/// Two values are equal wherever they came from.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    pub(crate) fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin, typed: None }
    }

    /// A section without keys.
    pub(crate) fn empty(origin: Origin) -> Self {
        Self::new(Value::Table(Table::new()), origin)
    }

    /// The keys, if it is a section.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The entries, if it is a list.
    #[must_use]
    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What an entry of a list is called: its `name`, or its number from 0.
    #[must_use]
    pub fn label(&self, index: usize) -> String {
        let name = self.table().and_then(|table| table.get("name")).and_then(Self::text);
        name.map_or_else(|| index.to_string(), str::to_owned)
    }
}

/// A step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A key of a section.
    Key(String),
    /// An entry of a list, by [`Node::label`].
    Entry(String),
}

/// A section as people write it: `[state.params]`, `[[tables]] "t"`, or `[tables.params] of "t"`.
#[must_use]
pub fn section(path: &[Part]) -> String {
    let mut keys = Vec::new();
    let mut entry = None;
    for part in path {
        match part {
            Part::Key(key) => keys.push(key.as_str()),
            Part::Entry(label) => entry = Some((label, keys.len())),
        }
    }
    let keys_of = keys.join(".");
    match entry {
        _ if keys.is_empty() => "the configuration".to_owned(),
        None => format!("[{keys_of}]"),
        Some((label, at)) if at == keys.len() => format!("[[{keys_of}]] {label:?}"),
        Some((label, _)) => format!("[{keys_of}] of {label:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_named_as_they_are_written() {
        let key = |key: &str| Part::Key(key.to_owned());
        let entry = Part::Entry("t".to_owned());
        assert_eq!(section(&[]), "the configuration");
        assert_eq!(section(&[key("state"), key("params")]), "[state.params]");
        assert_eq!(section(&[key("tables"), entry.clone()]), "[[tables]] \"t\"");
        assert_eq!(section(&[key("tables"), entry, key("params")]), "[tables.params] of \"t\"");
    }

    #[test]
    fn no_value_is_shown() {
        let origin = Origin::Variable("DUNLIN__A".into());
        let mut node = Node::new(Value::Text("hidden".to_owned()), origin.clone());
        node.typed = Some(Typed("hidden".to_owned()));
        let list = Node::new(Value::List(vec![node]), origin);
        assert!(!format!("{list:?}").contains("hidden"), "{list:?}");
    }
}
