//! The sources of a configuration, and the tree that they make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dunlin_plan::config_text::{self, FILE, TextError};
use serde::de::DeserializeOwned;

use crate::environment::{Environment, PREFIX};
use crate::error::ReadError;
use crate::merge;
use crate::node::{Node, Origin, Part, Value};
use crate::parse::{self, SyntaxError};
use crate::read::Item;
use crate::secrets::Secrets;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file as given.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Nothing gives a configuration.
    #[error(
        "there is no configuration: give --config, set DUNLIN_CONFIG, or set keys by DUNLIN__SECTION__KEY or --set"
    )]
    Nothing(#[source] TextError),
    /// The environment names a configuration that cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text is not TOML.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A variable or a flag sets no key.
    #[error("{origin}: {why}")]
    Override {
        /// The variable or the flag.
        origin: Origin,
        /// What is wrong.
        why: String,
    },
}

/// Where a process looks for its configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--set section.key=value`, in the order of the command line.
    pub set: Vec<String>,
}

impl Sources {
    /// The sources read and put together. Without `--config`, the environment gives the text (see
    /// [`dunlin_plan::config_text`]), or `otherwise` is its file. If none of them has a text, variables and flags may give
    /// the whole configuration.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub async fn tree(
        &self,
        otherwise: &Path,
        environment: Environment,
    ) -> Result<Tree, TreeError> {
        let has_settings = !self.set.is_empty() || environment.settings().next().is_some();
        let text = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| TreeError::Read { path: path.clone(), source })?;
                Some((text, path.display().to_string()))
            }
            None => match config_text::from_env(otherwise).await {
                Ok(text) => Some(text),
                Err(TextError::File { source, path })
                    if source.kind() == std::io::ErrorKind::NotFound
                        && std::env::var_os(FILE).is_none() =>
                {
                    if !has_settings {
                        return Err(TreeError::Nothing(TextError::File { path, source }));
                    }
                    None
                }
                Err(error) => return Err(error.into()),
            },
        };
        let text = text.as_ref().map(|(text, name)| (name.as_str(), text.as_str()));
        Tree::new(text, &self.set, environment)
    }
}

/// A configuration whose values know where they came from.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
    environment: Environment,
}

impl Tree {
    /// The tree of a text, under its name, with the variables that set keys, and with `--set` flags over them.
    ///
    /// # Errors
    /// A text that is not TOML, or a variable or flag that sets no key.
    pub fn new(
        text: Option<(&str, &str)>,
        set: &[String],
        environment: Environment,
    ) -> Result<Self, TreeError> {
        let mut root = match text {
            Some((name, text)) => parse::document(name, text)?,
            None => Node::empty(Origin::Whole("the configuration".into())),
        };
        for (name, value) in environment.settings() {
            let origin = Origin::Variable(name.into());
            let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase();
            let parts: Vec<String> = key.split("__").map(str::to_owned).collect();
            let outcome = merge::set(&mut root, &parts, parse::loose(value, &origin));
            outcome.map_err(|why| TreeError::Override { origin, why })?;
        }
        for setting in set {
            let Some((key, value)) = split(setting) else {
                let origin = Origin::Flag(setting.split('=').next().unwrap_or_default().into());
                let why = "it is not section.key=value".to_owned();
                return Err(TreeError::Override { origin, why });
            };
            let origin = Origin::Flag(key.join(".").into());
            let outcome = merge::set(&mut root, &key, parse::loose(value, &origin));
            outcome.map_err(|why| TreeError::Override { origin, why })?;
        }
        Ok(Self { root, environment })
    }

    /// The tree of a text alone.
    ///
    /// # Errors
    /// A text that is not TOML.
    pub fn of_text(name: &str, text: &str) -> Result<Self, TreeError> {
        Self::new(Some((name, text)), &[], Environment::of_process().without_settings())
    }

    /// The sections.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Reads a type out of the tree, and resolves the secrets of the values that the type has.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ReadError> {
        let folder = self.root.table().and_then(|root| root.get("secrets")?.table()?.get("folder"));
        let secrets = Secrets::new(folder.and_then(Node::text), self.environment.clone());
        T::deserialize(Item { node: &self.root, path: Vec::new(), secrets: &secrets })
    }

    /// The keys whose values differ between two trees, as `section.key`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        differences(Some(&self.root), Some(&other.root), &mut Vec::new(), &mut found);
        found
    }
}

/// `section.key=value` in two. A key may have quotes, and `=` in them.
fn split(setting: &str) -> Option<(Vec<String>, &str)> {
    let mut ends = setting.match_indices('=');
    ends.find_map(|(at, _)| Some((parse::key(setting[..at].trim())?, &setting[at + 1..])))
}

/// What lies below a value, if it is a section or a list of sections. Nothing lies below what is not there.
fn children(node: Option<&Node>) -> Option<BTreeMap<Part, &Node>> {
    match node.map(|node| &node.value) {
        None => Some(BTreeMap::new()),
        Some(Value::Table(table)) => {
            Some(table.iter().map(|(key, node)| (Part::Key(key.clone()), node)).collect())
        }
        Some(Value::List(nodes)) if nodes.iter().any(|node| node.table().is_some()) => {
            let entries = nodes.iter().enumerate();
            Some(entries.map(|(at, node)| (Part::Entry(node.label(at)), node)).collect())
        }
        Some(_) => None,
    }
}

fn differences(a: Option<&Node>, b: Option<&Node>, path: &mut Vec<Part>, found: &mut Vec<String>) {
    let (Some(before), Some(after)) = (children(a), children(b)) else {
        if a != b {
            let keys = path.iter().map(|part| match part {
                Part::Key(key) | Part::Entry(key) => key.as_str(),
            });
            found.push(keys.collect::<Vec<_>>().join("."));
        }
        return;
    };
    for part in before.keys().chain(after.keys().filter(|part| !before.contains_key(*part))) {
        path.push(part.clone());
        differences(before.get(part).copied(), after.get(part).copied(), path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::Deserialize;

    use super::*;
    use crate::redact;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        state: State,
        #[serde(default)]
        limits: Limits,
        #[serde(default)]
        tables: Vec<Table>,
        #[serde(default, rename = "secrets")]
        _secrets: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct State {
        location: String,
        #[serde(default)]
        params: Params,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Params {
        #[serde(alias = "secret")]
        s3_secret: Option<String>,
        hedge: Option<bool>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Limits {
        ttl_ms: Option<u64>,
        dollars: Option<f64>,
        mode: Mode,
    }

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Auto,
        Fleet,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        name: String,
        location: String,
        #[serde(default)]
        order: Vec<String>,
    }

    const FILE: &str = "[state]\nlocation = \"memory://\"\n[limits]\nttl_ms = 1\n[[tables]]\nname = \"t\"\nlocation = \"a\"\n";

    fn read(text: &str, set: &[&str], environment: &[(&str, &str)]) -> Result<Whole, String> {
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        let environment = environment.iter().copied().collect();
        let tree = Tree::new(Some(("dunlin.toml", text)), &set, environment);
        tree.map_err(|error| error.to_string())?.read().map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
        let variables = [("DUNLIN__LIMITS__TTL_MS", "2"), ("DUNLIN__LIMITS__DOLLARS", "3")];
        assert_eq!(read(FILE, &[], &[]).unwrap().limits.ttl_ms, Some(1));
        let by_variable = read(FILE, &[], &variables).unwrap();
        assert_eq!((by_variable.limits.ttl_ms, by_variable.limits.dollars), (Some(2), Some(3.0)));
        let by_flag = read(FILE, &["limits.ttl_ms=4", "limits.ttl_ms = 5"], &variables).unwrap();
        assert_eq!(by_flag.limits.ttl_ms, Some(5), "the last flag");
    }

    #[test]
    fn what_a_key_wants_decides_how_a_variable_is_read() {
        let variables = [
            ("DUNLIN__STATE__LOCATION", "2026"),
            ("DUNLIN__STATE__PARAMS__HEDGE", "false"),
            ("DUNLIN__LIMITS__MODE", "fleet"),
            ("DUNLIN__TABLES__T__ORDER", "[\"a\", \"b DESC\"]"),
            ("DUNLIN__TABLES__U__LOCATION", "s3://b/u/"),
        ];
        let whole = read(FILE, &[], &variables).unwrap();
        assert_eq!(whole.state.location, "2026");
        assert_eq!(whole.state.params.hedge, Some(false));
        assert_eq!(whole.limits.mode, Mode::Fleet);
        assert_eq!(whole.tables[0].order, ["a", "b DESC"]);
        assert_eq!(
            (whole.tables[1].name.as_str(), whole.tables[1].location.as_str()),
            ("u", "s3://b/u/")
        );
    }

    #[test]
    fn an_error_says_where_the_value_came_from() {
        for (text, set, variables, says) in [
            (
                "[limits]\ntll_ms = 1",
                &[][..],
                &[][..],
                "dunlin.toml, line 2: [limits] has no key \"tll_ms\"; did you mean \"ttl_ms\"?",
            ),
            (
                "[limts]\nttl_ms = 1",
                &[],
                &[],
                "dunlin.toml, line 1: the configuration has no section [limts]; did you mean [limits]?",
            ),
            (
                "[limits]\nttl_ms = \"soon\"",
                &[],
                &[],
                "dunlin.toml, line 2: [limits] ttl_ms must be a whole number of at least 0, and not the text \"soon\"",
            ),
            (
                "limits = 1",
                &[],
                &[],
                "dunlin.toml, line 1: [limits] must be a section, and not the number 1",
            ),
            (
                "[limits]\nmode = \"flet\"",
                &[],
                &[],
                "[limits] mode must be \"auto\" or \"fleet\", and not \"flet\"; did you mean \"fleet\"?",
            ),
            (
                "",
                &[],
                &[("DUNLIN__LIMITS__TTL_MS", "-1")],
                "variable DUNLIN__LIMITS__TTL_MS: [limits] ttl_ms must be a whole number of at least 0, and not the number -1",
            ),
            (
                "",
                &[],
                &[("DUNLIN__LIMITS__TLL_MS", "1")],
                "variable DUNLIN__LIMITS__TLL_MS: [limits] has no key \"tll_ms\"",
            ),
            (
                "",
                &["limits.dollars=much"],
                &[],
                "flag --set limits.dollars: [limits] dollars must be a number, and not the text \"much\"",
            ),
            ("", &["limits"], &[], "flag --set limits: it is not section.key=value"),
            (
                "",
                &["tables.t.order=a"],
                &[],
                "flag --set tables.t.order: [[tables]] \"t\" order must be a list",
            ),
            ("[[tables]]\nname = \"t\"", &[], &[], "[[tables]] \"t\" needs the key location"),
            (
                "[state.params]\nsecret = \"a\"\ns3_secret = \"b\"",
                &[],
                &[],
                "[state.params] has s3_secret twice",
            ),
        ] {
            let text = if text.contains("[state") {
                text.to_owned()
            } else {
                format!("{text}\n[state]\nlocation = \"x\"\n")
            };
            let text = text.replace("[state.params]", "[state]\nlocation = \"x\"\n[state.params]");
            let error = read(&text, set, variables).unwrap_err();
            assert!(error.contains(says), "{error}\nbut should say\n{says}");
        }
        let error = read("", &[], &[]).unwrap_err();
        assert_eq!(error, "dunlin.toml: [state] is missing");
    }

    #[test]
    fn a_secret_is_resolved_for_whoever_reads_it_and_shown_to_nobody() {
        let text =
            "[state]\nlocation = \"memory://\"\n[state.params]\nsecret = \"${secrets:PLANTED}\"\n";
        let environment = [("PLANTED", "planted-in-sources")];
        assert_eq!(
            read(text, &[], &environment).unwrap().state.params.s3_secret.as_deref(),
            Some("planted-in-sources")
        );
        assert_eq!(redact("planted-in-sources"), "********");
        let missing = read(text, &[], &[]).unwrap_err();
        assert!(
            missing.contains(
                "dunlin.toml, line 4: [state.params] secret: the secret PLANTED is not there"
            ),
            "{missing}"
        );
        let wrong = format!("{text}hedge = \"${{secrets:PLANTED}}\"\n[limits]\nmode = \"auto\"\n");
        let wrong = read(
            &wrong,
            &["limits.mode=${secrets:PLANTED}", "state.params.hedge=true"],
            &environment,
        )
        .unwrap_err();
        assert!(wrong.contains("limits.mode") && !wrong.contains("planted"), "{wrong}");
        let kept =
            read(text, &["tables.t.location=s3://${secrets:PLANTED}/"], &environment).unwrap_err();
        assert!(kept.contains("written into the state"), "{kept}");
        // A worker reads no limits, and needs none of their secrets.
        #[derive(Deserialize)]
        struct Part {
            state: State,
        }
        let set = ["limits.mode=${secrets:GONE}".to_owned()];
        let tree = Tree::new(Some(("f", FILE)), &set, Environment::default()).unwrap();
        assert_eq!(tree.read::<Part>().unwrap().state.location, "memory://");
    }

    #[test]
    fn differences_are_named_by_their_keys() {
        let tree = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
            Tree::new(Some(("f", FILE)), &set, Environment::default()).unwrap()
        };
        let changed = tree(&["limits.ttl_ms=9", "tables.u.location=b", "state.params.hedge=true"]);
        assert_eq!(
            tree(&[]).differences(&changed),
            ["limits.ttl_ms", "state.params.hedge", "tables.u.location", "tables.u.name"]
        );
        assert!(changed.differences(&changed).is_empty());
    }

    #[tokio::test]
    async fn without_a_file_flags_and_variables_are_enough() {
        let nowhere = Path::new("/nowhere/dunlin.toml");
        let sources = Sources { set: vec!["state.location=memory://".to_owned()], config: None };
        let tree = sources.tree(nowhere, Environment::default()).await.unwrap();
        assert_eq!(tree.read::<Whole>().unwrap().state.location, "memory://");
        let nothing = Sources::default().tree(nowhere, Environment::default()).await.unwrap_err();
        assert!(nothing.to_string().contains("DUNLIN__SECTION__KEY"), "{nothing}");
    }
}
