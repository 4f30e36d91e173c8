//! What the whole-system tests share: data made once, configurations, a client that reads Arrow, and the
//! reference answers of a single DataFusion process.

pub mod api;
pub mod build;
pub mod clock;
pub mod objects;
pub mod policy;
pub mod reference;
pub mod session;
pub mod used;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use dunlin_cli::fleet::Process;
use dunlin_cli::tpch;
use dunlin_exact::engines::ENGINE;
use tempfile::TempDir;

/// Files of each table: more than the workers, fewer than the partitions.
pub const FILES: usize = 8;

/// The binary under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dunlin"))
}

/// The small binary of containers.
pub fn worker_binary() -> PathBuf {
    let found = binary().with_file_name("dunlin-worker");
    assert!(found.exists(), "{} is not built; run cargo build --workspace", found.display());
    found
}

/// TPC-H data at `scale`, made once for all tests.
pub fn data(scale: f64) -> PathBuf {
    data_in(scale, FILES)
}

/// TPC-H data at `scale` in `files` files a table, made once for all tests.
pub fn data_in(scale: f64, files: usize) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = parent.join(format!("tpch-{scale}-{files}"));
    if folder.exists() {
        return folder;
    }
    // Renamed when complete: another test process may want the same data at the same time.
    let fresh = tempfile::tempdir_in(parent).unwrap();
    tpch::generate(fresh.path(), scale, files).unwrap();
    if std::fs::rename(fresh.path(), &folder).is_ok() {
        let _ = fresh.keep();
    }
    folder
}

/// The scale that `DUNLIN_ORACLE_SCALE` asks for, or 0.1.
pub fn scale() -> f64 {
    std::env::var("DUNLIN_ORACLE_SCALE").ok().map_or(0.1, |text| text.parse().unwrap())
}

/// A folder with a configuration and a state; kept, and named, if the test fails.
#[derive(Debug)]
pub struct Setup {
    folder: Option<TempDir>,
    pub config: PathBuf,
    /// Folder of the state, where it is a folder.
    pub state: PathBuf,
}

impl Setup {
    /// A state on a folder and tables in `data`; `extra` is more TOML.
    pub fn folder(data: &Path, extra: &str) -> Self {
        Self::with(|state| {
            format!(
                "[state]\nlocation = \"file://{}\"\n\n{}{extra}\n{}",
                state.display(),
                ENGINE,
                tpch::tables_toml(&format!("file://{}/", data.display()))
            )
        })
    }

    /// A configuration made from the path of the state's folder.
    pub fn with(text: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let state = folder.path().join("state");
        let config = folder.path().join("dunlin.toml");
        std::fs::write(&config, text(&state)).unwrap();
        Self { folder: Some(folder), config, state }
    }

    /// Folder of configuration and logs.
    pub fn path(&self) -> &Path {
        self.config.parent().unwrap()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("state and logs are kept in {}", folder.keep().display());
        }
    }
}

/// Sends a signal that `Process` has no method for.
pub fn signal(process: &Process, name: &str) {
    let sent = Command::new("kill").args([name, &process.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill {name}");
}

/// Where the tests' S3 server is, as `scripts/test` says; `None` only where S3 is left out on purpose.
#[derive(Clone, Debug)]
pub struct S3 {
    pub endpoint: String,
    pub bucket: String,
    key: String,
    secret: String,
}

impl S3 {
    pub fn from_env() -> Option<Self> {
        let endpoint = std::env::var("DUNLIN_TEST_S3_ENDPOINT");
        if endpoint.is_err() && std::env::var("DUNLIN_SKIP_S3").is_ok_and(|value| value == "1") {
            eprintln!("left out: DUNLIN_SKIP_S3=1");
            return None;
        }
        let setting = |name: &str| {
            std::env::var(format!("DUNLIN_TEST_S3_{name}")).unwrap_or_else(|_| {
                panic!(
                    "DUNLIN_TEST_S3_{name} is not set; run scripts/test, which starts an S3 server, or leave S3 out with DUNLIN_SKIP_S3=1"
                )
            })
        };
        Some(Self {
            endpoint: setting("ENDPOINT"),
            bucket: setting("BUCKET"),
            key: setting("KEY"),
            secret: setting("SECRET"),
        })
    }

    /// A server that a test has started for itself.
    pub fn of(endpoint: &str, bucket: &str, key: &str, secret: &str) -> Self {
        let [endpoint, bucket, key, secret] = [endpoint, bucket, key, secret].map(str::to_owned);
        Self { endpoint, bucket, key, secret }
    }

    /// `[…params]` of a configuration that reaches this server at `endpoint`. Tests that count requests do so behind
    /// another endpoint, and want to see each request once.
    pub fn params(&self, section: &str, endpoint: &str) -> String {
        let hedge = endpoint == self.endpoint;
        format!(
            "[{section}]\ns3_endpoint = \"{endpoint}\"\ns3_key = \"{}\"\ns3_secret = \"{}\"\nallow_http = true\nhedge = {hedge}\n",
            self.key, self.secret
        )
    }

    /// Credentials that may do everything.
    pub fn root(&self) -> (&str, &str) {
        (&self.key, &self.secret)
    }

    /// The bucket as a store.
    pub fn store(&self) -> object_store::aws::AmazonS3 {
        object_store::aws::AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_access_key_id(&self.key)
            .with_secret_access_key(&self.secret)
            .with_bucket_name(&self.bucket)
            .with_region("us-east-1")
            .with_allow_http(true)
            .with_virtual_hosted_style_request(false)
            .build()
            .unwrap()
    }

    /// A configuration whose state and tables lie below `prefix`, reached at `endpoint`.
    pub fn config(&self, prefix: &str, tables: &str, endpoint: &str, extra: &str) -> String {
        let root = format!("s3://{}/{prefix}", self.bucket);
        let mut text = format!(
            "[state]\nlocation = \"{root}\"\n{}\n{ENGINE}{extra}\n",
            self.params("state.params", endpoint)
        );
        for table in tpch::TABLES {
            text += &format!(
                "[[tables]]\nname = \"{table}\"\nlocation = \"s3://{}/{tables}/{table}/\"\n{}\n",
                self.bucket,
                self.params("tables.params", endpoint)
            );
        }
        text
    }

    /// Copies the tables of a folder below `prefix`.
    pub async fn upload(&self, data: &Path, prefix: &str) {
        use object_store::ObjectStoreExt;
        let store = self.store();
        for table in tpch::TABLES {
            for file in std::fs::read_dir(data.join(table)).unwrap() {
                let file = file.unwrap();
                let name = file.file_name().into_string().unwrap();
                let key = object_store::path::Path::from(format!("{prefix}/{table}/{name}"));
                store.put(&key, std::fs::read(file.path()).unwrap().into()).await.unwrap();
            }
        }
    }
}

/// A name that no other run used.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", &dunlin_manifest::env::Env::system().nonce()[..12])
}

/// Where a server listens that takes connections and never answers.
pub async fn silent() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    endpoint
}

/// The files below a folder, in order; none if it is not there.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}
