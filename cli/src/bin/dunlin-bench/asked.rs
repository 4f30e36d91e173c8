//! A process beside the benchmark that measures queries: it is asked a line, and answers a measurement as a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};

use crate::Measure;

/// The process, seen from the benchmark. It ends when this is dropped.
pub(crate) struct Asked {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Asked {
    /// Starts it. Its messages go where those of the benchmark go.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let asks = child.stdin.take().context("its input is piped")?;
        let answers = child.stdout.take().context("its output is piped")?;
        Ok(Self { child, asks, answers: BufReader::new(answers) })
    }

    /// Measures once what a line asks for.
    pub(crate) fn measure(&mut self, line: &str) -> Result<Measure> {
        writeln!(self.asks, "{line}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).context("it has failed; its message is above")
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
