//! Which modules and dependencies each module of this crate may use, checked against the sources. A decision stays a
//! pure function of records only if it cannot reach a store, a clock or a runtime.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// A module of the crate, and what it may use.
struct Room {
    name: &'static str,
    /// Modules of this crate.
    modules: &'static [&'static str],
    /// Dependencies of this crate; `None` = all of them.
    dependencies: Option<&'static [&'static str]>,
}

const ROOMS: [Room; 3] = [
    Room {
        name: "model",
        modules: &["model"],
        dependencies: Some(&[
            "blake3",
            "bytes",
            "prost",
            "serde",
            "serde_json",
            "thiserror",
            "uuid",
        ]),
    },
    Room {
        name: "decide",
        modules: &["decide", "model"],
        dependencies: Some(&["blake3", "bytes", "serde"]),
    },
    Room { name: "store", modules: &["store", "model", "env"], dependencies: None },
];

#[test]
fn no_room_uses_what_lies_above_it() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dependencies = dependencies(&fs::read_to_string(package.join("Cargo.toml")).unwrap());
    assert!(dependencies.contains(&"tokio".to_owned()), "{dependencies:?}");
    let mut broken = Vec::new();
    for room in &ROOMS {
        let files = sources(&package.join("src").join(room.name));
        assert!(!files.is_empty(), "{} has no sources", room.name);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for offence in offences(room, &dependencies, &text) {
                broken.push(format!("{}: {offence}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_a_room_may_not_use_is_found() {
    let dependencies = ["serde".to_owned(), "object_store".to_owned(), "tokio".to_owned()];
    let [model, decide, store] = &ROOMS;
    let found = |room, text| !offences(room, &dependencies, text).is_empty();
    for text in [
        "use crate::store::ControlStore;",
        "use crate::{model, query};",
        "let x = tokio::spawn(work);",
        "use object_store as other;",
        "pub async fn judge() {}",
    ] {
        assert!(found(decide, text), "{text}");
    }
    for text in [
        "use crate::model::records::Root;",
        "use super::*;",
        "use serde::Serialize;",
        "// crate::store is not for decisions",
        "fn stokio() {}",
    ] {
        assert!(!found(decide, text), "{text}");
    }
    assert!(found(model, "use crate::decide::judge;"));
    assert!(found(store, "crate::query::ring(store).await"));
    assert!(!found(store, "pub async fn put() { tokio::task::yield_now().await }"));
}

/// What `text` uses although `room` may not.
fn offences(room: &Room, dependencies: &[String], text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        if line.contains("crate::{") {
            found.push(format!("names several modules in one import: {line}"));
        }
        for (at, _) in line.match_indices("crate::") {
            let module = first_word(&line[at + "crate::".len()..]);
            if !module.is_empty() && !room.modules.contains(&module) {
                found.push(format!("uses crate::{module}: {line}"));
            }
        }
        let Some(allowed) = room.dependencies else { continue };
        let words: Vec<&str> = line.split(|c: char| !is_word(c)).collect();
        if words.contains(&"async") || words.contains(&"await") {
            found.push(format!("is not synchronous: {line}"));
        }
        for name in dependencies.iter().filter(|name| !allowed.contains(&name.as_str())) {
            let imported = line.starts_with("use ") && words.get(1) == Some(&name.as_str());
            let mentioned = line
                .match_indices(&format!("{name}::"))
                .any(|(at, _)| !line[..at].ends_with(|c: char| is_word(c) || c == ':'));
            if imported || mentioned {
                found.push(format!("uses {name}: {line}"));
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c: char| !is_word(c)).unwrap_or(text.len())]
}

/// Names of the dependencies, as code writes them.
fn dependencies(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
