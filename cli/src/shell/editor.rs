//! The editor of lines: history, several lines, completion, colours.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};

use super::catalog::{Catalog, Names};
use super::colours::coloured;
use super::complete::{Offer, complete, needs_names};
use super::history;
use crate::failure::Failure;
use crate::script::is_complete;

const PROMPT: &str = "dunlin> ";
const COLOURED_PROMPT: &str = "\u{1b}[1;36mdunlin>\u{1b}[0m ";
/// How long Tab waits for the names of tables.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a person has entered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// Statements or commands.
    Text(String),
    /// Ctrl+C: nothing.
    Cleared,
    /// Ctrl+D.
    End,
}

/// The editor of lines.
pub(super) struct Lines {
    editor: Editor<Help, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    /// # Errors
    /// A terminal that cannot be used.
    pub(super) fn new(catalog: Catalog, colours: bool) -> Result<Self, Failure> {
        let config = Config::builder()
            .max_history_size(history::LINES)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(unusable)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .color_mode(if colours { ColorMode::Enabled } else { ColorMode::Disabled })
            .build();
        let mut editor = Editor::with_config(config).map_err(unusable)?;
        editor.set_helper(Some(Help { catalog, files: FilenameCompleter::new() }));
        let history = history::file();
        if let Some(file) = &history {
            // There is none at the first start.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// Reads statements or commands.
    ///
    /// # Errors
    /// A terminal that is gone.
    pub(super) fn read(&mut self) -> Result<Entered, Failure> {
        let text = match self.editor.readline(&(PROMPT, COLOURED_PROMPT)) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => return Ok(Entered::Cleared),
            Err(ReadlineError::Eof) => return Ok(Entered::End),
            Err(error) => return Err(unusable(error)),
        };
        if self.editor.add_history_entry(text.trim_end()).unwrap_or_default()
            && let Some(file) = &self.history
        {
            // At once, so that it outlives a shell that is killed. A disk may be full, and the shell goes on.
            let _ = self.editor.append_history(file);
        }
        Ok(Entered::Text(text))
    }
}

fn unusable(error: ReadlineError) -> Failure {
    Failure::Other(anyhow::Error::new(error).context("the terminal cannot be used"))
}

/// What the editor asks while a person types.
struct Help {
    catalog: Catalog,
    files: FilenameCompleter,
}

impl Helper for Help {}

impl Hinter for Help {
    type Hint = String;
}

impl Completer for Help {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let wanted = needs_names(&line[..at]);
        let names = if wanted { self.catalog.names(PATIENCE) } else { Names::default().into() };
        match complete(line, at, &names) {
            Offer::File => self.files.complete(line, at, context),
            Offer::Words(start, words) => {
                let pair = |word: String| Pair { display: word.clone(), replacement: word };
                Ok((start, words.into_iter().map(pair).collect()))
            }
        }
    }
}

impl Validator for Help {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        Ok(if is_complete(text) || is_farewell(text) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Highlighter for Help {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Owned(coloured(line))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

/// Whether a line is a word by which people try to leave a shell.
pub(super) fn is_farewell(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "exit" | "quit")
}
