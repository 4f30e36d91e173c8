//! Runs `dunlin sql`.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

use super::options::Options;
use super::parameter;
use super::place::{Opened, Place, URL_VARIABLE};
use crate::failure::Failure;
use crate::print::{Expanded, Format, Out, Printer, Screen};
use crate::script::{Item, items};
use crate::session::{self, Interrupts, Session};
use crate::shell::Shell;

/// A text with statements, and the file that it is from.
#[derive(Debug)]
struct Script {
    file: Option<String>,
    items: Vec<Item>,
}

/// Runs `dunlin sql`, says what went wrong, and gives the exit code.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn try_run(options: &Options) -> Result<(), Failure> {
    let scripts = scripts(options)?;
    let is_shell = scripts.is_none();
    let printer = printer(options, scripts.as_deref().unwrap_or_default())?;
    if scripts.as_ref().is_some_and(|scripts| scripts.iter().all(|script| script.items.is_empty()))
    {
        return Ok(());
    }
    let place = Place::choose(options, std::env::var(URL_VARIABLE).ok());
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    let _entered = handle.enter();
    let interrupts = Interrupts::new()?;
    let Opened { link, home, own } = place.open(is_shell)?;
    let said = session::Options {
        parameters: options.param.iter().map(|text| parameter::value(text)).collect(),
        settings: settings(options),
        quiet: options.quiet,
    };
    let session = Session::new(link, printer, said, home, interrupts);
    let mut shell = Shell::new(session, handle.clone());
    let outcome = match scripts {
        None => shell.talk(),
        Some(scripts) => all(&mut shell, scripts),
    };
    let outcome = outcome.and_then(|()| shell.end());
    drop(own);
    dunlin_plan::threads::end(runtime);
    outcome
}

fn all(shell: &mut Shell, scripts: Vec<Script>) -> Result<(), Failure> {
    for Script { file, items } in scripts {
        for item in &items {
            if shell.item(item, file.as_deref())?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One thread for requests beside the one that prints.
fn runtime() -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    let built = builder.worker_threads(1).thread_name("dunlin-sql").enable_all().build();
    Ok(built.context("the system gives no threads")?)
}

/// What to run; none for the shell.
fn scripts(options: &Options) -> Result<Option<Vec<Script>>, Failure> {
    let texts: Vec<(Option<String>, String)> = if let Some(sql) = &options.sql {
        vec![(None, sql.clone())]
    } else if !options.command.is_empty() {
        options.command.iter().map(|text| (None, text.clone())).collect()
    } else if !options.file.is_empty() {
        options.file.iter().map(|path| read(path)).collect::<Result<_, _>>()?
    } else if std::io::stdin().is_terminal() {
        return Ok(None);
    } else {
        vec![read(Path::new("-"))?]
    };
    let script = |(file, text): (Option<String>, String)| Script { file, items: items(&text) };
    Ok(Some(texts.into_iter().map(script).collect()))
}

fn read(path: &Path) -> Result<(Option<String>, String), Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok((None, text));
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((Some(path.display().to_string()), text))
}

fn printer(options: &Options, scripts: &[Script]) -> Result<Printer, Failure> {
    let of_file = options.output.as_deref().and_then(Format::of_file);
    let asked = options.format.or(of_file);
    let is_statement = |item: &&Item| matches!(item, Item::Statement(_));
    let statements = scripts.iter().flat_map(|script| &script.items).filter(is_statement).count();
    let screen = Screen::detect(!options.no_pager);
    if let Some(format) = asked.filter(|format| format.is_binary()) {
        if screen.is_terminal && options.output.is_none() {
            return Err(Failure::Usage(format!(
                "{} is not for a terminal: use --output FILE, or a pipe",
                format.name()
            )));
        }
        if statements > 1 {
            return Err(Failure::Usage(format!(
                "a file of {} holds one answer, and there are {statements} statements",
                format.name()
            )));
        }
    }
    let out = options.output.as_deref().map_or_else(|| Ok(Out::stdout()), Out::file)?;
    let expanded = if options.expanded { Expanded::On } else { Expanded::Auto };
    Ok(Printer { out, asked, screen, expanded })
}

fn settings(options: &Options) -> Map<String, Value> {
    let mut settings = Map::new();
    if let Some(route) = &options.route {
        settings.insert("route".to_owned(), Value::from(route.as_str()));
    }
    if let Some(pool) = &options.pool {
        settings.insert("pool".to_owned(), Value::from(pool.as_str()));
    }
    if let Some(partitions) = options.target_partitions {
        settings.insert("target_partitions".to_owned(), Value::from(partitions));
    }
    settings
}
