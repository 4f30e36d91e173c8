//! Every route: its method, its path, who answers it, and what the description of the API says of it.

use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};

use super::events::events;
use super::face::Face;
use super::format::Format;
use super::openapi::{Described, Operation};
use super::{pages, queries, site, statements, wake};
use crate::query::history::MOST;
use crate::query::status::Status;

/// A route.
pub(super) struct Endpoint {
    path: &'static str,
    method: &'static str,
    pub(super) handler: MethodRouter<Face>,
    /// It passes no guard: it says nothing that is not for everybody, and must be answered even when nothing else is.
    is_open: bool,
    operation: Operation,
}

impl Endpoint {
    fn open(self) -> Self {
        Self { is_open: true, ..self }
    }
}

impl Described for Endpoint {
    fn path(&self) -> &'static str {
        self.path
    }

    fn method(&self) -> &'static str {
        self.method
    }

    fn operation(&self) -> &Operation {
        &self.operation
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}

fn getting<T: 'static>(
    path: &'static str,
    handler: impl Handler<T, Face>,
    operation: Operation,
) -> Endpoint {
    Endpoint { path, method: "get", handler: get(handler), is_open: false, operation }
}

fn posting<T: 'static>(
    path: &'static str,
    handler: impl Handler<T, Face>,
    operation: Operation,
) -> Endpoint {
    Endpoint { path, method: "post", handler: post(handler), is_open: false, operation }
}

/// Every route.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = statements();
    all.extend(queries_by_id());
    all.extend(answers());
    all.extend(accounts());
    all.extend(gateway());
    all.extend(workers());
    all.extend(pages());
    all
}

fn wait() -> Value {
    json!({ "type": "string", "examples": ["0s", "100ms"] })
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn statements() -> Vec<Endpoint> {
    const S: &str = "Statements";
    vec![
        posting(
            "/v1/sql",
            statements::sql,
            Operation::new(
                "runStatement",
                S,
                "Run a statement and get its rows",
                "Waits 30 s, or as `Prefer: wait=N` or the body says. When the wait is over, a query that is written to the store continues, and the answer is 202. With `dry_run` the answer is that of `/v1/explain`.",
            )
            .starts_a_query()
            .statement()
            .answers_rows_or("SqlAnswer")
            .answers(202, "The query goes on; come back for it.", "QueryStatus"),
        ),
        posting(
            "/v1/queries",
            statements::submit,
            Operation::new(
                "submitQuery",
                S,
                "Submit a query and get its status",
                "The query is written to the store. Waits 10 s for its end, or as the body or `Prefer: wait=N` says.",
            )
            .starts_a_query()
            .statement()
            .answers(200, "The query has ended, or with `dry_run` was planned only.", "SubmitAnswer")
            .answers(202, "The query goes on; come back for it.", "QueryStatus"),
        ),
        posting(
            "/v1/explain",
            statements::explain,
            Operation::new(
                "explainStatement",
                S,
                "Plan a statement",
                "How the statement would run, and what it is expected to use and to cost. Nothing is run.",
            )
            .statement()
            .answers(200, "The plan and the estimate.", "Estimate"),
        ),
    ]
}

fn queries_by_id() -> Vec<Endpoint> {
    const Q: &str = "Queries";
    let words = Status::ALL.map(Status::as_str);
    vec![
        getting(
            "/v1/queries",
            queries::list,
            Operation::new(
                "listQueries",
                Q,
                "List the newest queries",
                "Newest first. A page may have fewer queries than `limit`, even none, and still have a `next`.",
            )
            .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": MOST }), "Queries on the page.")
            .query("cursor", json!({ "type": "string", "format": "uuid" }), "`next` of the page before.")
            .query("status", json!({ "enum": words }), "Only queries of this status.")
            .query("tag", json!({ "type": "string" }), "Only queries with this tag: `name` or `name:value`.")
            .answers(200, "A page.", "Page"),
        ),
        getting(
            "/v1/queries/{id}",
            queries::status,
            Operation::new(
                "getQuery",
                Q,
                "Get the status of a query",
                "At once, or when the query has ended or the wait is over. With `If-None-Match` it waits for any other state than the client knows.",
            )
            .query("wait", wait(), "How long to wait.")
            .header("If-None-Match", json!({ "type": "string" }), "`ETag` of the status that the client knows.")
            .answers(200, "The status.", "QueryStatus")
            .answers_other(304, "The client knows this state.", None),
        ),
        getting(
            "/v1/queries/{id}/events",
            events,
            Operation::new(
                "followQuery",
                Q,
                "Follow a query by server-sent events",
                "Events `state`, `progress`, `stage` and at last `end`, each with an id with which any gateway goes on (`Last-Event-ID`).",
            )
            .header("Last-Event-ID", json!({ "type": "string" }), "Id of the last event that the client has seen.")
            .answers_events("Events until the query has ended.")
            .answers_other(204, "The client was told the end.", None),
        ),
        posting(
            "/v1/queries/{id}/cancel",
            queries::cancel,
            Operation::new(
                "cancelQuery",
                Q,
                "Cancel a query",
                "Ends the query CANCELLED unless it has already ended; answers its status.",
            )
            .answers(200, "The status.", "QueryStatus"),
        ),
    ]
}

fn answers() -> Vec<Endpoint> {
    const Q: &str = "Queries";
    let formats = Format::ALL.map(Format::word);
    vec![
        getting(
            "/v1/queries/{id}/results",
            queries::results,
            Operation::new(
                "getResults",
                Q,
                "Get the rows of a query",
                "Any number of times, from any gateway, until they expire. Parts may be fetched beside one another.",
            )
            .query("part", whole(), "Only this part, from 0. `Dunlin-Parts` says how many there are.")
            .query("row_limit", whole(), "Rows, at most.")
            .query("byte_limit", whole(), "Bytes of the rows in memory, at most.")
            .query("format", json!({ "enum": formats }), "The format, instead of `Accept`.")
            .answers_rows(),
        ),
        getting(
            "/v1/queries/{id}/parts",
            queries::parts,
            Operation::new(
                "listParts",
                Q,
                "List the parts of an answer",
                "Their rows, one part after the other, are the answer. Every gateway cuts it in the same way.",
            )
            .answers(200, "The parts.", "Parts"),
        ),
        getting(
            "/v1/queries/{id}/links",
            queries::links,
            Operation::new(
                "getLinks",
                Q,
                "Get presigned links to the rows",
                "Whoever has a link reads the object without a key. Only a state in a bucket has links.",
            )
            .query("expires", json!({ "type": "string", "examples": ["15m"] }), "For how long they work: 1 s to 1 h.")
            .answers(200, "The links.", "Links"),
        ),
    ]
}

fn accounts() -> Vec<Endpoint> {
    const Q: &str = "Queries";
    vec![
        getting(
            "/v1/queries/{id}/plan",
            queries::plan,
            Operation::new(
                "getPlan",
                Q,
                "Get the plan of a query",
                "Statement, columns, stages and settings as the query was planned. `Accept: text/plain` gives the stages as EXPLAIN shows them.",
            )
            .answers_text_too("The plan.", "Plan"),
        ),
        getting(
            "/v1/queries/{id}/stages",
            queries::stages,
            Operation::new(
                "listStages",
                Q,
                "List the stages of a query",
                "How far each stage is, and what the sealed ones have done.",
            )
            .answers(200, "The stages.", "Stages"),
        ),
        getting(
            "/v1/queries/{id}/profile",
            queries::profile,
            Operation::new(
                "getProfile",
                Q,
                "Get what a query did, task by task",
                "The status, every stage with its tasks, the longest chain of stages, and what it cost.",
            )
            .answers(200, "The profile.", "Profile"),
        ),
        getting(
            "/v1/queries/{id}/analyze",
            queries::analyze,
            Operation::new(
                "analyzeQuery",
                Q,
                "Get what a query did, for people",
                "The rows of EXPLAIN ANALYZE, or with `Accept: text/plain` the same as one text.",
            )
            .query("verbose", json!({ "enum": ["true", "false"] }), "Also a line for each task.")
            .answers_rows(),
        ),
    ]
}

fn gateway() -> Vec<Endpoint> {
    const G: &str = "Gateway";
    vec![
        getting(
            "/v1/tables",
            site::tables,
            Operation::new(
                "listTables",
                "Tables",
                "List the tables",
                "Those of the configuration; none of them is read.",
            )
            .answers(200, "The tables.", "Tables"),
        ),
        getting(
            "/v1/tables/{name}",
            site::table,
            Operation::new(
                "getTable",
                "Tables",
                "Get the columns of a table",
                "Reads the listing and the footers that a query over the table would read.",
            )
            .answers(200, "The columns, and what is known of the rows.", "Table"),
        ),
        getting(
            "/v1/status",
            site::status,
            Operation::new(
                "getStatus",
                G,
                "Get what the gateway is and allows",
                "Version, build, time since its start, limits, and what it has to do now.",
            )
            .answers(200, "The gateway.", "Gateway"),
        ),
        getting(
            "/health",
            site::health,
            Operation::new(
                "getHealth",
                G,
                "Is the process there?",
                "It is, if there is an answer.",
            )
            .answers(200, "It is.", "Word"),
        )
        .open(),
        getting(
            "/v1/ready",
            site::ready,
            Operation::new(
                "getReady",
                G,
                "Can the gateway take queries?",
                "The store answers, and the gateway is not stopping; else 503.",
            )
            .answers(200, "It can.", "Word"),
        )
        .open(),
    ]
}

fn workers() -> Vec<Endpoint> {
    vec![
        getting(
            "/v1/fleet",
            site::fleet,
            Operation::new(
                "getFleet",
                "Gateway",
                "Get the gateways and workers that are known",
                "Gateways that have written their addresses into the store, the newest first, some at most; and workers that wait for news at this gateway.",
            )
            .answers(200, "The fleet.", "Fleet"),
        ),
        getting(
            "/v1/wake",
            wake::listen,
            Operation::new(
                "hearNews",
                "Workers",
                "Wait for news of work",
                "Returns when there is news after number `after`, or when the wait is over.",
            )
            .query("after", whole(), "The number of the last news that is known.")
            .query("wait", wait(), "How long to wait, at most 30 s.")
            .query(
                "worker",
                json!({ "type": "string", "maxLength": 64 }),
                "The name of the worker, which gets a place.",
            )
            .answers(200, "The news.", "Heard"),
        ),
        posting(
            "/v1/wake",
            wake::tell,
            Operation::new(
                "tellNews",
                "Workers",
                "Tell news of work",
                "Everybody who waits hears it.",
            )
            .json_body("The news, at most 64.", "News")
            .answers_other(204, "Told.", None),
        ),
    ]
}

fn pages() -> Vec<Endpoint> {
    const G: &str = "Gateway";
    vec![
        getting(
            "/openapi.json",
            pages::openapi,
            Operation::new(
                "getOpenApi",
                G,
                "Get this description",
                "OpenAPI 3.1, made from the gateway's own list of routes.",
            )
            .answers(200, "The description.", "Document"),
        )
        .open(),
        getting(
            "/docs",
            pages::docs,
            Operation::new(
                "getDocs",
                G,
                "Read this description",
                "A page that loads nothing from elsewhere.",
            )
            .answers_other(200, "The page.", Some("text/html")),
        )
        .open(),
        getting(
            "/errors/{code}",
            pages::error,
            Operation::new(
                "getError",
                G,
                "What does an error code mean?",
                "What it means, and what to do. The `type` of every problem leads here.",
            )
            .answers_other(200, "The page.", Some("text/plain")),
        )
        .open(),
    ]
}
