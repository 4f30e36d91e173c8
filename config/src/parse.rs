//! TOML as a tree with lines.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::node::{Node, Origin, Table, Typed, Value};

/// A text that is not TOML. It quotes nothing of the text, which may hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}, line {line}, column {column}: {message}")]
pub struct SyntaxError {
    /// The file, the object or the variable that has the text.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Finds lines in a text.
struct Lines<'a> {
    text: &'a str,
    breaks: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, breaks: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// Line and column of a byte, from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.breaks.partition_point(|newline| *newline < at);
        let start = line.checked_sub(1).map_or(0, |before| self.breaks[before] + 1);
        let before = self.text.get(start..at).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }
}

/// The tree of a whole text. `name` is its file, for messages.
pub(crate) fn document(name: &str, text: &str) -> Result<Node, SyntaxError> {
    let lines = Lines::of(text);
    let short: Arc<str> = name.into();
    let wrong = |at: usize, message: &str| {
        let (line, column) = lines.position(at);
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(", ");
        SyntaxError { name: name.to_owned(), line, column, message }
    };
    let parsed = DeTable::parse(text)
        .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
    let origin = |span: Range<usize>| Origin::Text {
        name: Arc::clone(&short),
        line: lines.position(span.start).0,
    };
    let table = table(parsed.get_ref(), &origin)
        .map_err(|TooLarge(at)| wrong(at, "the number is too large"))?;
    Ok(Node::new(Value::Table(table), Origin::Whole(short)))
}

/// The value that stands in a variable or after `--set`: a value of TOML, or else a text.
pub(crate) fn loose(text: &str, origin: &Origin) -> Node {
    let document = format!("v = {text}\n");
    let parsed = DeTable::parse(&document).ok().filter(|parsed| parsed.get_ref().len() == 1);
    let value = parsed.and_then(|parsed| {
        let value = parsed.get_ref().get("v")?;
        value_of(value.get_ref(), value.span(), &|_| origin.clone()).ok()
    });
    let value = value.unwrap_or_else(|| Value::Text(text.to_owned()));
    Node { typed: Some(Typed(text.to_owned())), ..Node::new(value, origin.clone()) }
}

/// The parts of a key such as `limits.ttl_ms` or `tables."my table".location`.
pub(crate) fn key(text: &str) -> Option<Vec<String>> {
    if text.contains('\n') {
        return None;
    }
    let document = format!("{text} = 0\n");
    let parsed = DeTable::parse(&document).ok()?;
    let mut parts = Vec::new();
    let mut table = parsed.get_ref();
    loop {
        let (key, value) = table.iter().next().filter(|_| table.len() == 1)?;
        parts.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Integer(_) => return Some(parts),
            _ => return None,
        }
    }
}

/// The byte at which a number stands that no key takes.
struct TooLarge(usize);

fn table(parsed: &DeTable<'_>, origin: &dyn Fn(Range<usize>) -> Origin) -> Result<Table, TooLarge> {
    let mut table = Table::new();
    for (key, value) in parsed.iter() {
        let node = Node::new(value_of(value.get_ref(), value.span(), origin)?, origin(key.span()));
        table.insert(key.get_ref().to_string(), node);
    }
    Ok(table)
}

fn value_of(
    parsed: &DeValue<'_>,
    span: Range<usize>,
    origin: &dyn Fn(Range<usize>) -> Origin,
) -> Result<Value, TooLarge> {
    Ok(match parsed {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(parsed.map_err(|_| TooLarge(span.start))?)
        }
        DeValue::Float(number) => {
            Value::Float(number.as_str().parse().map_err(|_| TooLarge(span.start))?)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(entries) => {
            let nodes = entries.iter().map(|entry| {
                let value = value_of(entry.get_ref(), entry.span(), origin)?;
                Ok(Node::new(value, origin(entry.span())))
            });
            Value::List(nodes.collect::<Result<_, TooLarge>>()?)
        }
        DeValue::Table(inner) => Value::Table(table(inner, origin)?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "# ü\n[state]\nlocation = \"x\"\n\n[[tables]]\nname = \"a\"\n[[tables]]\nname = \"b\"\nrows = 0x1_0\n";
        let root = document("f", text).unwrap();
        let table = root.table().unwrap();
        let line = |node: &Node| node.origin.to_string();
        assert_eq!(line(&table["state"]), "f, line 2");
        assert_eq!(line(&table["state"].table().unwrap()["location"]), "f, line 3");
        let tables = table["tables"].list().unwrap();
        let second = tables[1].table().unwrap();
        assert_eq!(line(&second["name"]), "f, line 8");
        assert_eq!(second["rows"].value, Value::Integer(16));
        assert_eq!(tables[1].label(1), "b");
    }

    #[test]
    fn what_is_no_toml_is_found_and_not_quoted() {
        let error = document("f", "[state]\nsecret = \"hidden\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(!error.to_string().contains("hidden"), "{error}");
        let error = document("f", "a = 99999999999999999999").unwrap_err();
        assert_eq!(error.to_string(), "f, line 1, column 5: the number is too large");
    }

    #[test]
    fn a_variable_holds_toml_or_a_text() {
        let value = |text: &str| loose(text, &Origin::Variable("V".into())).value;
        assert_eq!(value("60_000"), Value::Integer(60_000));
        assert_eq!(value("true"), Value::Bool(true));
        assert_eq!(value("0.5"), Value::Float(0.5));
        assert_eq!(value("\"5\""), Value::Text("5".to_owned()));
        for text in ["s3://bucket/x", "", "1\nw = 2", "a b", "\"open"] {
            assert_eq!(value(text), Value::Text(text.to_owned()), "{text}");
        }
        assert!(matches!(value("[\"a\", \"b\"]"), Value::List(nodes) if nodes.len() == 2));
    }

    #[test]
    fn keys_have_parts() {
        assert_eq!(key("limits.ttl_ms").unwrap(), ["limits", "ttl_ms"]);
        assert_eq!(key("tables.\"my t.b\".location").unwrap(), ["tables", "my t.b", "location"]);
        for wrong in ["", "a.", "a b", "[a]\nb", "a = 1\nb"] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
    }
}
