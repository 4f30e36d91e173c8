//! What writes leave behind when processes are killed and no client asks again: any sweeper settles it, and deletes nothing
//! that counts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{PATIENCE, SCALE, Site, settings};
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{data, files_below};
use crate::survival::{SHORT_LEASE, SLOW, freeze_in_the_middle, stopped};

/// The data files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = files_below(folder);
    all.into_iter().filter(|it| it.extension().is_some_and(|it| it == "parquet")).collect()
}

/// The commit that began a folder.
fn first_commit(folder: &Path) -> Option<Value> {
    let bytes = std::fs::read(folder.join("_dunlin/first-0.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Waits until no sweeper has anything to do for a query.
async fn forgotten(site: &Site, query: &str) {
    let hint = site.setup.state.join("live").join(query);
    until("the hint is gone", PATIENCE, || (!hint.exists()).then_some(())).await;
}

/// A statement fails after it has written files, and nobody ever asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_failed_while_nobody_waited_is_settled() {
    let mut site = Site::start(&data(SCALE), SHORT_LEASE, 2);
    let folder = site.setup.path().join("made/t");
    let sql = "create table t with (file_size = '64KiB') as select l_orderkey, l_comment, 1 / (l_orderkey - 58976) as x from lineitem";
    let query = site.api.begin(sql, &settings("fleet")).await;
    // Nobody is left who knows of a client.
    site.fleet.gateway.kill();
    let objects = Objects::new(&site.setup.state, &query);
    until("a file", PATIENCE, || (!files(&folder).is_empty()).then_some(())).await;
    // Without a gateway nobody settles it.
    until("the end", PATIENCE, || objects.has_ended().then_some(())).await;
    assert_eq!(first_commit(&folder), None);
    let late = files(&folder)[0].clone();
    let (bytes, live) = (std::fs::read(&late).unwrap(), site.setup.state.join("live").join(&query));
    assert!(live.exists(), "a worker has taken the query off the list");
    site.fleet.restart_gateway().unwrap();
    until("a cancelled commit", PATIENCE, || {
        first_commit(&folder).map(|commit| assert_eq!(commit["state"], "cancelled", "{commit}"))
    })
    .await;
    until("no file", PATIENCE, || files(&folder).is_empty().then_some(())).await;
    // A worker that was frozen wakes, and ends the file that it was at. The gateway stands still meanwhile, so that it does not
    // forget the query between two lines.
    crate::common::signal(&site.fleet.gateway, "-STOP");
    stopped(&site.fleet.gateway).await;
    if live.exists() {
        std::fs::write(&late, bytes).unwrap();
    }
    crate::common::signal(&site.fleet.gateway, "-CONT");
    forgotten(&site, &query).await;
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
    let api = crate::common::api::Api::new(&site.fleet.url());
    let status = api.status(&query, "0s").await;
    assert_eq!((&status["status"], &status["write"]), (&json!("FAILED"), &json!("cancelled")));
    // The place is free.
    let made = api.sql("create table t as select 1 as a", &settings("fleet")).await;
    assert_eq!(first_commit(&folder).unwrap()["state"], "cancelled");
    // On a busy machine a task of the former query may notice its end later than its lease says, and write once more.
    let is_new = |file: &&PathBuf| file.to_string_lossy().contains(&made.query);
    assert_eq!(files(&folder).iter().filter(is_new).count(), 1);
}

/// Gateway and worker die right after a statement was cancelled, and a file of the worker comes late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cancelled_write_leaves_is_deleted_by_another_gateway() {
    let mut site = Site::start(&data(SCALE), SHORT_LEASE, 1);
    let folder = site.setup.path().join("made/t");
    let slow = "create table t with (file_size = '64KiB') as select l1.l_orderkey as k, l2.l_comment as c from lineitem l1 cross join lineitem l2";
    let query = site.api.begin(slow, &settings("fleet")).await;
    until("files", PATIENCE, || (files(&folder).len() > 1).then_some(())).await;
    crate::common::signal(&site.fleet.workers[0], "-STOP");
    assert_eq!(site.api.cancel(&query).await["write"], "cancelled");
    site.fleet.gateway.kill();
    site.fleet.workers[0].kill();
    let other = folder.join(format!("dunlin-{query}-0-late-0000.parquet"));
    std::fs::write(&other, "what it was at").unwrap();
    site.fleet.restart_gateway().unwrap();
    forgotten(&site, &query).await;
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
    assert_eq!(first_commit(&folder).unwrap()["state"], "cancelled");
}

/// A statement that has succeeded keeps the files that its commit names, and loses those of attempts that were lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_attempts_leave_is_deleted_and_no_file_of_the_commit() {
    let data = data(0.05);
    let mut site = Site::start(&data, SHORT_LEASE, 2);
    let folder = site.setup.path().join("made/t");
    let sql = format!("create table t as {SLOW}");
    let query = site.api.begin(&sql, &json!({ "route": "fleet", "target_partitions": 16 })).await;
    let objects = Objects::new(&site.setup.state, &query);
    freeze_in_the_middle(&objects, &site.fleet.workers[0]).await;
    site.fleet.workers[0].kill();
    site.fleet.gateway.kill();
    until("the end", PATIENCE, || objects.has_ended().then_some(())).await;
    let committed = first_commit(&folder).unwrap();
    assert_eq!((&committed["state"], &committed["query"]), (&json!("committed"), &json!(query)));
    let named = committed["files"].as_array().unwrap().iter();
    let kept: Vec<PathBuf> =
        named.map(|file| folder.join(file["path"].as_str().unwrap())).collect();
    assert!(!kept.is_empty(), "{committed}");
    let lost = folder.join(format!("dunlin-{query}-0-lost-0000.parquet"));
    std::fs::copy(&kept[0], &lost).unwrap();
    // A file of another query is nobody's to delete here.
    let foreign = folder.join("dunlin-01a3185c-5bb8-7392-b4b7-ec3539c5d944-0-x-0000.parquet");
    std::fs::copy(&kept[0], &foreign).unwrap();
    site.fleet.restart_gateway().unwrap();
    until("the lost file is gone", PATIENCE, || (!lost.exists()).then_some(())).await;
    forgotten(&site, &query).await;
    let mut wanted = kept;
    wanted.push(foreign);
    wanted.sort();
    assert_eq!(files(&folder), wanted);
    let api = crate::common::api::Api::new(&site.fleet.url());
    let got = api.sql("select * from t", &settings("inline")).await;
    Reference::over(&data).check("swept", SLOW, &got.batches);
}
