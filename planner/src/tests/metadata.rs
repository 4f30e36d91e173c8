//! What Cargo reports about the workspace, only for this machine's platform: crates of other platforms may not be
//! downloaded here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// A crate of the build.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// The folder of its source.
    pub(super) folder: PathBuf,
    id: String,
}

/// The crates of the build, and what each links.
#[derive(Debug)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    /// For each id, the ids of its normal dependencies (no test and no build dependencies).
    links: BTreeMap<String, Vec<String>>,
}

impl Metadata {
    /// Runs Cargo without a network.
    pub(super) fn of_workspace() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let text = run(Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(["--filter-platform", &host()])
            .current_dir(env!("CARGO_MANIFEST_DIR")));
        let metadata: Value = serde_json::from_str(&text).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
            let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
            Package {
                name: text(&package["name"]),
                folder: manifest.parent().unwrap().to_owned(),
                id: text(&package["id"]),
            }
        });
        let links = metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| {
            let normal = |dependency: &&Value| {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                kinds.iter().any(|kind| kind["kind"].is_null())
            };
            let dependencies = node["deps"].as_array().unwrap().iter().filter(normal);
            (text(&node["id"]), dependencies.map(|it| text(&it["pkg"])).collect())
        });
        Self { packages: packages.collect(), links: links.collect() }
    }

    /// All crates.
    pub(super) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Names of the crates that `name` links, directly.
    pub(super) fn links(&self, name: &str) -> BTreeSet<&str> {
        let own = self.packages.iter().filter(|package| package.name == name);
        own.flat_map(|package| &self.links[&package.id]).map(|id| self.name(id)).collect()
    }

    /// Names of the crates that `name` links, directly or indirectly.
    pub(super) fn closure(&self, name: &str) -> BTreeSet<&str> {
        let own = self.packages.iter().find(|package| package.name == name).unwrap();
        let mut ids = BTreeSet::from([own.id.as_str()]);
        let mut open = vec![own.id.as_str()];
        while let Some(id) = open.pop() {
            for next in &self.links[id] {
                if ids.insert(next) {
                    open.push(next);
                }
            }
        }
        ids.into_iter().map(|id| self.name(id)).collect()
    }

    fn name(&self, id: &str) -> &str {
        &self.packages.iter().find(|package| package.id == id).unwrap().name
    }
}

/// The platform that this machine builds for.
fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = run(Command::new(rustc).arg("-vV"));
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// What a crate links if it is built alone, as text.
pub(super) fn linked_alone(package: &str) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none"])
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR")))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
