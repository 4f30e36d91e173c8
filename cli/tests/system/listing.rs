//! Listing large folders and folders that are columns, on a real S3 server.

use std::sync::Arc;

use datafusion::arrow::util::pretty::pretty_format_batches;
use dunlin_cli::fleet::Fleet;
use dunlin_sim::far::{Proxy, Seen};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use crate::common::api::Api;
use crate::common::{S3, Setup, binary, unique};

/// Objects that are put at the same time.
const AT_ONCE: usize = 32;

async fn put(s3: &S3, prefix: &str, files: impl IntoIterator<Item = (String, &'static str)>) {
    let store: Arc<dyn ObjectStore> = Arc::new(s3.store());
    stream::iter(files)
        .map(|(name, text)| {
            let (store, path) = (Arc::clone(&store), Path::from(format!("{prefix}/{name}")));
            async move { store.put(&path, text.into()).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
}

/// The prefixes of the listings below a folder, in order.
fn listed(proxy: &Proxy, prefix: &str) -> Vec<String> {
    let below = |seen: &Seen| Some(seen.list.as_ref()?.strip_prefix(prefix)?.to_owned());
    let mut listed: Vec<String> = proxy.seen().iter().filter_map(below).collect();
    listed.sort_unstable();
    listed
}

/// Names that a server may order in its own way, so that a range would lose some.
fn name(n: usize) -> String {
    let ending = if n % 100 == 7 { "csv" } else { "txt" };
    match n % 7 {
        0 => format!("{n:06}.{ending}"),
        1 => format!("a-{n}.{ending}"),
        2 => format!("a/{n}.{ending}"),
        3 => format!("é{n}/x.{ending}"),
        4 => format!("A b+{n}&=.{ending}"),
        5 => format!("a.{n}/~{n}.{ending}"),
        _ => format!("日{}.{ending}", n * n),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_folder_is_listed_in_ranges_and_no_file_is_lost() {
    const FILES: usize = 5000;
    let Some(s3) = S3::from_env() else { return };
    let (tables, state) = (unique("listing-tables"), unique("listing"));
    put(&s3, &tables, (0..FILES).map(|n| (name(n), "v\n3\n"))).await;
    let proxy = Proxy::near(&s3.endpoint, &s3.bucket, |_| false).await.unwrap();
    let table = format!(
        "[[tables]]\nname = \"t\"\nlocation = \"s3://{}/{tables}/**/*.csv\"\ncolumns = [\"v INT\"]\n{}",
        s3.bucket,
        s3.params("tables.params", &proxy.endpoint())
    );
    let setup = Setup::with(|_| s3.config(&state, &tables, &proxy.endpoint(), &table));
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
    let api = Api::new(&fleet.url());
    let answer =
        api.sql("select count(*) as n, sum(v) as s from t", &json!({ "route": "inline" })).await;
    let text = pretty_format_batches(&answer.batches).unwrap().to_string();
    assert!(text.contains("| 50 | 150 |"), "{text}");
    let requests = listed(&proxy, &format!("{tables}/")).len();
    assert!((6..100).contains(&requests), "{requests} listings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_a_filter_rules_out_are_not_listed_and_first_rows_are_read_once() {
    let Some(s3) = S3::from_env() else { return };
    let (tables, state) = (unique("folders-tables"), unique("folders"));
    let file = |n: usize| format!("year={}/month={}/{n}.json", 2023 + n % 3, n / 3 % 2 + 1);
    put(&s3, &tables, (0..60).map(|n| (file(n), "{\"v\":3}\n"))).await;
    let proxy = Proxy::near(&s3.endpoint, &s3.bucket, |_| false).await.unwrap();
    let table = format!(
        "[[tables]]\nname = \"t\"\nlocation = \"s3://{}/{tables}/\"\nformat = \"json\"\ncolumns = [\"v INT\"]\npartitions = [\"year INT\", \"month INT\"]\n{}",
        s3.bucket,
        s3.params("tables.params", &proxy.endpoint())
    );
    let setup = Setup::with(|_| s3.config(&state, &tables, &proxy.endpoint(), &table));
    let sql =
        "select count(*) as n, sum(v + month) as s from t where year = 2024 and month in (2, 3)";
    let settings = json!({ "route": "inline" });
    for turn in 0..2 {
        proxy.forget();
        let fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
        let api = Api::new(&fleet.url());
        api.explain(sql, &settings).await;
        let prefix = format!("{tables}/");
        assert_eq!(listed(&proxy, &prefix), ["", "year=2024/", "year=2024/month=2/"]);
        let read = proxy.seen().iter().filter(|it| it.key.starts_with(&prefix)).count();
        assert_eq!(read, if turn == 0 { 10 } else { 0 }, "turn {turn}");
        let answer = api.sql(sql, &settings).await;
        let text = pretty_format_batches(&answer.batches).unwrap().to_string();
        assert!(text.contains("| 10 | 50 |"), "{text}");
    }
}
