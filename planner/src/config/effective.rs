//! The configuration in effect, as TOML that can be read again.
//!
//! The schema tells which keys there are and what their defaults are, the tree which of them are set, and where. So a key
//! needs no mention here. No value is resolved: a secret stays the reference to it.

use std::fmt::Write as _;

use dunlin_config::{Node, Table, Tree, Value, has_reference};
use dunlin_plan::redact::MASK;
use serde_json::Value as Json;

use super::schema::{followed, is_section, optional};
use super::setting::Setting;

/// The section whose keys are credentials.
const PARAMS: &str = "params";

/// The configuration as text. Without `defaults`, only what is set.
pub(super) fn effective(tree: &Tree, schema: &Json, defaults: bool) -> String {
    let mut text = String::from(if defaults {
        "# The configuration in effect. A value without a comment is the default.\n"
    } else {
        "# What is set. The defaults are not shown.\n"
    });
    for line in lines(tree, schema, defaults) {
        let _ = match line {
            Line::Section { path, is_entry: true } => writeln!(text, "\n[[{path}]]"),
            Line::Section { path, is_entry: false } => writeln!(text, "\n[{path}]"),
            Line::Key { key, value: Some(value), source: Some(source), .. } => {
                writeln!(text, "{key} = {value}  # {source}")
            }
            Line::Key { key, value: Some(value), source: None, .. } => {
                writeln!(text, "{key} = {value}")
            }
            Line::Key { key, value: None, .. } => writeln!(text, "# {key} is not set"),
        };
    }
    text
}

/// The configuration with every default, key by key.
pub(super) fn settings(tree: &Tree, schema: &Json) -> Vec<Setting> {
    let keys = lines(tree, schema, true).into_iter().filter_map(|line| match line {
        Line::Section { .. } => None,
        Line::Key { name, value, source, .. } => {
            Some(Setting { name, value: value.map(plain), source })
        }
    });
    keys.collect()
}

/// A value of TOML as text: without quotes, if it is one.
fn plain(value: String) -> String {
    let parsed = format!("v = {value}").parse::<toml::Table>();
    match parsed.ok().and_then(|mut table| table.remove("v")) {
        Some(toml::Value::String(text)) => text,
        _ => value,
    }
}

/// What there is, in the order of the file.
enum Line {
    Section { path: String, is_entry: bool },
    Key { name: String, key: String, value: Option<String>, source: Option<String> },
}

fn lines(tree: &Tree, schema: &Json, defaults: bool) -> Vec<Line> {
    let mut printer = Printer { schema, defaults, lines: Vec::new() };
    let place = Place { path: "", name: "", is_entry: false };
    printer.section(schema, tree.root().table(), place);
    printer.lines
}

/// Where a section is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// As the head of the section has it; empty for the whole file.
    path: &'a str,
    /// The same, with the number of each entry of a list.
    name: &'a str,
    is_entry: bool,
}

impl Place<'_> {
    fn line(self, key: &str, value: Option<String>, source: Option<String>) -> Line {
        let key = quoted(key);
        let name = match self.name {
            "" => key.clone(),
            name => format!("{name}.{key}"),
        };
        Line::Key { name, key, value, source }
    }

    /// A key that is set, with its source.
    fn set(self, key: &str, node: &Node) -> Line {
        let value = if is_credential(self.path, key) { masked(node) } else { toml_of(node) };
        self.line(key, Some(value), Some(node.origin.to_string()))
    }
}

struct Printer<'a> {
    schema: &'a Json,
    defaults: bool,
    lines: Vec<Line>,
}

/// A section that is printed after the keys of the one that it is in.
enum Below<'a> {
    Section(&'a Json, Option<&'a Table>),
    Entries(&'a Json, &'a [Node]),
}

impl<'a> Printer<'a> {
    /// The keys of a section, and then the sections in it.
    fn section(&mut self, schema: &'a Json, set: Option<&'a Table>, place: Place<'_>) {
        let known = schema.get("properties").and_then(Json::as_object);
        let mut lines = Vec::new();
        let mut below = Vec::new();
        for (key, property) in known.into_iter().flatten() {
            let node = set.and_then(|set| set.get(key));
            match self.below(property, node) {
                Some(section) => below.extend(section.map(|section| (key.clone(), section))),
                None => lines.extend(self.value(place, key, property, node, set)),
            }
        }
        // Keys of any name, such as the columns of a table, and keys by another name.
        for (key, node) in set.into_iter().flatten() {
            if known.is_none_or(|known| !known.contains_key(key)) {
                lines.push(place.set(key, node));
            }
        }
        let Place { path, name, is_entry } = place;
        if !path.is_empty() && (is_entry || !lines.is_empty()) {
            self.lines.push(Line::Section { path: path.to_owned(), is_entry });
        }
        self.lines.extend(lines);
        for (key, section) in below {
            let below = |above: &str| match above {
                "" => key.clone(),
                above => format!("{above}.{key}"),
            };
            let (path, name) = (below(path), below(name));
            match section {
                // They have no defaults, and each table has them.
                Below::Section(_, None) if path.ends_with(PARAMS) => {}
                Below::Section(schema, set) => {
                    self.section(schema, set, Place { path: &path, name: &name, is_entry: false });
                }
                Below::Entries(schema, nodes) => {
                    for (number, node) in nodes.iter().enumerate() {
                        let name = format!("{name}[{number}]");
                        let place = Place { path: &path, name: &name, is_entry: true };
                        self.section(schema, node.table(), place);
                    }
                }
            }
        }
    }

    /// Whether a key is a section or a list of sections: `Some(None)` if it is one that is not there.
    fn below(&self, property: &'a Json, node: Option<&'a Node>) -> Option<Option<Below<'a>>> {
        let own = followed(self.schema, property);
        if is_section(own) {
            let set = node.and_then(Node::table);
            return Some((self.defaults || set.is_some()).then_some(Below::Section(own, set)));
        }
        if let Some(section) = optional(self.schema, property) {
            let set = node.and_then(Node::table);
            return Some(set.map(|set| Below::Section(section, Some(set))));
        }
        let entries = followed(self.schema, own.get("items")?);
        if !is_section(entries) {
            return None;
        }
        Some(node.and_then(Node::list).map(|nodes| Below::Entries(entries, nodes)))
    }

    /// One key, if it is shown.
    fn value(
        &self,
        place: Place<'_>,
        key: &str,
        property: &Json,
        node: Option<&Node>,
        set: Option<&Table>,
    ) -> Option<Line> {
        if let Some(node) = node {
            return Some(place.set(key, node));
        }
        let other = match key.strip_prefix("s3_") {
            Some(short) => short.to_owned(),
            None => format!("s3_{key}"),
        };
        // The short name of a key is only a second name of it.
        let is_second = place.path.ends_with(PARAMS)
            && (set.is_some_and(|set| set.contains_key(&other)) || is_short(property));
        if !self.defaults || is_second {
            return None;
        }
        Some(place.line(key, property.get("default").and_then(toml_of_json), None))
    }
}

fn is_short(property: &Json) -> bool {
    let description = property.get("description").and_then(Json::as_str);
    description.is_some_and(|text| text.starts_with("The same as s3_"))
}

/// Whether the value of a key lets somebody in.
fn is_credential(path: &str, key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| key.contains(word));
    let in_params = path == PARAMS || path.ends_with(".params");
    (in_params && has(&["key", "sas", "credential", "signature"]))
        || (path != "secrets" && has(&["secret", "token", "password", "sha256"]))
}

/// A credential. The reference to a secret is none.
fn masked(node: &Node) -> String {
    match node.text() {
        Some(text) if is_reference(text) => toml_text(text),
        _ => toml_text(MASK),
    }
}

/// Whether a text is a reference to a secret and nothing more.
fn is_reference(text: &str) -> bool {
    has_reference(text) && text.starts_with("${") && text.find('}') == Some(text.len() - 1)
}

fn toml_of(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => toml_text(&without_password(text)),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => toml::Value::Float(*number).to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Time(text) => text.clone(),
        Value::List(nodes) => {
            format!("[{}]", nodes.iter().map(toml_of).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, node)| {
                let value = if is_credential("", key) { masked(node) } else { toml_of(node) };
                format!("{} = {value}", quoted(key))
            });
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A URL without the password that may stand before its host.
fn without_password(text: &str) -> String {
    let hidden = text.split_once("://").and_then(|(scheme, rest)| {
        let (user, host) = rest.split('/').next()?.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        let after = &rest[user.len() + 1 + host.len()..];
        Some(format!("{scheme}://{name}:{MASK}@{host}{after}"))
    });
    hidden.unwrap_or_else(|| text.to_owned())
}

/// A default; `None` if there is none.
fn toml_of_json(value: &Json) -> Option<String> {
    match value {
        Json::Null | Json::Object(_) => None,
        Json::String(text) => Some(toml_text(text)),
        Json::Array(values) => {
            let values: Option<Vec<String>> = values.iter().map(toml_of_json).collect();
            Some(format!("[{}]", values?.join(", ")))
        }
        other => Some(other.to_string()),
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A key, with quotes if it needs them.
fn quoted(key: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { toml_text(key) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dunlin_config::Environment;

    use super::super::Config;
    use super::*;

    const FILE: &str = "[state]\nlocation = \"s3://bucket/q\"\n[state.params]\nsecret = \"literal-secret\"\ns3_key = \"${secrets:KEY}\"\nendpoint = \"https://user:pass-word@host:9/x\"\n[[tables]]\nname = \"t\"\nlocation = \"file:///data/t/\"\n[[gateway.keys]]\nname = \"ci\"\nsha256 = \"ba7816bf\"\nscopes = [\"query\"]\n";

    fn tree(text: &str) -> Tree {
        let environment: Environment =
            [("DUNLIN__LIMITS__TTL_MS", "60000"), ("KEY", "resolved-key")].into_iter().collect();
        let set = ["routing.mode=fleet".to_owned()];
        Tree::new(Some(("dunlin.toml", text)), &set, environment).unwrap()
    }

    #[test]
    fn every_key_is_shown_with_its_source_or_its_default() {
        let text = Config::effective(&tree(FILE), true);
        for line in [
            "ttl_ms = 60000  # variable DUNLIN__LIMITS__TTL_MS",
            "lease_ms = 12000",
            "mode = \"fleet\"  # flag --set routing.mode",
            "location = \"s3://bucket/q\"  # dunlin.toml, line 2",
            "location = \"file:///data/t/\"  # dunlin.toml, line 9",
            "target_partitions = 8",
            "connections = 1024",
            "architecture = \"x86\"",
            "# max_cost_usd is not set",
            "[[tables]]",
            "[[gateway.keys]]",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(!text.contains("[functions]") && !text.contains("[gateway.tls]"), "{text}");
        let set = Config::effective(&tree(FILE), false);
        assert!(!set.contains("lease_ms") && set.contains("ttl_ms = 60000"), "{set}");
    }

    #[test]
    fn no_credential_is_shown_and_references_are() {
        let text = Config::effective(&tree(FILE), true);
        for hidden in ["literal-secret", "pass-word", "ba7816bf", "resolved-key"] {
            assert!(!text.contains(hidden), "{hidden} in\n{text}");
        }
        assert!(text.contains("secret = \"********\"  # dunlin.toml, line 4"), "{text}");
        assert!(text.contains("s3_key = \"${secrets:KEY}\""), "{text}");
        assert!(text.contains("https://user:********@host:9/x"), "{text}");
        assert!(!text.contains("# s3_secret is not set"), "{text}");
    }

    #[test]
    fn settings_have_their_paths_and_no_credential() {
        let all = Config::settings(&tree(FILE));
        let of = |name: &str| {
            let found = all.iter().find(|setting| setting.name == name);
            let Setting { value, source, .. } = found.unwrap_or_else(|| panic!("{name}")).clone();
            (value.unwrap_or_default(), source.unwrap_or_default())
        };
        let text = |value: &str, source: &str| (value.to_owned(), source.to_owned());
        assert_eq!(of("routing.mode"), text("fleet", "flag --set routing.mode"));
        assert_eq!(of("limits.lease_ms"), text("12000", ""));
        assert_eq!(of("gateway.keys[0].name"), text("ci", "dunlin.toml, line 11"));
        assert_eq!(of("gateway.keys[0].sha256").0, MASK);
        assert_eq!(of("state.params.secret").0, MASK);
        assert_eq!(of("state.params.s3_key").0, "${secrets:KEY}");
        assert!(all.iter().any(|it| it.name == "limits.max_cost_usd" && it.value.is_none()));
        let shown = format!("{all:?}");
        for hidden in ["literal-secret", "pass-word", "ba7816bf", "resolved-key"] {
            assert!(!shown.contains(hidden), "{hidden}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let plain = "[state]\nlocation = \"memory://\"\n[[tables]]\nname = \"t\"\nlocation = \"a/\"\norder = [\"a\", \"b DESC\"]\n[worker]\nspill_dir = \"a \\\"b\\\"\"\n";
        for defaults in [true, false] {
            let first = Config::effective(&tree(plain), defaults);
            let again = Config::parse(&first).unwrap_or_else(|error| panic!("{error}\n{first}"));
            assert_eq!(format!("{again:?}"), format!("{:?}", Config::of(&tree(plain)).unwrap()));
        }
    }
}
