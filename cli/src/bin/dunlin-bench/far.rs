//! The same fleet with its state on a store that is far away: an S3 server on this machine, behind a proxy that answers
//! as late as Amazon S3. It shows what a folder hides: how many requests wait for one another.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use dunlin_cli::client::Client;
use dunlin_cli::fleet::Fleet;
use dunlin_sim::far::{Latency, Profile, Proxy, Seen, longest_chain, spans};
use serde::Serialize;
use serde_json::Value;

use crate::suite::Suite;
use crate::{Options, median};

/// Dollars for a thousand requests of Amazon S3 Standard.
const PUT_OR_LIST: f64 = 0.005;
const GET: f64 = 0.0004;

/// The measurement of one statement on the far store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Far {
    pub(crate) name: String,
    /// From the request to the last row.
    pub(crate) seconds: f64,
    pub(crate) rows: u64,
    /// Requests that waited for one another.
    pub(crate) steps: usize,
    /// The same by what they were for.
    pub(crate) steps_by_kind: BTreeMap<String, usize>,
    pub(crate) put: usize,
    pub(crate) get: usize,
    pub(crate) list: usize,
    pub(crate) dollars: f64,
    /// Requests of the workers that were sent a second time.
    pub(crate) hedged: u64,
    /// How the slots spent their time, in milliseconds, by cause.
    pub(crate) slots_ms: BTreeMap<String, u64>,
}

/// What a slot does, in the words of the API.
const CAUSES: [&str; 5] = ["compute", "wait", "claim", "commit", "idle"];

/// An S3 server, as `scripts/minio` tells.
struct Server {
    endpoint: String,
    key: String,
    secret: String,
    bucket: String,
}

impl Server {
    fn from_env() -> Result<Self> {
        let setting = |name: &str| {
            let name = format!("DUNLIN_TEST_S3_{name}");
            std::env::var(&name)
                .with_context(|| format!("{name} is not set; run: eval \"$(scripts/minio start)\""))
        };
        Ok(Self {
            endpoint: setting("ENDPOINT")?,
            key: setting("KEY")?,
            secret: setting("SECRET")?,
            bucket: setting("BUCKET")?,
        })
    }

    fn params(&self, section: &str, endpoint: &str) -> String {
        format!(
            "[{section}.params]\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\nkey = \"{}\"\nsecret = \"{}\"\nallow_http = true\n",
            self.key, self.secret
        )
    }
}

/// A fleet with its state on a store with some profile.
pub(crate) struct Store {
    client: Client,
    proxy: Proxy,
    settings: Value,
    _fleet: Fleet,
}

impl Store {
    pub(crate) async fn start(
        options: &Options,
        profile: Profile,
        folder: &Path,
        data: &Path,
    ) -> Result<Self> {
        let server = Server::from_env()?;
        let latency = Latency::new(profile, options.seed);
        let proxy = Proxy::start(&server.endpoint, &server.bucket, latency, |_| false).await?;
        let name = format!("{profile:?}").to_lowercase();
        let state = format!("bench-{}-{}-{name}", std::process::id(), options.seed);
        let tables = options.suite.toml(data);
        let folder = folder.join(&name);
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("far.toml");
        std::fs::write(
            &config,
            format!(
                "[state]\nlocation = \"s3://{}/{state}\"\n{}\n[routing]\nmode = \"fleet\"\n\n{}\n{tables}",
                server.bucket,
                server.params("state", &proxy.endpoint()),
                options.config.replace("\\n", "\n"),
            ),
        )?;
        let binary = std::env::current_exe()?.with_file_name("dunlin");
        let fleet = Fleet::start(&binary, &config, &folder, options.workers, 1)?;
        let client = Client::new(&fleet.url());
        client.ready().await?;
        let store = Self { client, proxy, settings: options.settings("fleet"), _fleet: fleet };
        // The first statements pay for connections and footers.
        let [_, (_, warm)] = options.suite.small();
        store.run("warm", warm).await?;
        store.run("warm", warm).await?;
        Ok(store)
    }

    /// The small statements, each with the median of its runs.
    pub(crate) async fn small(&self, suite: Suite, runs: usize) -> Result<Vec<Far>> {
        let mut found = Vec::new();
        for (name, sql) in suite.small() {
            let mut all = Vec::new();
            for _ in 0..runs {
                all.push(self.run(name, sql).await?);
            }
            found.extend(median(all, |run| run.seconds));
        }
        Ok(found)
    }

    /// Runs a statement once.
    pub(crate) async fn run(&self, name: &str, sql: &str) -> Result<Far> {
        self.proxy.forget();
        let start = Instant::now();
        let answer = self.client.sql(sql, self.settings.clone()).await?;
        let seconds = start.elapsed().as_secs_f64();
        let (query, rows, seen) = (answer.query, answer.rows.len() as u64, self.proxy.seen());
        let spans = spans(&query, &seen);
        let chain = longest_chain(&spans);
        let mut steps_by_kind: BTreeMap<String, usize> = BTreeMap::new();
        for span in &chain {
            *steps_by_kind.entry(span.kind.clone()).or_default() += 1;
        }
        let count = |of: fn(&Seen) -> bool| seen.iter().filter(|seen| of(seen)).count();
        let put = count(|seen| seen.method == "PUT");
        let list = count(|seen| seen.list.is_some());
        let get = count(|seen| seen.method == "GET" && seen.list.is_none());
        let counts = (put, get, list);
        #[allow(clippy::cast_precision_loss)] // shown with five digits
        let dollars = ((put + list) as f64 * PUT_OR_LIST + get as f64 * GET) / 1000.0;
        let status = self.client.status(&query).await?;
        let summary = &status["summary"];
        let hedged = summary["requests"]["hedged"].as_u64().unwrap_or(0);
        let spent = |cause: &str| summary["slot"][cause].as_u64().unwrap_or(0) / 1000;
        let slots_ms = CAUSES.iter().map(|cause| ((*cause).to_owned(), spent(cause))).collect();
        let name = name.to_owned();
        let steps = chain.len();
        let (put, get, list) = counts;
        Ok(Far {
            name,
            seconds,
            rows,
            steps,
            steps_by_kind,
            put,
            get,
            list,
            dollars,
            hedged,
            slots_ms,
        })
    }
}

/// Prints the far store beside the folder and the single process.
pub(crate) fn print(far: &[Far], folder: &[(String, f64)], single: &[(String, f64)]) {
    println!(
        "| statement | far s | folder s | far/folder | single s | far/single | steps | PUT | GET | LIST | again | $ | slots: compute | wait | claim | commit | idle, ms | steps by kind |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let of = |all: &[(String, f64)], name: &str| {
        all.iter().find(|(known, _)| known == name).map(|(_, seconds)| *seconds)
    };
    let shown =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let mut total = (0.0, 0.0, 0.0, 0.0);
    for row in far {
        let (folder, single) = (of(folder, &row.name), of(single, &row.name));
        let slots: Vec<String> =
            CAUSES.iter().map(|cause| row.slots_ms[*cause].to_string()).collect();
        let kinds: Vec<String> =
            row.steps_by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!(
            "| {} | {:.2} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.5} | {} | {} |",
            row.name,
            row.seconds,
            shown(folder),
            shown(folder.map(|folder| row.seconds / folder)),
            shown(single),
            shown(single.map(|single| row.seconds / single)),
            row.steps,
            row.put,
            row.get,
            row.list,
            row.hedged,
            row.dollars,
            slots.join(" | "),
            kinds.join(", ")
        );
        if row.name.starts_with('Q') {
            total.0 += row.seconds;
            total.1 += folder.unwrap_or(0.0);
            total.2 += single.unwrap_or(0.0);
            total.3 += row.dollars;
        }
    }
    let spent: Vec<String> = CAUSES
        .iter()
        .map(|cause| {
            let queries = far.iter().filter(|row| row.name.starts_with('Q'));
            queries.map(|row| row.slots_ms[*cause]).sum::<u64>().to_string()
        })
        .collect();
    println!(
        "| total | {:.2} | {:.2} | {} | {:.2} | {} | | | | | | {:.5} | {} | |",
        total.0,
        total.1,
        shown((total.1 > 0.0).then(|| total.0 / total.1)),
        total.2,
        shown((total.2 > 0.0).then(|| total.0 / total.2)),
        total.3,
        spent.join(" | ")
    );
}
