//! COPY to one file: of two statements for one name, one makes it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dunlin_cli::fleet::Fleet;
use dunlin_sim::far::{Proxy, Seen};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use super::{PATIENCE, SCALE, Site, settings};
use crate::common::api::Api;
use crate::common::{S3, Setup, binary, data, files_below, unique};

/// Rows of each file. With `small`, it is one request; otherwise it is uploaded in parts.
fn rows(who: u32, small: bool) -> String {
    let (lines, times) = if small { (50, 1) } else { (60_000, 12) };
    format!(
        "select {who} as who, l_orderkey, l_comment from (select * from lineitem order by l_orderkey limit {lines}) cross join generate_series(1, {times})"
    )
}

/// Two statements at once. Returns who has written the file, and how many rows it says there are.
async fn race(api: &Api, to: &str, small: bool) -> (u32, u64) {
    // Planned before either has written anything.
    let mut queries = Vec::new();
    for who in [1, 2] {
        let sql = format!("copy ({}) to '{to}'", rows(who, small));
        let submitted = api.submit(&sql, &settings("fleet"), None).await;
        queries.push((who, submitted));
    }
    let mut winners = Vec::new();
    for (who, submitted) in queries {
        if !submitted.status.is_success() {
            assert!(small, "the first file was there before the second statement was planned");
            assert_eq!(submitted.body["code"], "TARGET_EXISTS", "{submitted:?}");
            continue;
        }
        let query = submitted.query();
        let end = api.end(&query, PATIENCE).await;
        if end["status"] == "SUCCEEDED" {
            let answer = api.results(&query, PATIENCE).await;
            let column = answer.batches[0].column(0);
            let column = column.as_any().downcast_ref::<arrow::array::Int64Array>().unwrap();
            winners.push((who, u64::try_from(column.value(0)).unwrap()));
        } else {
            assert_eq!(end["error"]["code"], "TARGET_EXISTS", "{end}");
            let said = end["error"]["message"].as_str().unwrap();
            assert!(said.contains(to) && said.contains("OVERWRITE"), "{said}");
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    winners[0]
}

/// Every line of a file is of one statement, and there are as many as it says.
fn check(text: &str, (who, rows): (u32, u64)) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("who,l_orderkey,l_comment"));
    let start = format!("{who},");
    let mut count = 0;
    for line in lines {
        assert!(line.starts_with(&start), "{line}");
        count += 1;
    }
    assert_eq!(count, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_copies_to_one_file_one_succeeds_on_a_folder() {
    let site = Site::start(&data(SCALE), "", 2);
    for (name, small) in [("small.csv", true), ("large.csv", false)] {
        let won = race(&site.api, &site.at(&format!("out/{name}")), small).await;
        let text = std::fs::read_to_string(site.setup.path().join("out").join(name)).unwrap();
        check(&text, won);
        assert!(small || text.len() > (17 << 20), "{}", text.len());
    }
    let left: Vec<_> = files_below(&site.setup.path().join("out"));
    assert_eq!(left.len(), 2, "{left:?}");
    // Who wants to replace it does.
    let to = site.at("out/large.csv");
    site.rows(&format!("copy (select 1 as a) to '{to}' (overwrite)")).await;
    let text = std::fs::read_to_string(site.setup.path().join("out/large.csv")).unwrap();
    assert_eq!(text, "a\n1\n");
}

/// The look before a file is completed is kept from the later upload, so only the condition can stop it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_copies_to_one_file_one_succeeds_on_s3() {
    let Some(s3) = S3::from_env() else { return };
    let out = unique("onefile");
    let (posts, blind) = (AtomicUsize::new(0), AtomicBool::new(false));
    let refuse = move |seen: &Seen| {
        if !seen.key.ends_with("blind.csv") {
            return false;
        }
        // Two uploads are begun, and the first is being completed.
        if seen.method == "POST" && posts.fetch_add(1, Ordering::SeqCst) == 2 {
            blind.store(true, Ordering::SeqCst);
        }
        seen.method == "HEAD" && blind.swap(false, Ordering::SeqCst)
    };
    let proxy = Proxy::near(&s3.endpoint, &s3.bucket, refuse).await.unwrap();
    let setup = Setup::folder(
        &data(SCALE),
        &format!(
            "[[writing]]\nlocation = \"s3://{}/{out}/\"\n{}",
            s3.bucket,
            s3.params("writing.params", &proxy.endpoint())
        ),
    );
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let store = s3.store();
    for (name, small) in [("small.csv", true), ("large.csv", false), ("blind.csv", false)] {
        let to = format!("s3://{}/{out}/{name}", s3.bucket);
        let won = race(&api, &to, small).await;
        let path = Path::from(format!("{out}/{name}"));
        let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
        check(std::str::from_utf8(&bytes).unwrap(), won);
        let sql = format!("copy (select 1 as a) to '{to}'");
        let (status, body) = api.raw("/v1/sql", &json!({ "sql": sql })).await;
        assert_eq!((status, &body["code"]), (409, &json!("TARGET_EXISTS")), "{body}");
    }
    let seen = proxy.seen();
    let of_blind = |seen: &&Seen| seen.key.ends_with("blind.csv") && seen.if_none_match;
    let mut ends: Vec<_> = seen.iter().filter(of_blind).filter_map(|seen| seen.status).collect();
    ends.sort_unstable();
    assert_eq!(ends, [200, 412], "both uploads were completed on the condition");
    let prefix = Path::from(out);
    let listed = store.list_with_delimiter(Some(&prefix)).await.unwrap();
    assert_eq!(listed.objects.len(), 3, "{listed:?}");
}
