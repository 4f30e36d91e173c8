//! Bad days that no other part tests: credentials that expire while a query runs, and a region without a price.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dunlin_cli::fleet::{Fleet, Process, start_gateway, start_listening};
use dunlin_cli::tpch;
use dunlin_exact::engines::ENGINE;
use dunlin_sim::far::{Proxy, Seen};
use dunlin_sim::role::{Role, Session};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::until;
use crate::common::reference::Reference;
use crate::common::session::assume;
use crate::common::{S3, Setup, binary, data, unique};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(90);
/// A query with some dozens of tasks.
const QUERY: usize = 9;
/// The commit with which credentials expire: in the middle of the query.
const LAST: usize = 5;
/// A worker that cannot write is not taken for dead before the test goes on.
const LIMITS: &str = "[limits]\nlease_ms = 20000\n";
const EXPIRED: &str = "have expired (ExpiredToken): give this process new ones and start it again";

fn settings() -> Value {
    json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 })
}

/// An S3 server behind a proxy. One session is refused from the moment at which it has committed some tasks.
struct Expiring {
    s3: S3,
    state: String,
    first: Session,
    proxy: Proxy,
    over: Arc<AtomicBool>,
}

impl Expiring {
    /// `then` is called when the session expires.
    async fn start(s3: S3, then: impl Fn() + Send + Sync + 'static) -> Self {
        let first = assume(&s3, None);
        let over = Arc::<AtomicBool>::default();
        let (key, commits) = (first.key.clone(), AtomicUsize::new(0));
        let expired = Arc::clone(&over);
        let is_expired = move |seen: &Seen| {
            let is_commit = seen.method == "PUT" && seen.key.contains("/c/");
            if is_commit && commits.fetch_add(1, Ordering::SeqCst) + 1 == LAST {
                then();
                expired.store(true, Ordering::SeqCst);
            }
            expired.load(Ordering::SeqCst) && seen.access_key == key
        };
        let proxy = Proxy::expiring(&s3.endpoint, &s3.bucket, is_expired).await.unwrap();
        Self { s3, state: unique("expiring"), first, proxy, over }
    }

    /// A configuration with fixed credentials, or without.
    fn config(&self, session: Option<&Session>) -> String {
        let keys = session.map(|Session { key, secret, token }| {
            format!("s3_key = \"{key}\"\ns3_secret = \"{secret}\"\ns3_session_token = \"{token}\"")
        });
        format!(
            "[state]\nlocation = \"s3://{}/{}\"\n[state.params]\ns3_endpoint = \"{}\"\nallow_http = true\nhedge = false\n{}\n{ENGINE}{LIMITS}\n{}",
            self.s3.bucket,
            self.state,
            self.proxy.endpoint(),
            keys.unwrap_or_default(),
            tpch::tables_toml(&format!("file://{}/", data(SCALE).display())),
        )
    }

    /// Requests that this session has signed and that were refused, or not.
    fn count(&self, session: &Session, refused: bool) -> usize {
        let seen = self.proxy.seen();
        seen.iter().filter(|seen| seen.access_key == session.key && seen.refused == refused).count()
    }
}

/// The credentials of a role are asked for anew when the store refuses them, and the query goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_continues_when_the_credentials_of_a_role_are_renewed() {
    let Some(s3) = S3::from_env() else { return };
    let second = assume(&s3, None);
    let role = Role::start(second.clone()).await.unwrap();
    let (giving, newer) = (role.clone(), second.clone());
    let site = Expiring::start(s3, move || giving.give(newer.clone())).await;
    role.give(site.first.clone());
    let setup = Setup::with(|_| site.config(None));
    let token = setup.path().join("token");
    std::fs::write(&token, "any").unwrap();
    let given = role.environment(&token);
    let (program, config) = (binary().display().to_string(), setup.config.display().to_string());
    // Keys of this machine would win.
    let part = |name: &'static str| {
        let mut start = vec!["-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY"];
        start.extend([&*given[0], &*given[1], &program, name, "--config", &config]);
        start
    };
    let log = setup.path().join("gateway.log");
    let gateway = part("gateway");
    let (_gateway, address) = start_listening(Path::new("env"), &gateway, &log).unwrap();
    let worker = [&part("worker")[..], &["--slots", "2"]].concat();
    let _worker =
        Process::start(Path::new("env"), &worker, &setup.path().join("worker.log")).unwrap();

    let api = Api::new(&format!("http://{address}"));
    let query = api.begin(&tpch::query(QUERY).unwrap(), &settings()).await;
    let answer = api.results(&query, PATIENCE).await;
    Reference::over(&data(SCALE)).check_tpch("renewed", QUERY, &answer.batches);
    assert!(site.count(&site.first, true) > 0, "nothing was refused");
    assert!(site.count(&second, false) > 20, "the newer credentials were hardly used");
    assert_eq!(site.count(&second, true), 0);
    assert!(role.asked() >= 4, "gateway and worker ask at their start, and again");
    let tasks = answer.summary["tasks"].as_u64();
    assert_eq!(answer.summary["attempts"].as_u64(), tasks, "no attempt was lost");
}

/// Fixed credentials cannot be renewed: everybody says so, and the query goes on when there are new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fixed_credentials_that_expire_are_told_and_the_query_waits_for_new_ones() {
    let Some(s3) = S3::from_env() else { return };
    let site = Expiring::start(s3, || {}).await;
    let setup = Setup::with(|_| site.config(Some(&site.first)));
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 2).unwrap();
    let api = Api::new(&fleet.url());
    let query = api.begin(&tpch::query(QUERY).unwrap(), &settings()).await;
    until("expired credentials", PATIENCE, || site.over.load(Ordering::SeqCst).then_some(())).await;
    let of_bucket = format!("the credentials for s3://{} {EXPIRED}", site.s3.bucket);

    let body = json!({ "sql": tpch::query(6).unwrap(), "settings": settings() });
    let (status, refused) = api.raw("/v1/sql", &body).await;
    assert_eq!((status, refused["code"].as_str()), (503, Some("STORE_UNAVAILABLE")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains(&of_bucket), "{refused}");
    assert_eq!(refused["retryable"], true, "{refused}");
    let ready = reqwest::get(format!("{}/v1/ready", fleet.url())).await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains(&of_bucket));
    let log = setup.path().join("worker-0.log");
    until("the worker's word", PATIENCE, || {
        std::fs::read_to_string(&log).unwrap().contains(&of_bucket).then_some(())
    })
    .await;
    // A process that starts with them ends, and says why.
    let late = start_gateway(binary(), &setup.config, &setup.path().join("late.log"));
    let late = format!("{:#}", late.unwrap_err());
    assert!(late.contains(&of_bucket), "{late}");
    drop(fleet);

    std::fs::write(&setup.config, site.config(Some(&assume(&site.s3, None)))).unwrap();
    let folder = setup.path().join("again");
    std::fs::create_dir(&folder).unwrap();
    let again = Fleet::start(binary(), &setup.config, &folder, 1, 2).unwrap();
    let answer = Api::new(&again.url()).results(&query, PATIENCE).await;
    Reference::over(&data(SCALE)).check_tpch("new credentials", QUERY, &answer.batches);
}

/// A region that the price file lacks costs no answer. What a user sees instead of dollars says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_region_without_a_price_queries_run_and_say_why_there_are_no_dollars() {
    const WHY: &str = "no price for region \"mars-1\"; see [prices] file";
    let priced =
        |more: &str| Setup::folder(&data(SCALE), &format!("[prices]\nregion = \"mars-1\"\n{more}"));
    let setup = priced("");
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 2).unwrap();
    let log = std::fs::read_to_string(setup.path().join("gateway.log")).unwrap();
    assert!(log.contains(&format!("queries show no dollars: {WHY}")), "{log}");
    let api = Api::new(&fleet.url());
    let sql = tpch::query(6).unwrap();
    let explained = api.explain(&sql, &settings()).await;
    let estimate = &explained["estimate"];
    assert_eq!((&estimate["cost_usd"], estimate["price"].as_str()), (&Value::Null, Some(WHY)));
    let answer = api.sql(&sql, &settings()).await;
    Reference::over(&data(SCALE)).check_tpch("without a price", 6, &answer.batches);
    let summary = &answer.summary;
    assert_eq!((&summary["cost_usd"], summary["price"].as_str()), (&Value::Null, Some(WHY)));
    let receipt = &api.status(&answer.query, "0s").await["receipt"];
    assert_eq!((&receipt["cost_usd"], receipt["price"].as_str()), (&Value::Null, Some(WHY)));
    // A limit in dollars cannot be kept, and is not ignored.
    let body = json!({ "sql": sql, "settings": settings(), "limits": { "max_cost_usd": 1.0 } });
    let (status, refused) = api.raw("/v1/sql", &body).await;
    assert_eq!((status, refused["code"].as_str()), (400, Some("INVALID_REQUEST")), "{refused}");
    let said = format!("limits.max_cost_usd cannot be kept: {WHY}");
    assert_eq!(refused["detail"].as_str(), Some(said.as_str()));
    let limited = priced("[limits]\nmax_cost_usd = 1.0\n");
    let ended = start_gateway(binary(), &limited.config, &limited.path().join("gateway.log"));
    let ended = format!("{:#}", ended.unwrap_err());
    assert!(ended.contains(&format!("[limits] max_cost_usd cannot be kept: {WHY}")), "{ended}");
    // With a file of one's own there are dollars.
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/prices/aws.json");
    let built_in = std::fs::read_to_string(built_in).unwrap();
    let own = setup.path().join("prices.json");
    std::fs::write(&own, built_in.replace("\"us-east-1\"", "\"mars-1\"")).unwrap();
    let owned = priced(&format!("file = \"{}\"\n", own.display()));
    let fleet = Fleet::start(binary(), &owned.config, owned.path(), 1, 2).unwrap();
    let answer = Api::new(&fleet.url()).sql(&sql, &settings()).await;
    assert!(answer.summary["cost_usd"]["total"].as_f64() > Some(0.0), "{}", answer.summary);
}
