//! Runs statements: sends, follows, prints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::footer::footer;
use super::home::Home;
use super::interrupts::Interrupts;
use super::meter::{Meter, TICK};
use crate::failure::Failure;
use crate::link::{About, Link, Position, Problem, Reply, Request, Rows, Status, Taken};
use crate::print::Printer;
use crate::script::Statement;

/// Time in which a second Ctrl+C cancels the query.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a gateway that has taken a query may be away. Any other gateway over the same state answers, too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(500);

/// What is sent with every statement, and what is said beside the answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Values of `$1`, `$2`, …
    pub(crate) parameters: Vec<Value>,
    /// Settings of the queries.
    pub(crate) settings: Map<String, Value>,
    /// Say nothing but answers and errors.
    pub(crate) quiet: bool,
}

/// One person's talk with one gateway.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Link,
    pub(crate) printer: Printer,
    pub(crate) options: Options,
    /// Whether the line after an answer is printed.
    pub(crate) footers: bool,
    pub(crate) home: Home,
    interrupts: Interrupts,
}

impl Session {
    pub(crate) fn new(
        link: Link,
        printer: Printer,
        options: Options,
        home: Home,
        interrupts: Interrupts,
    ) -> Self {
        let footers = !options.quiet;
        Self { link, printer, options, footers, home, interrupts }
    }

    /// Forgets a Ctrl+C that came before what is to be done.
    pub(crate) async fn fresh(&mut self) {
        self.interrupts.forget().await;
    }

    /// Runs a statement and prints its answer. `file` is where it is from.
    pub(crate) async fn run(
        &mut self,
        statement: &Statement,
        file: Option<&str>,
    ) -> Result<(), Failure> {
        let outcome = self.answer(statement).await;
        outcome.map_err(|failure| match failure {
            Failure::Problem(problem) => {
                let start = Position { line: statement.line, column: statement.column };
                let file = file.map(str::to_owned);
                problem.about(About { text: statement.text.clone(), start, file }).into()
            }
            other => other,
        })
    }

    async fn answer(&mut self, statement: &Statement) -> Result<(), Failure> {
        let mut meter = self.meter();
        let Options { parameters, settings, .. } = self.options.clone();
        let request = Request { sql: statement.text.clone(), parameters, settings };
        let reply = match self.send(&request, &mut meter).await? {
            Taken::Rows(reply) => reply,
            Taken::Stored(status) => {
                let query = status.query_id.clone();
                self.follow(status, &mut meter).await?;
                match statement.analysis() {
                    Some(verbose) => self.link.analysis(&query, verbose).await?,
                    None => self.link.results(&query).await?,
                }
            }
        };
        self.show(reply, meter).await
    }

    /// Waits for the end of a query and prints its answer.
    pub(crate) async fn attach(&mut self, query: &str) -> Result<(), Failure> {
        let mut meter = self.meter();
        let status = self.link.status(query, "0s").await?;
        self.follow(status, &mut meter).await?;
        let reply = self.link.results(query).await?;
        self.show(reply, meter).await
    }

    /// Prints the answer of a query that has ended.
    pub(crate) async fn results(&mut self, query: &str) -> Result<(), Failure> {
        let meter = self.meter();
        let reply = self.link.results(query).await?;
        self.show(reply, meter).await
    }

    /// Prints what a query took.
    pub(crate) async fn analysis(&mut self, query: &str, verbose: bool) -> Result<(), Failure> {
        let meter = self.meter();
        let reply = self.link.analysis(query, verbose).await?;
        self.show(reply, meter).await
    }

    /// The columns of a statement's answer. The rows are not read.
    pub(crate) async fn schema(&mut self, sql: &str) -> Result<SchemaRef, Failure> {
        let request = Request::of_names(sql);
        let mut meter = self.meter();
        match self.send(&request, &mut meter).await? {
            Taken::Rows(reply) => Ok(Arc::clone(reply.rows.schema())),
            Taken::Stored(status) => {
                let query = status.query_id.clone();
                self.follow(status, &mut meter).await?;
                Ok(Arc::clone(self.link.results(&query).await?.rows.schema()))
            }
        }
    }

    fn meter(&self) -> Meter {
        Meter::start(!self.options.quiet, self.printer.screen.columns)
    }

    async fn send(&mut self, request: &Request, meter: &mut Meter) -> Result<Taken, Failure> {
        let sending = self.link.send(request);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                taken = &mut sending => return taken,
                // Without an id nothing is stored: the query ends with its connection.
                () = self.interrupts.next() => {
                    meter.clear();
                    eprintln!("cancelled");
                    return Err(Failure::Interrupted);
                }
                () = sleep(TICK), if meter.is_on() => meter.draw(),
            }
        }
    }

    /// Waits until a query has succeeded.
    async fn follow(&mut self, status: Status, meter: &mut Meter) -> Result<(), Failure> {
        let query = status.query_id.clone();
        let wait = if meter.is_on() { "500ms" } else { "20s" };
        let mut status = status;
        let mut answered = Instant::now();
        while !status.has_ended() {
            let asked = tokio::select! {
                asked = self.link.status(&query, wait) => asked,
                () = self.interrupts.next() => return Err(self.leave(&query, meter).await),
            };
            match asked {
                Ok(now) => {
                    answered = Instant::now();
                    meter.status(&now);
                    status = now;
                }
                Err(failure) if failure.is_passing() && answered.elapsed() < PATIENCE => {
                    meter.note("the gateway does not answer; trying again");
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = self.interrupts.next() => return Err(self.leave(&query, meter).await),
                    }
                }
                Err(failure) => {
                    meter.clear();
                    self.say_way_back(&query);
                    return Err(failure);
                }
            }
        }
        match status.status.as_str() {
            "SUCCEEDED" => Ok(()),
            _ => Err(ended(status).into()),
        }
    }

    /// Stops waiting for a query, at Ctrl+C. A second one cancels it.
    async fn leave(&mut self, query: &str, meter: &mut Meter) -> Failure {
        meter.clear();
        if self.home != Home::Command {
            eprintln!("stopped waiting");
            self.say_way_back(query);
            eprintln!("  cancel:     Ctrl+C again within {} s", AGAIN.as_secs());
            tokio::select! {
                () = self.interrupts.next() => {}
                () = sleep(AGAIN) => return Failure::Interrupted,
            }
        }
        match self.link.cancel(query).await {
            Ok(status) if status.status == "CANCELLED" => eprintln!("cancelled query {query}"),
            Ok(status) => eprintln!("query {query} had already ended: {}", status.status),
            Err(failure) => eprintln!("query {query} could not be cancelled: {failure}"),
        }
        Failure::Interrupted
    }

    fn say_way_back(&self, query: &str) {
        if let Some(way) = self.home.way_back("attach", query) {
            eprintln!("query {query} goes on\n  come back:  {way}");
        }
    }

    /// Prints an answer as it arrives, and the line after it.
    async fn show(&mut self, reply: Reply, mut meter: Meter) -> Result<(), Failure> {
        let Reply { query, summary, rows } = reply;
        let is_stored = summary.tasks > 0;
        let printed = self.print(rows, &mut meter).await;
        meter.clear();
        let took = meter.elapsed();
        let count = match printed {
            Ok(count) => count,
            // The pager was left before the end.
            Err(Failure::Closed) if self.printer.out.leave_pager() => return Ok(()),
            Err(failure) => {
                self.printer.out.leave_pager();
                if matches!(failure, Failure::Interrupted) {
                    eprintln!("stopped printing");
                    if let Some(way) = self.home.way_back("results", &query).filter(|_| is_stored) {
                        eprintln!("  print again: {way}");
                    }
                }
                return Err(failure);
            }
        };
        if self.footers {
            eprintln!("{}", footer(count, took, &summary, &query));
        }
        Ok(())
    }

    /// Prints rows as they arrive, and counts them.
    async fn print(&mut self, mut rows: Rows, meter: &mut Meter) -> Result<u64, Failure> {
        // Where the rows are shown, they tell how far it is.
        let counts = meter.is_on() && !self.printer.is_shown();
        if !counts {
            meter.clear();
        }
        let mut showing = self.printer.begin(rows.schema())?;
        loop {
            tokio::select! {
                batch = rows.next() => match batch? {
                    Some(batch) => showing.batch(&batch)?,
                    None => return showing.end(),
                },
                () = self.interrupts.next() => return Err(Failure::Interrupted),
                () = sleep(TICK), if counts => meter.received(showing.rows, rows.received()),
            }
        }
    }
}

/// The problem of a query that has ended without an answer.
fn ended(status: Status) -> Problem {
    let query_id = Some(status.query_id);
    match status.error {
        Some(cause) => Problem {
            code: cause.code,
            detail: cause.message,
            retryable: cause.retryable,
            query_id,
            ..Problem::default()
        },
        None => Problem {
            code: status.status,
            detail: "the query was cancelled".to_owned(),
            query_id,
            ..Problem::default()
        },
    }
}
