//! Hashes the sources that define what a query's objects mean: records and decisions, the exchange, and the plans that
//! gateways and workers share. The fence holds the hash (see `src/fence.rs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Relative to this crate.
const SOURCES: [&str; 5] = [
    "../manifest/src/model",
    "../manifest/src/decide",
    "../manifest/src/query",
    "../shuffle/src",
    "src",
];

fn main() -> std::io::Result<()> {
    let mut hasher = blake3::Hasher::new();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = BTreeMap::new();
        collect(Path::new(folder), &mut files)?;
        for (name, text) in files {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
            hasher.update(&text);
            hasher.update(&[0]);
        }
    }
    println!("cargo::rustc-env=DUNLIN_BUILD={}", &hasher.finalize().to_hex()[..16]);
    Ok(())
}

/// All files below `folder` but tests, by their names, so that the order does not depend on the file system.
fn collect(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                collect(&path, files)?;
            }
        } else {
            files.insert(path.display().to_string(), std::fs::read(&path)?);
        }
    }
    Ok(())
}
