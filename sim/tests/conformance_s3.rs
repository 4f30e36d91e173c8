//! An S3 server keeps the protocol's promises. `scripts/test` starts one and says where it is:
//! `DUNLIN_TEST_S3_ENDPOINT`, `…_BUCKET`, `…_KEY`, `…_SECRET`.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dunlin_manifest::env::Env;
use dunlin_manifest::probe::{ProbeOptions, probe};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_sim::conformance;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set; run scripts/test, which starts an S3 server")
    })
}

/// A state below a fresh prefix of the bucket; `None` only where S3 is left out on purpose.
fn s3(env: &Env) -> Option<ObjectControlStore> {
    if std::env::var_os("DUNLIN_TEST_S3_ENDPOINT").is_none()
        && std::env::var("DUNLIN_SKIP_S3").is_ok_and(|value| value == "1")
    {
        eprintln!("left out: DUNLIN_SKIP_S3=1");
        return None;
    }
    let endpoint = std::env::var("DUNLIN_TEST_S3_ENDPOINT").unwrap_or_else(|_| {
        panic!(
            "DUNLIN_TEST_S3_ENDPOINT is not set; run scripts/test, which starts an S3 server, or leave S3 out with DUNLIN_SKIP_S3=1"
        )
    });
    let inner = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_access_key_id(setting("DUNLIN_TEST_S3_KEY"))
        .with_secret_access_key(setting("DUNLIN_TEST_S3_SECRET"))
        .with_bucket_name(setting("DUNLIN_TEST_S3_BUCKET"))
        .with_region("us-east-1")
        .with_allow_http(true)
        .with_virtual_hosted_style_request(false)
        .build()
        .unwrap();
    let prefix = Path::from(format!("conformance-{}", env.nonce()));
    Some(ObjectControlStore::new(Arc::new(inner), prefix, env.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_server_conforms() {
    if let Some(store) = s3(&Env::system()) {
        conformance::run(store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_finds_an_s3_server_fit() {
    let env = Env::system();
    if let Some(store) = s3(&env) {
        let options = ProbeOptions::default();
        let report = probe(&store, &env, options).await.unwrap();
        assert_eq!((report.races, report.ways), (options.rounds, options.ways));
    }
}
