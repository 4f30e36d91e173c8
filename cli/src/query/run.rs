//! Runs `dunlin query`.

use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime::Builder;

use super::find::{id, page};
use super::options::{Command, Gateway, Output};
use super::{profile, text};
use crate::failure::Failure;
use crate::link::Link;
use crate::print::{Expanded, Format, Out, Printer, Screen};
use crate::session::{Home, Interrupts, Options, Session};
use crate::sql::DEFAULT_URL;

/// Runs a command, says what went wrong, and gives the exit code.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    // It has runtimes of its own, and asks no gateway.
    if let Command::Profile(options) = command {
        return match profile::run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Failure::from(error).tell(),
        };
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let outcome = runtime.context("the system gives no threads").map_err(Failure::from);
    match outcome.and_then(|runtime| runtime.block_on(try_run(command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

async fn try_run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List { limit, at, as_ } => {
            let mut session = session(at, as_)?;
            let list = page(&session.link, usize::from(*limit), None).await?;
            let batch = text::list(&list.queries)?;
            let mut showing = session.printer.begin(&batch.schema())?;
            showing.batch(&batch)?;
            showing.end()?;
            if session.footers && list.next.is_some() {
                eprintln!("there are more: --limit");
            }
            Ok(session.printer.out.close()?)
        }
        Command::Status { of, json, at } => {
            let link = link(at)?;
            let query = id(&link, &of.id).await?;
            if *json {
                println!("{}", link.status_json(&query, "0s").await?);
            } else {
                print!("{}", text::status(&link.status(&query, "0s").await?));
            }
            Ok(())
        }
        Command::Cancel { of, at } => {
            let link = link(at)?;
            let query = id(&link, &of.id).await?;
            print!("{}", text::status(&link.cancel(&query).await?));
            Ok(())
        }
        Command::Results { of, at, as_ } => {
            let mut session = session(at, as_)?;
            let query = id(&session.link, &of.id).await?;
            session.results(&query).await?;
            Ok(session.printer.out.close()?)
        }
        Command::Attach { of, at, as_ } => {
            let mut session = session(at, as_)?;
            let query = id(&session.link, &of.id).await?;
            session.attach(&query).await?;
            Ok(session.printer.out.close()?)
        }
        Command::Profile(_) => Ok(()),
        Command::Analyze { of, verbose, at, as_ } => {
            let mut session = session(at, as_)?;
            let query = id(&session.link, &of.id).await?;
            session.footers = false;
            session.analysis(&query, *verbose).await?;
            Ok(session.printer.out.close()?)
        }
    }
}

fn link(at: &Gateway) -> Result<Link, Failure> {
    let url = at.url();
    Ok(Link::new(at.credentials.client(&url)?, &url, &url))
}

fn session(at: &Gateway, output: &Output) -> Result<Session, Failure> {
    let Output { format, output, expanded, quiet, no_pager } = output;
    let asked = format.or(output.as_deref().and_then(Format::of_file));
    let out = output.as_deref().map_or_else(|| Ok(Out::stdout()), Out::file)?;
    let expanded = if *expanded { Expanded::On } else { Expanded::Auto };
    let printer = Printer { out, asked, screen: Screen::detect(!no_pager), expanded };
    let url = at.url();
    let usual = url.trim_end_matches('/') == DEFAULT_URL;
    let home = Home::Gateway { url: (!usual).then_some(url) };
    let options = Options { quiet: *quiet, ..Options::default() };
    Ok(Session::new(link(at)?, printer, options, home, Interrupts::new()?))
}
