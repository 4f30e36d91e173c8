//! What standard output is connected to.

use std::io::IsTerminal;

use rustyline::history::MemHistory;
use rustyline::{Config, Editor};

/// What standard output is connected to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    /// Whether it is a terminal.
    pub(crate) is_terminal: bool,
    /// Columns of the terminal.
    pub(crate) columns: usize,
    /// Rows of the terminal.
    pub(crate) rows: usize,
    /// Whether it may be sent colours.
    pub(crate) colours: bool,
    /// The command that shows what is larger than the terminal.
    pub(crate) pager: Option<String>,
}

/// What a terminal has that does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

impl Screen {
    /// Looks at standard output and the environment.
    pub(crate) fn detect(pages: bool) -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::default();
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (columns, rows) = size().unwrap_or(USUAL);
        Self {
            is_terminal: true,
            columns,
            rows,
            colours: set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
            pager: set("PAGER").filter(|_| pages),
        }
    }
}

impl Screen {
    /// Looks how large the terminal is now.
    pub(crate) fn measure(&mut self) {
        if self.is_terminal {
            (self.columns, self.rows) = size().unwrap_or(USUAL);
        }
    }
}

/// The editor of lines knows how to ask for it.
fn size() -> Option<(usize, usize)> {
    let mut editor =
        Editor::<(), MemHistory>::with_history(Config::default(), MemHistory::new()).ok()?;
    let (columns, rows) = editor.dimensions()?;
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    (columns > 0 && rows > 0).then_some((columns, rows))
}
