//! One monster: a text, what it is, and which answers are right.

use serde_json::Value;

/// Which answer is right, beside "some answer".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Rows, or a problem with a code.
    Any,
    /// `QUERY_TOO_COMPLEX`.
    TooComplex,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Monster {
    pub name: String,
    pub body: Body,
    pub expected: Expected,
    /// Only where all of them run: a sibling runs in CI, or it takes long.
    pub rare: bool,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Body {
    /// A statement, sent with the settings of each route.
    Sql(String),
    /// Bytes as they are, and the content type.
    Raw(Vec<u8>, &'static str),
}

fn of(kind: &str, name: &str, body: Body) -> Monster {
    Monster { name: format!("{kind}: {name}"), body, expected: Expected::Any, rare: false }
}

/// Many levels.
pub fn deep(name: impl AsRef<str>, sql: impl Into<String>) -> Monster {
    of("deep", name.as_ref(), Body::Sql(sql.into()))
}

/// Few levels with much in each.
pub fn wide(name: impl AsRef<str>, sql: impl Into<String>) -> Monster {
    of("wide", name.as_ref(), Body::Sql(sql.into()))
}

/// Doubles at every step.
pub fn doubling(name: impl AsRef<str>, sql: impl Into<String>) -> Monster {
    of("doubling", name.as_ref(), Body::Sql(sql.into()))
}

/// Makes memory from little text.
pub fn hungry(name: impl AsRef<str>, sql: impl Into<String>) -> Monster {
    of("hungry", name.as_ref(), Body::Sql(sql.into()))
}

/// What nobody writes.
pub fn weird(name: impl AsRef<str>, sql: impl Into<String>) -> Monster {
    of("weird", name.as_ref(), Body::Sql(sql.into()))
}

/// Bytes as they are.
pub fn raw(name: &str, body: impl Into<Vec<u8>>, content_type: &'static str) -> Monster {
    of("body", name, Body::Raw(body.into(), content_type))
}

impl Monster {
    /// It must be refused as too complex.
    pub fn too_complex(self) -> Self {
        Self { expected: Expected::TooComplex, ..self }
    }

    /// It is left out in CI.
    pub fn rarely(self) -> Self {
        Self { rare: true, ..self }
    }

    /// The bytes of the request with `settings`, and their content type.
    pub fn bytes(&self, settings: &Value) -> (Vec<u8>, &'static str) {
        match &self.body {
            Body::Sql(sql) => {
                let body = serde_json::json!({ "sql": sql, "settings": settings });
                (body.to_string().into_bytes(), "application/json")
            }
            Body::Raw(bytes, content_type) => (bytes.clone(), content_type),
        }
    }
}
