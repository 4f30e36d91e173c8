//! Reads JSON objects field by field, so that an error says which field is wrong, and what it should be.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::ApiError;

/// A JSON value whose objects keep their order and have no name twice. A name that is given twice is a mistake: one of the
/// two would be ignored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// What it is, in words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(number) if number.is_f64() => "a fraction",
            Self::Number(number) if number.is_i64() && !number.is_u64() => "a negative number",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The same as a value of serde.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::String(text),
            Self::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Object(fields) => Value::Object(
                fields.into_iter().map(|(name, node)| (name, node.into_value())).collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut fields: Vec<(String, Node)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("the field {} is given twice", short(&name))));
            }
            let node = entries.next_value()?;
            fields.push((name, node));
        }
        Ok(Node::Object(fields))
    }
}

/// The fields of an object. Each is taken once; what is left at the end is not known.
#[derive(Debug)]
pub(super) struct Fields {
    /// The way to the object: empty, or `limits.`.
    path: &'static str,
    fields: Vec<(String, Node)>,
    known: &'static [&'static str],
}

impl Fields {
    /// The fields of a node that must be an object with some of the `known` names.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub(super) fn of(
        path: &'static str,
        node: Node,
        known: &'static [&'static str],
    ) -> Result<Self, String> {
        let name = path.strip_suffix('.').unwrap_or("the body");
        let Node::Object(fields) = node else {
            return Err(format!("{name} must be an object, not {}", node.kind()));
        };
        if let Some((unknown, _)) = fields.iter().find(|(name, _)| !known.contains(&name.as_str()))
        {
            return Err(not_known(&format!("{path}{}", short(unknown)), unknown, path, known));
        }
        Ok(Self { path, fields, known })
    }

    /// Takes a field. One that is null counts as not given.
    fn take(&mut self, name: &'static str) -> Option<Node> {
        debug_assert!(self.known.contains(&name), "{name} is read and not known");
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        let (_, node) = self.fields.swap_remove(at);
        (node != Node::Null).then_some(node)
    }

    fn wrong(&self, name: &str, node: &Node, wanted: &str) -> String {
        format!("{}{name} must be {wanted}, not {}", self.path, node.kind())
    }

    pub(super) fn node(&mut self, name: &'static str) -> Option<Node> {
        self.take(name)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(node) => Err(self.wrong(name, &node, "a string")),
        }
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Node::Bool(value)) => Ok(Some(value)),
            Some(node) => Err(self.wrong(name, &node, "true or false")),
        }
    }

    pub(super) fn whole(&mut self, name: &'static str) -> Result<Option<u64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Node::Number(number)) if number.is_u64() => Ok(number.as_u64()),
            Some(node) => Err(self.wrong(name, &node, "a whole number of at least 0")),
        }
    }

    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<f64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Node::Number(number)) => Ok(number.as_f64()),
            Some(node) => Err(self.wrong(name, &node, "a number")),
        }
    }

    pub(super) fn list(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Node::List(items)) => Ok(Some(items.into_iter().map(Node::into_value).collect())),
            Some(node) => Err(self.wrong(name, &node, "an array")),
        }
    }

    pub(super) fn object(&mut self, name: &'static str) -> Result<Vec<(String, Node)>, String> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Node::Object(fields)) => Ok(fields),
            Some(node) => Err(self.wrong(name, &node, "an object")),
        }
    }

    /// What is left, as a map of serde.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.fields.into_iter().map(|(name, node)| (name, node.into_value())).collect()
    }
}

/// `the field limts is not known; did you mean limits? Known are …`.
fn not_known(shown: &str, name: &str, path: &str, known: &[&str]) -> String {
    let nearest = nearest(name, known).map(|near| format!("did you mean {path}{near}? "));
    format!(
        "the field {shown} is not known; {}known are {}",
        nearest.unwrap_or_default(),
        known.join(", ")
    )
}

/// The name that was probably meant. A client may send any text.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name: String = name.chars().take(64).collect();
    dunlin_config::nearest(&name, known)
}

/// A name as an error shows it: a client may send any.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The parameters of an address, `?wait=5s&…`: only those that the route knows.
///
/// # Errors
/// `INVALID_REQUEST` for any other, with the nearest name.
pub(super) fn only_known<'a>(
    parameters: impl IntoIterator<Item = &'a String>,
    known: &[&str],
) -> Result<(), ApiError> {
    for name in parameters {
        if known.contains(&name.as_str()) {
            continue;
        }
        let near = nearest(name, known).map(|near| format!("; did you mean {near}?"));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ApiError::invalid_request(format!(
            "the parameter {} of the address is not known{}; known are {known}",
            short(name),
            near.unwrap_or_default()
        )));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[&str] = &["sql", "row_limit", "dry_run"];

    fn fields(text: &str) -> Result<Fields, String> {
        Fields::of("", serde_json::from_str(text).unwrap(), KNOWN)
    }

    #[test]
    fn a_value_is_read_as_serde_reads_it() {
        let text = r#"{"a":[1,-2,2.5,1e3,null,true,"x",{"b":[]}],"c":18446744073709551615}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(node.into_value(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest_one() {
        assert_eq!(
            fields(r#"{"sql":"x","row_limt":3}"#).unwrap_err(),
            "the field row_limt is not known; did you mean row_limit? known are sql, row_limit, dry_run"
        );
        assert_eq!(
            fields(r#"{"colour":3}"#).unwrap_err(),
            "the field colour is not known; known are sql, row_limit, dry_run"
        );
        let within =
            Fields::of("limits.", Node::Object(vec![("roow_limit".to_owned(), Node::Null)]), KNOWN);
        assert!(
            within
                .unwrap_err()
                .contains("limits.roow_limit is not known; did you mean limits.row_limit?")
        );
    }

    #[test]
    fn a_wrong_type_says_the_field_and_both_types() {
        let wrong = |text: &str| fields(text).unwrap().whole("row_limit").unwrap_err();
        assert_eq!(
            wrong(r#"{"row_limit":"3"}"#),
            "row_limit must be a whole number of at least 0, not a string"
        );
        assert_eq!(
            wrong(r#"{"row_limit":-3}"#),
            "row_limit must be a whole number of at least 0, not a negative number"
        );
        assert_eq!(
            wrong(r#"{"row_limit":0.5}"#),
            "row_limit must be a whole number of at least 0, not a fraction"
        );
        assert_eq!(
            fields(r#"{"dry_run":1}"#).unwrap().flag("dry_run").unwrap_err(),
            "dry_run must be true or false, not a number"
        );
        assert_eq!(
            fields(r#"{"sql":[]}"#).unwrap().text("sql").unwrap_err(),
            "sql must be a string, not an array"
        );
        assert_eq!(fields("[]").unwrap_err(), "the body must be an object, not an array");
        assert_eq!(fields(r#"{"row_limit":null}"#).unwrap().whole("row_limit").unwrap(), None);
    }

    #[test]
    fn a_name_given_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"a":1}}]"#] {
            let error = serde_json::from_str::<Node>(text).unwrap_err().to_string();
            assert!(error.contains("the field a is given twice at line 1 column"), "{error}");
        }
        assert_eq!(serde_json::from_str::<Node>("{}").unwrap().into_value(), json!({}));
    }

    #[test]
    fn a_parameter_of_an_address_is_known_or_refused() {
        let wait = "wait".to_owned();
        assert!(only_known([&wait], &["wait"]).is_ok());
        let error = only_known([&"wiat".to_owned()], &["wait"]).unwrap_err().to_string();
        assert!(
            error.contains("wiat of the address is not known; did you mean wait?; known are wait"),
            "{error}"
        );
        assert!(only_known([&wait], &[]).unwrap_err().to_string().ends_with("known are none"));
    }
}
