//! The JSON schema of the configuration, made of the types that read it. Editors complete and check `dunlin.toml` with it.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Config;

/// The keys of a store's parameters may be written without it.
const PREFIX: &str = "s3_";
/// The definition of a store's parameters.
const PARAMS: &str = "StoreParams";

/// The schema of the whole file.
pub(super) fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("dunlin.toml"));
        root.insert("description".to_owned(), json!("The configuration of Dunlin."));
    }
    if let Some(params) = schema.pointer_mut(&format!("/definitions/{PARAMS}/properties"))
        && let Some(params) = params.as_object_mut()
    {
        with_short_names(params);
    }
    schema
}

/// Adds the short names, which serde takes as aliases.
fn with_short_names(params: &mut Map<String, Value>) {
    let short: Vec<(String, Value)> = params
        .iter()
        .filter_map(|(name, schema)| Some((name.strip_prefix(PREFIX)?.to_owned(), name, schema)))
        .map(|(short, name, schema)| {
            let mut schema = schema.clone();
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), json!(format!("The same as {name}.")));
            }
            (short, schema)
        })
        .collect();
    for (name, schema) in short {
        params.entry(name).or_insert(schema);
    }
}

/// What `$ref` stands for.
pub(super) fn followed<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = match schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")) {
        Some(Value::String(reference)) => reference,
        _ => return schema,
    };
    reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// The section that an optional key may have.
pub(super) fn optional<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let choices = schema.get("anyOf")?.as_array()?;
    choices.iter().map(|choice| followed(root, choice)).find(|choice| is_section(choice))
}

/// Whether a schema is that of a section with known keys.
pub(super) fn is_section(schema: &Value) -> bool {
    schema.get("properties").is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    const DOCS: &str = include_str!("../../../docs/configuration.md");
    const EXAMPLE: &str = include_str!("../../../examples/dunlin.toml");

    /// Every key as `section.key`, without the second names of keys.
    fn keys(root: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (key, property) in properties {
            let description = property.get("description").and_then(Value::as_str);
            if description.is_some_and(|text| text.starts_with("The same as s3_")) {
                continue;
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let own = followed(root, property);
            let below = optional(root, property).unwrap_or(own);
            let below = below.get("items").map_or(below, |items| followed(root, items));
            if is_section(below) {
                keys(root, below, &path, found);
            } else {
                found.insert(path);
            }
        }
    }

    fn of_schema() -> BTreeSet<String> {
        let (root, mut found) = (schema(), BTreeSet::new());
        keys(&root, &root, "", &mut found);
        found
    }

    fn names(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    /// The section that a line of the documentation begins: a heading, or a line with the section in front.
    fn section(line: &str) -> Option<String> {
        if line == "## Store parameters" {
            return Some("state.params".to_owned());
        }
        if !line.starts_with('#') && !line.starts_with("`[") {
            return None;
        }
        let name = names(line).next().filter(|name| name.starts_with('['));
        Some(name.map_or_else(String::new, |name| name.trim_matches(['[', ']']).to_owned()))
    }

    #[test]
    fn the_documentation_has_every_key_and_no_other() {
        let (known, mut at) = (of_schema(), String::new());
        let mut documented = BTreeSet::new();
        // The page of the tables has what is said of a format alone.
        let tables = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tables.md");
        let tables = std::fs::read_to_string(tables).unwrap_or_default();
        for line in DOCS.lines() {
            if let Some(section) = section(line) {
                at = section;
            }
            let is_row = line.starts_with("| `") && !at.is_empty();
            let cell = line.split('|').nth(1).unwrap_or_default();
            for key in names(cell).filter(|_| is_row) {
                let path = format!("{at}.{key}");
                let is_section = known.iter().any(|known| known.starts_with(&format!("{path}.")));
                assert!(known.contains(&path) || is_section, "{path} is documented, and is no key");
                documented.insert(path);
            }
        }
        for key in known {
            // The parameters of all stores are documented once.
            let (section, name) = key.rsplit_once('.').unwrap();
            let elsewhere =
                section.ends_with("params") && documented.contains(&format!("state.params.{name}"));
            let in_words = section == "prices.container" && DOCS.contains(&format!("`{name}`"));
            let of_tables = key.starts_with("tables.") && tables.contains(&format!("`{name}"));
            let is_there = documented.contains(&key) || elsewhere || in_words || of_tables;
            assert!(is_there, "{key} is not documented");
        }
    }

    #[test]
    fn every_key_has_a_description_and_short_names_are_known() {
        fn described(schema: &Value, at: &str) {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let text = property["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{at}.{key} has no description");
                assert!(!text.contains("[`"), "{at}.{key} has a link of Rust: {text}");
            }
        }
        let root = schema();
        described(&root, "dunlin.toml");
        for (name, definition) in root["definitions"].as_object().unwrap() {
            described(definition, name);
        }
        let params = &root["definitions"]["StoreParams"]["properties"];
        assert_eq!(params["secret"]["description"], "The same as s3_secret.");
        assert_eq!(root["additionalProperties"], false);
        assert_eq!(
            root["definitions"]["LimitsConfig"]["properties"]["lease_ms"]["default"],
            12_000
        );
    }

    #[test]
    fn the_example_is_a_configuration() {
        use dunlin_config::{Environment, Tree};
        let environment: Environment =
            [("S3_KEY", "a-key"), ("S3_SECRET", "a-secret")].into_iter().collect();
        let tree = Tree::new(Some(("examples/dunlin.toml", EXAMPLE)), &[], environment).unwrap();
        let config = Config::of(&tree).unwrap();
        assert_eq!(config.state.params.s3_secret.as_deref(), Some("a-secret"));
        assert!(!config.tables.is_empty());
    }
}
