//! A terminal, through the small program beside this file: without it there is no way to press Ctrl+C.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Desk, Done};
use crate::common::binary;

/// What a person does.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Types keys.
    Type(&'a str),
    /// Waits for a text after what was seen before.
    See(&'a str),
    /// Makes a file, for whoever waits for it.
    Touch(&'a str),
    /// Waits for the end.
    End,
}

pub const CTRL_C: &str = "\u{3}";
pub const CTRL_D: &str = "\u{4}";

/// Runs `dunlin …` at a terminal of 100 columns. Panics if something is not seen.
pub fn sit(desk: &Desk, arguments: &[&str], more: &[(&str, &str)], steps: &[Step]) -> Done {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/sql/terminal.py");
    let mut command = desk.command("python3".as_ref());
    command.args([program, "100", "30"]).arg(binary()).args(arguments);
    command.envs(more.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::Type(keys) => json!(["type", keys]),
            Step::See(text) => json!(["see", text]),
            Step::Touch(file) => json!(["touch", file]),
            Step::End => json!(["end"]),
        })
        .collect();
    child.stdin.take().unwrap().write_all(Value::from(steps).to_string().as_bytes()).unwrap();
    let done = Done::of(child.wait_with_output().unwrap());
    assert_ne!(done.code, Some(99), "{}\n{}", done.out, done.err);
    done
}
