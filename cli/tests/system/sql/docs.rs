//! The examples of pages print what the pages say.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use dunlin_cli::fleet::{Process, start_listening};

use super::Desk;
use crate::common::{S3, binary, unique};

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
fn the_examples_of_the_command_print_what_its_page_says() {
    run("sql-command", 10, &[]);
}

#[test]
fn the_examples_of_the_quickstart_print_what_its_page_says() {
    run("quickstart", 6, &[]);
}

#[test]
fn the_examples_of_tables_print_what_its_page_says() {
    run("tables", 17, &[]);
}

#[test]
fn the_examples_of_writing_print_what_its_page_says() {
    run("writing", 13, &[]);
}

#[test]
fn the_examples_of_the_configuration_print_what_its_page_says() {
    run("configuration", 12, &[]);
}

#[test]
fn the_examples_of_the_api_print_what_its_page_says() {
    run("http-api", 24, &[]);
}

/// Below a prefix of its own: other tests use the bucket.
#[test]
fn the_examples_of_minio_print_what_its_page_says() {
    let Some(s3) = S3::from_env() else { return };
    let (key, secret) = s3.root();
    let variables = [
        ("AWS_ENDPOINT_URL", s3.endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ];
    run("minio", 8, &variables);
}

/// Where pages have a gateway.
const GATEWAY: &str = "127.0.0.1:8090";

/// `dunlin run --config dunlin.toml` in the folder, on a port that is free.
fn gateway_in(desk: &Desk) -> (Process, SocketAddr) {
    let (folder, program) = (desk.path().display().to_string(), binary().display().to_string());
    let start = ["-C", &folder, &program, "run", "--config", "dunlin.toml"];
    start_listening(Path::new("env"), &start, &desk.path().join("gateway.log")).unwrap()
}

/// Runs the examples of a page, of which there are at least so many.
fn run(name: &str, least: usize, variables: &[(&str, &str)]) {
    let page = format!("{}/../docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(page).unwrap();
    // Other tests use the bucket, and a page may be run twice.
    let bucket = std::env::var("DUNLIN_TEST_S3_BUCKET").unwrap_or_default();
    let place = format!("{bucket}/{}", unique("page"));
    let page = page.replace("s3://dunlin-test/", &format!("s3://{place}/"));
    let desk = Desk::new();
    let programs = desk.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(binary(), programs.join("dunlin")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let examples = examples(&page);
    assert!(examples.len() >= least, "{}", examples.len());
    let mut gateway: Option<(Process, SocketAddr)> = None;
    for (command, printed) in examples {
        // The page says that it was started where it is asked first.
        let command = if command.contains(GATEWAY) {
            let (_, address) = gateway.get_or_insert_with(|| gateway_in(&desk));
            command.replace(GATEWAY, &address.to_string())
        } else {
            command
        };
        let mut shell = desk.command("bash".as_ref());
        shell
            .args(["-c", &command])
            .env("PATH", &path)
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        let output = shell.output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}\n{err}");
        // An answer of the API has no newline at its end.
        let is_open = !out.is_empty() && !out.ends_with('\n');
        let out = if is_open { format!("{out}\n") } else { out };
        assert_eq!(out, printed, "{command}\n{err}");
    }
}
