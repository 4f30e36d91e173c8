//! The description of the API (OpenAPI 3.1), made from the same list of endpoints that the router is made from.

mod operation;
mod schemas;

use serde_json::{Map, Value, json};

pub(super) use operation::Operation;

/// A route as the document needs it.
pub(super) trait Described {
    /// Its path.
    fn path(&self) -> &'static str;
    /// Its method, in lower case.
    fn method(&self) -> &'static str;
    /// What it does.
    fn operation(&self) -> &Operation;
    /// Whether it asks for no key.
    fn is_open(&self) -> bool;
}

/// The document.
pub(super) fn document(endpoints: &[impl Described]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let path = paths.entry(endpoint.path()).or_insert_with(|| json!({}));
        path[endpoint.method()] = endpoint.operation().value(endpoint.path(), endpoint.is_open());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dunlin",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "SQL over files in an object store",
            "description": "Any gateway over the same state answers for any query id. Errors are application/problem+json; write programs against their `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }, {}],
        "tags": [
            { "name": "Statements", "description": "Run, submit or plan a statement." },
            { "name": "Queries", "description": "Queries by their ids, from any gateway." },
            { "name": "Tables", "description": "The tables that statements may name." },
            { "name": "Gateway", "description": "Whether the gateway is well, and what it allows." },
            { "name": "Workers", "description": "News for workers. Clients do not need it." }
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, where the gateway has keys."
                }
            },
            "responses": {
                "Problem": {
                    "description": "Why there is no answer (RFC 9457).",
                    "content": {
                        "application/problem+json": {
                            "schema": { "$ref": "#/components/schemas/Problem" }
                        }
                    }
                }
            },
            "schemas": schemas::schemas()
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::endpoints::endpoints;
    use super::*;

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str().filter(|_| name == "$ref") {
                        Some(target) => drop(found.insert(target.to_owned())),
                        None => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document(&endpoints());
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in &found {
            let path = target.strip_prefix('#').unwrap();
            assert!(document.pointer(path).is_some(), "{target}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
        }
    }

    #[test]
    fn every_route_is_described_once_and_every_operation_has_its_own_name() {
        let endpoints = endpoints();
        let document = document(&endpoints);
        let mut described = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                described.insert((path.clone(), method.clone()));
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} is the name of two operations");
                for text in ["summary", "description"] {
                    assert!(!operation[text].as_str().unwrap().is_empty(), "{name} has no {text}");
                }
                let in_path = path.matches('{').count();
                let parameters = operation["parameters"].as_array().unwrap().iter();
                let named = parameters.filter(|one| one["in"] == "path").count();
                assert_eq!(in_path, named, "{path}");
            }
        }
        let routed = endpoints.iter().map(|it| (it.path().to_owned(), it.method().to_owned()));
        assert_eq!(routed.collect::<BTreeSet<_>>(), described);
        assert_eq!(endpoints.len(), described.len());
    }
}
