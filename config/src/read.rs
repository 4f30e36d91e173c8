//! Reads a type of serde out of a tree. References to secrets are resolved here, and only those that the type asks for: a
//! worker has no use for a gateway's secrets, and does not need to have them.

use serde::de::value::{MapAccessDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::{At, ReadError};
use crate::node::{Node, Part, Table, Value};
use crate::secrets::{SecretError, Secrets, is_written};

/// A value that is read.
pub(crate) struct Item<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: Vec<Part>,
    pub(crate) secrets: &'a Secrets,
}

impl<'a> Item<'a> {
    fn below(&self, node: &'a Node, part: Part) -> Self {
        let mut path = self.path.clone();
        path.push(part);
        Self { node, path, secrets: self.secrets }
    }

    fn at(&self, is_secret: bool) -> At {
        At { origin: self.node.origin.clone(), path: self.path.clone(), is_secret }
    }

    /// A text with its secrets, and whether it has any.
    fn resolved(&self, text: &str) -> Result<(String, bool), ReadError> {
        let (resolved, is_secret) = self.secrets.resolve(text).map_err(ReadError::secret)?;
        if is_secret && is_written(&self.path) {
            return Err(ReadError::secret(SecretError::Written));
        }
        Ok((resolved.into_owned(), is_secret))
    }

    /// Gives a text to `read`.
    fn text<T>(
        self,
        text: &str,
        read: impl FnOnce(String) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let (text, is_secret) = self.resolved(text).map_err(|error| error.at(|| self.at(false)))?;
        read(text).map_err(|error| error.at(|| self.at(is_secret)))
    }

    /// What a key takes that wants a text: a variable has no quotes.
    fn as_typed(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(_) | Value::List(_) | Value::Table(_) => None,
            _ => self.node.typed.as_ref().map(|typed| typed.0.as_str()),
        }
    }
}

impl<'de> Deserializer<'de> for Item<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let node = self.node;
        let outcome = match &node.value {
            Value::Text(text) => return self.text(text, |text| visitor.visit_string(text)),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Time(text) => visitor.visit_str(text),
            Value::List(nodes) => visitor.visit_seq(Entries { of: &self, nodes, next: 0 }),
            Value::Table(table) => visitor.visit_map(Keys::of(&self, table)),
        };
        outcome.map_err(|error| error.at(|| self.at(false)))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.as_typed() {
            Some(typed) => self.text(typed, |text| visitor.visit_string(text)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let node = self.node;
        match &node.value {
            Value::Text(text) => self.text(text, |text| {
                let text: StringDeserializer<ReadError> = text.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }),
            Value::Table(table) => {
                let keys = MapAccessDeserializer::new(Keys::of(&self, table));
                let outcome = keys.deserialize_enum(name, variants, visitor);
                outcome.map_err(|error| error.at(|| self.at(false)))
            }
            _ => match self.as_typed() {
                Some(typed) => self.text(typed, |text| {
                    let text: StringDeserializer<ReadError> = text.into_deserializer();
                    text.deserialize_enum(name, variants, visitor)
                }),
                None => self.deserialize_any(visitor),
            },
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        // What is not read has no secrets to resolve.
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier
    }
}

struct Entries<'a, 'b> {
    of: &'b Item<'a>,
    nodes: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Entries<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let label = node.label(self.next);
        self.next += 1;
        seed.deserialize(self.of.below(node, Part::Entry(label))).map(Some)
    }
}

struct Keys<'a, 'b> {
    of: &'b Item<'a>,
    keys: std::collections::btree_map::Iter<'a, String, Node>,
    value: Option<(&'a String, &'a Node)>,
}

impl<'a, 'b> Keys<'a, 'b> {
    fn of(of: &'b Item<'a>, table: &'a Table) -> Self {
        Self { of, keys: table.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Keys<'_, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some((key, node)) = self.keys.next() else { return Ok(None) };
        self.value = Some((key, node));
        let name: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        // An unknown key is found here. It stands in this section, and came from where its value came from.
        let at =
            || At { origin: node.origin.clone(), path: self.of.path.clone(), is_secret: false };
        seed.deserialize(name).map(Some).map_err(|error| error.at(at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        match self.value.take() {
            Some((key, node)) => seed.deserialize(self.of.below(node, Part::Key(key.clone()))),
            None => Err(serde::de::Error::custom("a value was read before its key")),
        }
    }
}
