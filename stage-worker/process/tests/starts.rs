//! The binary of containers, as a container starts it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn worker(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin-worker"));
    command.args(arguments).env_remove("DUNLIN_CONFIG").env_remove("DUNLIN_CONFIG_TOML");
    command.current_dir(std::env::temp_dir()).output().unwrap()
}

fn sentence(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn with(folder: &Path, text: &str) -> String {
    let config = folder.join("dunlin.toml");
    std::fs::write(&config, text).unwrap();
    config.display().to_string()
}

#[test]
fn a_worker_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing.toml").display().to_string();
    let said = sentence(&worker(&["--config", &missing]));
    assert!(said.contains("cannot read") && said.contains("nothing.toml"), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");

    let config = with(folder.path(), "[state]\nlocation = \"memory://\"\n");
    let said = sentence(&worker(&["--config", &config]));
    assert!(said.contains("memory:// is seen by one process only"), "{said}");

    let config = with(folder.path(), "[worker]\nslots = 1\n");
    let said = sentence(&worker(&["--config", &config]));
    assert!(said.contains("state"), "{said}");

    let config = with(folder.path(), "[state]\nlocation = \"s\"\n[worker]\nslotz = 1\n");
    let said = sentence(&worker(&["--config", &config]));
    assert!(said.contains("slotz"), "{said}");
}

#[test]
fn a_health_check_of_nobody_fails() {
    let said = sentence(&worker(&["alive", "--file", "/nowhere/alive"]));
    assert!(said.contains("the worker is not alive"), "{said}");
}
