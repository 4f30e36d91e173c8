//! Runs statements and commands, one after the other.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use dunlin_planner::config::Format as FileFormat;
use tokio::runtime::Handle;

use super::catalog::Catalog;
use super::command::{Command, help};
use super::editor::{Entered, Lines, is_farewell};
use crate::failure::Failure;
use crate::link::in_gateway;
use crate::print::{Expanded, Format, Out};
use crate::script::{Item, Statement, items};
use crate::session::{Home, Options, Session};

/// How deep files may include files: one that includes itself ends.
const DEPTH: usize = 16;

/// Runs statements and commands.
#[derive(Debug)]
pub(crate) struct Shell {
    session: Session,
    runtime: Handle,
    catalog: Catalog,
    depth: usize,
    /// While `\o` sends answers to a file: the format that was asked for before.
    before_output: Option<Option<Format>>,
}

type Flow = ControlFlow<()>;
const ON: Flow = ControlFlow::Continue(());

impl Shell {
    pub(crate) fn new(session: Session, runtime: Handle) -> Self {
        let catalog = Catalog::new(session.link.clone(), runtime.clone());
        Self { session, runtime, catalog, depth: 0, before_output: None }
    }

    /// Talks with a person at a terminal.
    ///
    /// # Errors
    /// A terminal that cannot be used.
    pub(crate) fn talk(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::new(self.catalog.clone(), self.session.printer.screen.colours)?;
        if !self.session.options.quiet {
            println!("{}", self.greeting());
        }
        loop {
            let text = match lines.read()? {
                Entered::Text(text) if is_farewell(&text) => return Ok(()),
                Entered::Text(text) => text,
                Entered::Cleared => continue,
                Entered::End => return Ok(()),
            };
            self.session.printer.screen.measure();
            self.runtime.block_on(self.session.fresh());
            for item in items(&text) {
                match self.item(&item, None) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(()),
                    Err(failure) => {
                        failure.tell();
                        break;
                    }
                }
            }
        }
    }

    fn greeting(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let place = match self.session.home {
            Home::Gateway { .. } => format!("at {}", self.session.link.name()),
            Home::Shell | Home::Command => {
                "in this process; files are tables: select * from 'data.parquet';".to_owned()
            }
        };
        format!("dunlin {version}, {place}\n\\? for help, \\q to end")
    }

    /// Does one thing. `file` is where it is from. Breaks where the script is to end.
    ///
    /// # Errors
    /// What went wrong with it.
    pub(crate) fn item(&mut self, item: &Item, file: Option<&str>) -> Result<Flow, Failure> {
        match item {
            Item::Statement(statement) => self.statement(statement, file).map(|()| ON),
            Item::Command(line) => {
                let command = Command::parse(line).map_err(|told| anyhow::anyhow!(told))?;
                self.command(command)
            }
        }
    }

    fn statement(&mut self, statement: &Statement, file: Option<&str>) -> Result<(), Failure> {
        let outcome = self.runtime.block_on(self.session.run(statement, file));
        if statement.changes_tables() {
            self.catalog.forget();
        }
        // Such a file holds one answer.
        let one = self.session.printer.format().is_binary() && self.session.printer.out.is_file();
        if outcome.is_ok() && one && self.before_output.is_some() {
            self.output(None)?;
        }
        outcome
    }

    fn command(&mut self, command: Command) -> Result<Flow, Failure> {
        let printer = &mut self.session.printer;
        match command {
            Command::Quit => return Ok(ControlFlow::Break(())),
            Command::Help => print!("{}", help()),
            Command::Tables(part) => self.quietly(&tables(part.as_deref()))?,
            Command::Functions(part) => self.quietly(&functions(part.as_deref()))?,
            Command::Describe(table) => self.describe(&table)?,
            Command::Timing(on) => {
                self.session.footers = on.unwrap_or(!self.session.footers);
                self.note(&format!("timing is {}", word(self.session.footers)));
            }
            Command::Expanded(to) => {
                printer.expanded = to.unwrap_or(match printer.expanded {
                    Expanded::On => Expanded::Auto,
                    Expanded::Auto | Expanded::Off => Expanded::On,
                });
                let told = match printer.expanded {
                    Expanded::On => "on",
                    Expanded::Off => "off",
                    Expanded::Auto => "auto",
                };
                self.note(&format!("each value on a line of its own: {told}"));
            }
            Command::Format(format) => {
                printer.asked = format.or(printer.asked);
                let told = format!("format is {}", printer.format().name());
                self.note(&told);
            }
            Command::Include(path) => return self.include(&path),
            Command::Output(path) => self.output(path.as_deref())?,
            Command::Attach(query) => self.runtime.block_on(self.session.attach(&query))?,
            Command::Refresh => self.catalog.forget(),
        }
        Ok(ON)
    }

    /// Says what a command has done.
    fn note(&self, text: &str) {
        if !self.session.options.quiet {
            eprintln!("{text}");
        }
    }

    /// Runs a statement of the shell's own, without the line after its answer.
    fn quietly(&mut self, sql: &str) -> Result<(), Failure> {
        // The user's parameters and settings are not for it.
        let quiet = self.session.options.quiet;
        let options = Options { quiet, settings: in_gateway(), ..Options::default() };
        let options = std::mem::replace(&mut self.session.options, options);
        let footers = std::mem::replace(&mut self.session.footers, false);
        let outcome = items(sql).iter().try_for_each(|item| match item {
            Item::Statement(statement) => self.runtime.block_on(self.session.run(statement, None)),
            Item::Command(_) => Ok(()),
        });
        self.session.footers = footers;
        self.session.options = options;
        outcome
    }

    /// Shows the columns of a table. Only this table is read, however many there are.
    fn describe(&mut self, table: &str) -> Result<(), Failure> {
        let sql = format!("select * from {} limit 0", file_in_quotes(table));
        let schema = self.runtime.block_on(self.session.schema(&sql))?;
        let texts = |of: &dyn Fn(&arrow::datatypes::FieldRef) -> String| {
            let column: StringArray = schema.fields().iter().map(|field| Some(of(field))).collect();
            Arc::new(column) as ArrayRef
        };
        let columns = RecordBatch::try_from_iter([
            ("column", texts(&|field| field.name().clone())),
            ("type", texts(&|field| field.data_type().to_string())),
            ("null", texts(&|field| if field.is_nullable() { "yes" } else { "no" }.to_owned())),
        ])?;
        let mut showing = self.session.printer.begin(&columns.schema())?;
        showing.batch(&columns)?;
        showing.end().map(|_| ())
    }

    fn include(&mut self, path: &str) -> Result<Flow, Failure> {
        if self.depth >= DEPTH {
            return Err(anyhow::anyhow!("{path} is included by itself, or {DEPTH} deep").into());
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        self.depth += 1;
        let mut flow = Ok(ON);
        for item in items(&text) {
            flow = self.item(&item, Some(path));
            if !matches!(flow, Ok(ControlFlow::Continue(()))) {
                break;
            }
        }
        self.depth -= 1;
        flow
    }

    /// Sends answers to a file, or to standard output again.
    fn output(&mut self, path: Option<&str>) -> Result<(), Failure> {
        let printer = &mut self.session.printer;
        let out = match path {
            Some(path) => Out::file(Path::new(path))?,
            None => Out::stdout(),
        };
        let written = std::mem::replace(&mut printer.out, out);
        if let Some(before) = self.before_output.take() {
            printer.asked = before;
        }
        if let Some(path) = path {
            self.before_output = Some(printer.asked);
            printer.asked = printer.asked.or(Format::of_file(Path::new(path)));
        }
        Ok(written.close()?)
    }

    /// Ends what is open: a file of answers appears at its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn end(self) -> Result<(), Failure> {
        Ok(self.session.printer.out.close()?)
    }
}

/// The name of a file needs quotes, which people forget.
fn file_in_quotes(table: &str) -> String {
    let is_file = table.contains('/') || FileFormat::of(table).is_some();
    if is_file && !table.contains(['\'', '"']) { format!("'{table}'") } else { table.to_owned() }
}

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn tables(part: Option<&str>) -> String {
    // Those of the system are shown to who asks for them.
    let (name, others) = match part {
        None => ("table_name", " and table_schema <> 'system'"),
        Some(_) => {
            ("case table_schema when 'system' then 'system.' || table_name else table_name end", "")
        }
    };
    format!(
        "select {name} as \"table\", table_type as kind from information_schema.tables where table_schema <> 'information_schema'{others}{} order by 1",
        containing(name, part)
    )
}

fn functions(part: Option<&str>) -> String {
    format!(
        "select distinct routine_name as \"function\", lower(function_type) as kind, syntax_example as usage from information_schema.routines where true{} order by 1, 2, 3",
        containing("routine_name", part)
    )
}

/// A condition: the column contains the text, whatever its case. `%` and `*` stand for anything.
fn containing(column: &str, part: Option<&str>) -> String {
    let Some(part) = part else { return String::new() };
    let part = part.replace('\'', "''").replace('*', "%");
    format!(" and {column} ilike '%{part}%'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_without_their_quotes() {
        for (table, expected) in [
            ("orders", "orders"),
            ("a.orders", "a.orders"),
            ("data.csv", "'data.csv'"),
            ("'data.csv'", "'data.csv'"),
            ("s3://b/x/", "'s3://b/x/'"),
            ("\"a/b\"", "\"a/b\""),
        ] {
            assert_eq!(file_in_quotes(table), expected);
        }
    }

    #[test]
    fn parts_of_names_cannot_end_the_statement() {
        assert!(tables(Some("a'; drop")).contains("ilike '%a''; drop%'"));
        assert!(!tables(None).contains("ilike"));
        assert!(functions(Some("date*")).contains("routine_name ilike '%date%%'"));
    }
}
