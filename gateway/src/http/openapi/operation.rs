//! One operation of the description.

use serde_json::{Map, Value, json};

use super::super::format::Format;

/// What a route does, and what it takes and gives.
#[derive(Clone, Debug)]
pub(in super::super) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
}

/// A reference to a schema.
fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Operation {
    pub(in super::super) fn new(
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
        description: &'static str,
    ) -> Self {
        let (parameters, answers) = (Vec::new(), Map::new());
        Self { id, tag, summary, description, parameters, body: None, answers }
    }

    /// A parameter of the address.
    pub(in super::super) fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("query", name, schema, description)
    }

    /// A header of the request.
    pub(in super::super) fn header(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("header", name, schema, description)
    }

    fn parameter(mut self, place: &str, name: &str, schema: Value, description: &str) -> Self {
        self.parameters.push(json!({
            "in": place,
            "name": name,
            "required": place == "path",
            "schema": schema,
            "description": description
        }));
        self
    }

    /// The headers of a request that starts a query.
    pub(in super::super) fn starts_a_query(self) -> Self {
        self.header(
            "Idempotency-Key",
            json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*[!-~][ -~]*$" }),
            "A retry of the same request with the same key finds the same query, on any gateway.",
        )
        .header(
            "Prefer",
            json!({ "type": "string", "examples": ["wait=5", "respond-async"] }),
            "`wait=N`: wait at most N seconds. `respond-async`: do not wait.",
        )
    }

    /// A body that is a statement.
    pub(in super::super) fn statement(self) -> Self {
        self.body(
            "The statement as text, or a JSON object with the statement and what belongs to it.",
            json!({
                "application/json": { "schema": schema("Statement") },
                "text/plain": {
                    "schema": { "type": "string", "minLength": 1, "examples": ["select 1 as n"] }
                }
            }),
        )
    }

    /// A body of JSON.
    pub(in super::super) fn json_body(self, description: &str, name: &str) -> Self {
        self.body(description, json!({ "application/json": { "schema": schema(name) } }))
    }

    fn body(mut self, description: &str, content: Value) -> Self {
        self.body =
            Some(json!({ "description": description, "required": true, "content": content }));
        self
    }

    /// An answer of JSON.
    pub(in super::super) fn answers(self, status: u16, description: &str, name: &str) -> Self {
        self.answer(
            status,
            json!({
                "description": description,
                "content": { "application/json": { "schema": schema(name) } }
            }),
        )
    }

    /// An answer of JSON, or of text for people.
    pub(in super::super) fn answers_text_too(self, description: &str, name: &str) -> Self {
        self.answer(
            200,
            json!({
                "description": description,
                "content": {
                    "application/json": { "schema": schema(name) },
                    "text/plain": { "schema": { "type": "string" } }
                }
            }),
        )
    }

    /// An answer of another type, or without a body.
    pub(in super::super) fn answers_other(
        self,
        status: u16,
        description: &str,
        kind: Option<&str>,
    ) -> Self {
        let mut answer = json!({ "description": description });
        if let Some(kind) = kind {
            let mut content = Map::new();
            content.insert(kind.to_owned(), json!({ "schema": { "type": "string" } }));
            answer["content"] = content.into();
        }
        self.answer(status, answer)
    }

    /// Server-sent events.
    pub(in super::super) fn answers_events(self, description: &str) -> Self {
        self.answer(
            200,
            json!({
                "description": description,
                "content": { "text/event-stream": { "schema": schema("Event") } }
            }),
        )
    }

    /// Rows, in the format that the client asks for.
    pub(in super::super) fn answers_rows(self) -> Self {
        self.answers_rows_or("Rows")
    }

    /// Rows, in the format that the client asks for; `name` is the schema of the JSON.
    pub(in super::super) fn answers_rows_or(self, name: &str) -> Self {
        let mut content = Map::new();
        for format in Format::ALL {
            let schema = match format {
                Format::Json => schema(name),
                Format::JsonLines | Format::Csv | Format::Text => json!({ "type": "string" }),
                Format::Arrow | Format::Parquet => {
                    json!({ "type": "string", "format": "binary" })
                }
            };
            content.insert(format.essence().to_owned(), json!({ "schema": schema }));
        }
        self.answer(
            200,
            json!({
                "description": "The rows. `Accept` chooses the format, `Accept-Encoding` zstd or gzip.",
                "headers": {
                    "Dunlin-Query-Id": { "schema": { "type": "string" }, "description": "The query." },
                    "Dunlin-Summary": { "schema": { "type": "string" }, "description": "What it took, as JSON on one line." },
                    "Dunlin-Truncated": { "schema": { "type": "string" }, "description": "`true` if a limit left rows out; of a long answer it is a trailer." },
                    "Dunlin-Parts": { "schema": { "type": "string" }, "description": "How many parts the answer has, if it is stored." }
                },
                "content": content
            }),
        )
    }

    fn answer(mut self, status: u16, answer: Value) -> Self {
        self.answers.insert(status.to_string(), answer);
        self
    }

    /// The operation in the document.
    pub(super) fn value(&self, path: &str, is_open: bool) -> Value {
        let mut parameters = self.parameters.clone();
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let schema = match name {
                "id" => json!({ "type": "string", "format": "uuid" }),
                "code" => schema("ErrorCode"),
                _ => json!({ "type": "string", "minLength": 1 }),
            };
            parameters
                .push(json!({ "in": "path", "name": name, "required": true, "schema": schema }));
        }
        let mut answers = self.answers.clone();
        answers.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
        let mut value = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description,
            "parameters": parameters,
            "responses": answers
        });
        if let Some(body) = &self.body {
            value["requestBody"] = body.clone();
        }
        if is_open {
            value["security"] = json!([]);
        }
        value
    }
}
