//! The examples of `docs/sql-command.md` print what the page says.

use std::process::Stdio;

use super::Desk;
use crate::common::binary;

/// Lines after a `$`, with what they are to print.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let blocks = page.split("\n```console\n").skip(1);
    for block in blocks.map(|block| block.split("\n```").next().unwrap()) {
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => found.push((command.to_owned(), String::new())),
                None => {
                    let (_, printed) = found.last_mut().unwrap();
                    printed.push_str(line);
                    printed.push('\n');
                }
            }
        }
    }
    found
}

#[test]
fn the_examples_of_the_page_print_what_it_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql-command.md");
    let page = std::fs::read_to_string(page).unwrap();
    let desk = Desk::new();
    let programs = desk.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(binary(), programs.join("dunlin")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let examples = examples(&page);
    assert!(examples.len() > 10, "{}", examples.len());
    for (command, printed) in examples {
        let mut shell = desk.command("bash".as_ref());
        shell.args(["-c", &command]).env("PATH", &path).stdin(Stdio::null());
        let output = shell.output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}\n{err}");
        assert_eq!(out, printed, "{command}\n{err}");
    }
}
