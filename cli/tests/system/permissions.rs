//! The roles of `terraform/` while real queries run: gateway, workers and sweeper have the module's own policies, which the
//! S3 server enforces. What it does not evaluate (the write-once policy of the bucket) is evaluated over the recorded
//! requests. What no part may do is denied.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dunlin_cli::tpch;
use dunlin_sim::far::{Proxy, Seen};
use dunlin_sim::lambda::{Function, Lambda, Outcome, Rules};
use dunlin_sim::role::Session;
use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::policy::{Asked, Policy, Says, asked};
use crate::common::reference::Reference;
use crate::common::session::assume;
use crate::common::{S3, Setup, binary, data, unique};
use crate::functions::{gateway, quiet};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(60);

/// Credentials that may do what a policy allows, and nothing else.
#[derive(Clone, Debug)]
struct Role(Session);

impl Role {
    fn assume(s3: &S3, policy: &Policy) -> Self {
        Self(assume(s3, Some(&policy.of_s3())))
    }

    fn params(&self, section: &str, endpoint: &str) -> String {
        format!(
            "[{section}]\ns3_endpoint = \"{endpoint}\"\ns3_key = \"{}\"\ns3_secret = \"{}\"\ns3_session_token = \"{}\"\nallow_http = true\nhedge = false\n",
            self.0.key, self.0.secret, self.0.token
        )
    }

    fn store(&self, s3: &S3) -> impl ObjectStore {
        AmazonS3Builder::new()
            .with_endpoint(&s3.endpoint)
            .with_bucket_name(&s3.bucket)
            .with_access_key_id(&self.0.key)
            .with_secret_access_key(&self.0.secret)
            .with_token(&self.0.token)
            .with_region("us-east-1")
            .with_allow_http(true)
            .build()
            .unwrap()
    }
}

/// The values of the module's policies for this bucket.
fn values(bucket: &str, state: &str, tables: &str) -> BTreeMap<&'static str, Value> {
    let arn = format!("arn:aws:s3:::{bucket}");
    BTreeMap::from([
        ("state_bucket_arn", json!(arn)),
        ("state_prefix", json!(state)),
        ("data_bucket_arns", json!([arn])),
        ("data_object_arns", json!([format!("{arn}/{tables}/*")])),
        ("data_prefixes", json!([format!("{tables}/*")])),
        ("write_bucket_arns", json!([arn])),
        ("write_object_arns", json!([format!("{arn}/{tables}/made/*")])),
        ("write_commit_arns", json!([format!("{arn}/{tables}/made/*_dunlin/*.json")])),
        ("write_file_arns", json!([format!("{arn}/{tables}/made/*dunlin-*")])),
        ("write_kms_key_arns", json!([])),
        ("state_kms_key_arns", json!([])),
        ("data_kms_key_arns", json!([])),
        ("worker_function_arns", json!(["arn:aws:lambda:us-east-1:1:function:worker"])),
        ("account_resources", json!(["*"])),
        ("log_group_arns", json!([])),
    ])
}

/// One part of an installation: its role, its policy, and the proxy that sees its requests.
struct Part {
    role: Role,
    policy: Policy,
    proxy: Proxy,
}

impl Part {
    fn config(&self, bucket: &str, state: &str, tables: &str) -> String {
        let params = |section: &str| self.role.params(section, &self.proxy.endpoint());
        let mut text = format!(
            "[state]\nlocation = \"s3://{bucket}/{state}\"\n{}\n[functions]\nregion = \"us-east-1\"\n[[functions.class]]\nmemory_mb = 1769\nnames = [\"worker\"]\n",
            params("state.params"),
        );
        text += &format!(
            "[[writing]]\nlocation = \"s3://{bucket}/{tables}/made/\"\ntables = true\n{}\n",
            params("writing.params"),
        );
        for table in tpch::TABLES {
            text += &format!(
                "[[tables]]\nname = \"{table}\"\nlocation = \"s3://{bucket}/{tables}/{table}/\"\n{}\n",
                params("tables.params"),
            );
        }
        text
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_may_do_what_it_needs_and_nothing_else() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let (state, tables) = (unique("roles"), unique("roles-tables"));
    s3.upload(&data, &tables).await;
    let values = values(&s3.bucket, &state, &tables);
    let mut parts = BTreeMap::new();
    for name in ["gateway", "worker", "sweeper"] {
        let policy = Policy::render(name, &values);
        let role = Role::assume(&s3, &policy);
        let proxy = Proxy::near(&s3.endpoint, &s3.bucket, |_| false).await.unwrap();
        parts.insert(name, Part { role, policy, proxy });
    }
    run_queries(&s3, &parts, &data, &state, &tables).await;
    let bucket = Policy::render("state_bucket", &values);
    let (mut puts, mut requests) = (0, 0);
    for (name, part) in &parts {
        let seen = part.proxy.seen();
        assert!(seen.len() > 5, "{name} made {} requests", seen.len());
        for seen in &seen {
            assert_ne!(seen.status, Some(403), "{name} was denied: {seen:?}");
            let Some(asked) = asked(&s3.bucket, seen) else {
                assert_ne!(*name, "worker", "a worker deletes: {seen:?}");
                continue;
            };
            assert_eq!(part.policy.says(&asked), Says::Allow, "{name}: {asked:?}");
            assert_ne!(bucket.says(&asked), Says::Deny, "{name}: {asked:?}");
            requests += 1;
            puts += u64::from(seen.if_none_match);
        }
    }
    println!("{requests} requests, {puts} of them creates, are allowed");
    forbidden(&s3, &parts, &bucket, &state).await;
}

/// TPC-H with functions, and a sweep, each part with its own role.
async fn run_queries(
    s3: &S3,
    parts: &BTreeMap<&'static str, Part>,
    data: &std::path::Path,
    state: &str,
    tables: &str,
) {
    let config = |part: &Part| part.config(&s3.bucket, state, tables);
    let setup = Setup::with(|_| config(&parts["gateway"]));
    let function = |name: &str| Function {
        name: name.to_owned(),
        binary: binary().with_file_name("dunlin-lambda-worker"),
        alias: None,
        env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config(&parts[name]))],
        memory_mb: 1_769,
        timeout: PATIENCE,
        concurrency: 3,
        is_denied: false,
        folder: setup.path().to_owned(),
    };
    let functions = vec![function("worker"), function("sweeper")];
    let lambda = Lambda::start(functions, Rules::default()).await.unwrap();
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = gateway(&lambda, &setup.config, &log).await.unwrap();
    let api = Api::new(&format!("http://{address}"));
    let reference = Reference::over(data);
    let settings = json!({ "route": "fleet", "target_partitions": 4 });
    let sweep = async || {
        let url = format!("{}/2015-03-31/functions/sweeper/invocations", lambda.endpoint());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.post(url).json(&json!({ "sweep": true })).send().await.unwrap();
        assert!(
            !answer.headers().contains_key("x-amz-function-error"),
            "{}",
            answer.text().await.unwrap()
        );
    };
    for number in 1..=22 {
        let answer = api.sql(&tpch::query(number).unwrap(), &settings).await;
        reference.check_tpch("roles", number, &answer.batches);
        if number % 5 == 0 {
            // While a query runs, and after it.
            let running = api.begin(&tpch::query(9).unwrap(), &settings).await;
            sweep().await;
            api.results(&running, PATIENCE).await;
            sweep().await;
        }
    }
    write(&api, &settings).await;
    let inline = json!({ "route": "inline" });
    api.begin("select count(*) from nation", &inline).await;
    quiet(&lambda).await;
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. });
    assert!(!lambda.calls().iter().any(|call| failed(&call.outcome)), "{:?}", lambda.calls());
    // The hints of queries that have ended are gone: gateway and sweeper may delete them.
    let live = Path::from(format!("{state}/live"));
    let begun = Instant::now();
    while s3.store().list(Some(&live)).next().await.is_some() {
        assert!(begun.elapsed() < PATIENCE, "hints stay");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Writes of all kinds, one that fails, and one that is cancelled.
async fn write(api: &Api, settings: &Value) {
    let make = "create table made with (partition_by = 'l_linestatus') as select l_orderkey, l_comment, l_linestatus from lineitem";
    api.sql(make, settings).await;
    api.sql("insert into made select 0, 'x', 'y'", settings).await;
    let rows = api.sql("select l_orderkey from made where l_linestatus = 'y'", settings).await;
    assert_eq!(rows.batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 1);
    let wrong = "insert into made select 0, 'x', repeat('y', 300)";
    let body = json!({ "sql": wrong, "settings": settings });
    assert_eq!(api.raw("/v1/sql", &body).await.0, 400);
    let endless = format!("create table never as {}", crate::survival::ENDLESS);
    let query = api.begin(&endless, settings).await;
    assert_eq!(api.cancel(&query).await["status"], "CANCELLED");
}

/// What no part may do, or only some: the server denies it, and so do the policies.
async fn forbidden(s3: &S3, parts: &BTreeMap<&'static str, Part>, bucket: &Policy, state: &str) {
    let request = |method: &str, key: String, if_none_match: bool| Seen {
        method: method.to_owned(),
        key,
        list: None,
        range: None,
        if_none_match,
        access_key: String::new(),
        status: None,
        refused: false,
        start: Duration::ZERO,
        end: None,
    };
    let query = "01a3185c-5bb8-7392-b4b7-ec3539c5d944";
    let root = format!("{state}/q/ab/{query}/root");
    let worker = &parts["worker"];
    for (part, method, key) in [
        ("worker", "DELETE", format!("{state}/live/{query}")),
        ("worker", "DELETE", format!("{state}/data/0000/{query}/s0/0.0.n/0.arrow")),
        ("worker", "PUT", root.clone()),
        ("worker", "PUT", format!("{state}/q/ab/{query}/plan/00")),
        ("worker", "PUT", format!("{state}/idem/00")),
        ("worker", "PUT", format!("{state}/live/{query}")),
        ("worker", "PUT", format!("{state}/gate/x")),
        ("worker", "PUT", format!("{state}/config/x.toml")),
        ("worker", "PUT", "another-prefix/x".to_owned()),
        ("worker", "GET", "another-prefix/x".to_owned()),
        ("sweeper", "PUT", root.clone()),
        ("sweeper", "DELETE", format!("{state}/end/{query}")),
        ("gateway", "PUT", format!("{state}/config/x.toml")),
        ("gateway", "DELETE", root.clone()),
        ("gateway", "DELETE", format!("{state}/res/{query}/x")),
        ("gateway", "PUT", "another-prefix/x".to_owned()),
    ] {
        let asked = asked(&s3.bucket, &request(method, key.clone(), true)).unwrap();
        assert_ne!(parts[part].policy.says(&asked), Says::Allow, "{part}: {asked:?}");
        let store = parts[part].role.store(s3);
        let path = Path::from(key.as_str());
        let outcome = match method {
            "PUT" => store.put(&path, "x".into()).await.map(|_| ()),
            "GET" => store.get(&path).await.map(|_| ()),
            _ => store.delete(&path).await,
        };
        let error = outcome.err().unwrap_or_else(|| panic!("{part} may {method} {key}"));
        let denied = matches!(error, object_store::Error::PermissionDenied { .. })
            || error.to_string().contains("AccessDenied");
        assert!(denied, "{part} {method} {key}: {error}");
    }
    // Records are created and never overwritten, whoever asks; hints may be overwritten.
    for key in [
        root,
        format!("{state}/q/ab/{query}/s0/seal"),
        format!("{state}/q/ab/{query}/s0/g/1"),
        format!("{state}/q/ab/{query}/s0/all"),
        format!("{state}/g/abcd/{query}/s0/0/c/1"),
        format!("{state}/end/{query}"),
        format!("{state}/idem/00"),
    ] {
        let says =
            |create| bucket.says(&asked(&s3.bucket, &request("PUT", key.clone(), create)).unwrap());
        assert_eq!((says(false), says(true)), (Says::Deny, Says::Nothing), "{key}");
    }
    let beat = request("PUT", format!("{state}/hb/{query}/s0/0/1.0"), false);
    assert_eq!(bucket.says(&asked(&s3.bucket, &beat).unwrap()), Says::Nothing);
    let mut plain = asked(&s3.bucket, &beat).unwrap();
    plain.context.insert("aws:SecureTransport", "false".to_owned());
    assert_eq!(bucket.says(&plain), Says::Deny, "without TLS");
    // Functions may be called, and nothing else of Lambda.
    let call = |action, function: &str| Asked {
        action,
        resource: format!("arn:aws:lambda:us-east-1:1:function:{function}"),
        ..Asked::default()
    };
    assert_eq!(worker.policy.says(&call("lambda:InvokeFunction", "worker")), Says::Allow);
    assert_eq!(worker.policy.says(&call("lambda:InvokeFunction", "other")), Says::Nothing);
    assert_eq!(worker.policy.says(&call("lambda:UpdateFunctionCode", "worker")), Says::Nothing);
}
