//! Exact: small adversarial queries, each plan shape, every way of running it against one process.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

use common::bench::{Bench, Outcome, TableOf, difference};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harness() {
    let data = common::data(0.01);
    let bench =
        Bench::open(&[TableOf::parquet("nation", &data.join("nation"))], common::ENGINE).await;
    for sql in [
        "select n_regionkey, count(*) as c, avg(n_nationkey) as a from nation group by 1 order by 1",
        "select make_array(null, '', n_name) as l, 1.5::float as f from nation limit 0",
        "select 1 / (n_nationkey - n_nationkey) from nation",
        "select nothing from nation",
    ] {
        let want = bench.single(sql, 2).await;
        for got in [
            bench.single(sql, 7).await,
            bench.uncut(sql, 7).await,
            bench.decoded(sql, 7).await,
            bench.fleet(sql, 7).await,
        ] {
            match (&want, &got) {
                (Outcome::Rows(want), Outcome::Rows(got)) => {
                    println!("{:?}", difference(want, got, true));
                }
                (want, got) => println!("{want:?}\n{got:?}"),
            }
        }
    }
}
