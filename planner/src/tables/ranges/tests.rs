#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::tables::recorded::RecordedStore;

/// A number that looks like any, by its place.
fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

type Name = fn(u64) -> String;

/// Forms of names, and how many pages may come one after the other for 100,000 of them.
const FORMS: [(&str, Name, usize); 12] = [
    ("zero padded", |n| format!("t/part-{n:08}.parquet"), 14),
    ("zero padded, as Spark", |n| format!("t/part-{n:05}-{:016x}.c000.parquet", mixed(n)), 14),
    ("not padded", |n| format!("t/{n}.csv"), 14),
    ("hexadecimal", |n| format!("t/{:016x}.parquet", mixed(n)), 14),
    ("uuid", |n| format!("t/{:08x}-{:04x}-4", mixed(n) >> 32, mixed(n) & 0xffff), 14),
    ("base 62", |n| format!("t/{}", base_62(mixed(n))), 14),
    ("times", |n| format!("t/2024-{:02}-{:02}T{:06}.json", n / 8500 + 1, n / 300 % 28 + 1, n), 14),
    ("folders by day", |n| format!("t/day={:03}/{:x}.parquet", n % 365, mixed(n)), 14),
    ("folders of names", |n| format!("t/{}/{n:06}", base_62(mixed(n % 97))), 14),
    ("one large folder", |n| format!("t/{}/{n:06}", if n % 50 == 0 { "a" } else { "zz" }), 16),
    (
        "other letters",
        |n| format!("t/日{}月-{n}", char::from_u32(0x4e00 + n as u32 % 3000).unwrap()),
        40,
    ),
    (
        "letters that tell nothing",
        |n| format!("t/{}", "x".repeat(1 + n as usize % 700) + &n.to_string()),
        101,
    ),
];

fn base_62(mut n: u64) -> String {
    const SIGNS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::new();
    while text.len() < 8 {
        text.push(char::from(SIGNS[(n % 62) as usize]));
        n /= 62;
    }
    text
}

async fn store_of(name: Name, files: u64) -> Arc<RecordedStore> {
    RecordedStore::with((0..files).map(name)).await
}

/// The names that are listed; how many pages came one after the other, and how many came.
fn listed(store: &Arc<RecordedStore>, folder: &str) -> (Vec<String>, usize, usize) {
    let (of, folder) = (Arc::clone(store) as Arc<dyn ObjectStore>, Path::from(folder));
    let (found, rounds, pages) = store.in_rounds(list(&of, &folder));
    let mut names: Vec<String> =
        found.unwrap().into_iter().map(|file| file.location.to_string()).collect();
    names.sort_unstable();
    (names, rounds, pages)
}

#[tokio::test]
async fn a_large_folder_is_listed_in_few_rounds_and_each_file_once() {
    for (form, name, most) in FORMS {
        let store = store_of(name, 100_000).await;
        let (found, rounds, pages) = listed(&store, "t");
        let mut wanted: Vec<String> = (0..100_000).map(name).collect();
        wanted.sort_unstable();
        wanted.dedup();
        assert_eq!(found.len(), wanted.len(), "{form}");
        assert!(found == wanted, "{form}: each file once");
        assert!(rounds <= most, "{form}: {rounds} rounds");
        assert!(pages <= 340, "{form}: {pages} pages");
    }
}

#[tokio::test]
async fn folders_of_every_size_are_listed_whole() {
    for files in [0, 1, 999, 1000, 1001, 1999, 2000, 2001, 2999, 3000, 3001, 5000, 12_345] {
        for (form, name, _) in FORMS {
            let store = store_of(name, files).await;
            store.add("a", "before").await;
            store.add("t0/x", "not below").await;
            store.add("u/z", "after").await;
            let (found, rounds, pages) = listed(&store, "t");
            let mut wanted: Vec<String> = (0..files).map(name).collect();
            wanted.sort_unstable();
            assert!(found == wanted, "{form}, {files} files: {} were found", found.len());
            if files <= 1000 {
                assert_eq!((rounds, pages), (1, 1), "{form}, {files} files");
            }
        }
    }
}

#[tokio::test]
async fn the_root_of_a_store_is_a_folder() {
    let store = store_of(|n| format!("{n:05}"), 5_000).await;
    let (found, ..) = listed(&store, "");
    assert_eq!(found.len(), 5_000);
}

#[tokio::test]
async fn a_store_without_order_is_listed_one_page_after_the_other() {
    let store = store_of(|n| format!("t/{n:05}"), 5_000).await.upside_down();
    let (found, rounds, _) = listed(&store, "t");
    assert_eq!(found.len(), 5_000);
    assert!(rounds >= 5, "{rounds}");
}

#[test]
fn only_stores_that_promise_an_order_are_listed_in_ranges() {
    assert!(are_listed_in_order("s3://bucket"));
    for address in ["file:///", "memory:///", "gs://b", "az://c", "s3://b--use1-az4--x-s3"] {
        assert!(!are_listed_in_order(address), "{address}");
    }
}
