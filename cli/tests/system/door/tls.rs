//! Certificates: made by the command, shown and asked for by the gateway, renewed while it runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity};

use super::site::{Site, dunlin, setup, until};

/// A folder of certificates that `dunlin tls` made.
struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let pki = Self { folder: tempfile::tempdir().unwrap() };
        pki.tls(&["init"]);
        pki
    }

    fn tls(&self, arguments: &[&str]) {
        let folder = self.folder.path().display().to_string();
        let made = dunlin(&[&["tls"], arguments, &["--folder", &folder]].concat());
        assert!(made.status.success(), "{made:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A client that trusts this authority and nothing else.
    fn trusting(&self) -> reqwest::ClientBuilder {
        Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(Certificate::from_pem(&self.read("ca.pem")).unwrap())
    }

    /// A certificate of a client, and its key.
    fn client(&self, name: &str) -> Identity {
        self.tls(&["add", "--client", name]);
        let mut both = self.read(&format!("client-{name}.pem"));
        both.extend(self.read(&format!("client-{name}.key")));
        Identity::from_pem(&both).unwrap()
    }

    fn toml(&self, extra: &str) -> String {
        format!(
            "[gateway.tls]\ncertificate = \"{}\"\nkey = \"{}\"\nreload_ms = 50\n{extra}\n",
            self.text("server.pem"),
            self.text("server.key")
        )
    }
}

fn secure(site: &Site) -> String {
    format!("https://localhost:{}/health", site.address.port())
}

async fn answers(client: &Client, site: &Site) -> bool {
    match client.get(secure(site)).send().await {
        // Read to its end: only then is the connection kept.
        Ok(response) => response.text().await.is_ok_and(|text| text.contains("ok")),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_made_authority_is_trusted_and_no_other() {
    let (pki, other) = (Pki::new(), Pki::new());
    let site = Site::start(&pki.toml(""));
    assert!(answers(&pki.trusting().build().unwrap(), &site).await);
    assert!(!answers(&other.trusting().build().unwrap(), &site).await, "another authority");
    assert!(!answers(&Client::new(), &site).await, "the system's authorities");
    assert!(reqwest::get(site.url("/health")).await.is_err(), "no TLS");
    let by_number = format!("https://127.0.0.1:{}/health", site.address.port());
    assert!(pki.trusting().build().unwrap().get(by_number).send().await.is_ok());

    let url = format!("https://localhost:{}", site.address.port());
    let (ca, wrong) = (pki.text("ca.pem"), other.text("ca.pem"));
    let sql = |ca: &str| dunlin(&["sql", "--url", &url, "--ca", ca, "select 1 as one"]);
    let answer = sql(&ca);
    assert_eq!(answer.stdout, b"{\"one\":1}\n", "{answer:?}");
    assert!(!sql(&wrong).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_show_certificates_where_they_must() {
    let (pki, other) = (Pki::new(), Pki::new());
    let client_ca = format!("client_ca = \"{}\"\n", pki.text("ca.pem"));
    let known = pki.trusting().identity(pki.client("ci")).build().unwrap();
    let stranger = pki.trusting().identity(other.client("ci")).build().unwrap();
    let bare = pki.trusting().build().unwrap();
    for (extra, bare_answers) in [("", false), ("client_auth = \"optional\"\n", true)] {
        let site = Site::start(&pki.toml(&format!("{client_ca}{extra}")));
        assert!(answers(&known, &site).await);
        assert!(!answers(&stranger, &site).await, "signed by another authority");
        assert_eq!(answers(&bare, &site).await, bare_answers, "{extra}");
        let url = format!("https://localhost:{}", site.address.port());
        let (ca, certificate) = (pki.text("ca.pem"), pki.text("client-ci.pem"));
        let key = pki.text("client-ci.key");
        let arguments = ["sql", "--url", &url, "--ca", &ca, "--client-cert", &certificate];
        let answer = dunlin(&[&arguments[..], &["--client-key", &key, "select 1"]].concat());
        assert!(answer.status.success(), "{answer:?}");
    }
}

/// Renames, so that the gateway sees the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) {
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, bytes).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_taken_up_and_break_no_connection() {
    let (pki, renewed) = (Pki::new(), Pki::new());
    let site = Site::start(&pki.toml(""));
    // One connection, kept.
    let kept = pki.trusting().pool_max_idle_per_host(1).build().unwrap();
    assert!(answers(&kept, &site).await);

    replace(&pki.path("server.pem"), b"-----BEGIN CERTIFICATE-----\nhalf");
    until("complaint", || site.log().contains("cannot be used").then_some(()));
    assert!(
        answers(&pki.trusting().build().unwrap(), &site).await,
        "a broken file changes nothing"
    );

    // Between these two lies a moment in which they do not belong together.
    replace(&pki.path("server.pem"), &renewed.read("server.pem"));
    replace(&pki.path("server.key"), &renewed.read("server.key"));
    until("renewal", || site.log().contains("the certificates were renewed").then_some(()));
    assert!(answers(&renewed.trusting().build().unwrap(), &site).await);
    assert!(!answers(&pki.trusting().build().unwrap(), &site).await, "the old one is not shown");
    assert!(answers(&kept, &site).await, "the connection from before goes on");
}

#[test]
fn a_gateway_does_not_start_with_certificates_that_cannot_be_used() {
    let (pki, other) = (Pki::new(), Pki::new());
    replace(&pki.path("server.key"), &other.read("server.key"));
    let setup = setup(&pki.toml(""));
    let config = setup.config.display().to_string();
    let refused = dunlin(&["run", "--config", &config, "--http", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("do not belong together"), "{said}");
}

#[test]
fn certificates_for_other_names_are_added_and_none_is_overwritten() {
    let pki = Pki::new();
    pki.tls(&["add", "gateway.test", "10.1.2.3"]);
    let before = pki.read("gateway.test.key");
    let folder = pki.folder.path().display().to_string();
    for again in [&["tls", "init"][..], &["tls", "add", "gateway.test"]] {
        let refused = dunlin(&[again, &["--folder", &folder]].concat());
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("is there already"), "{said}");
    }
    assert_eq!(pki.read("gateway.test.key"), before);
}

#[test]
fn a_client_that_never_shakes_hands_is_let_go() {
    let pki = Pki::new();
    let site = Site::start(&format!("{}[gateway.limits]\ntls_handshake_ms = 300\n", pki.toml("")));
    let mut stream = site.connect();
    let start = std::time::Instant::now();
    let mut nothing = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut nothing).unwrap();
    assert!(nothing.is_empty() && start.elapsed() >= Duration::from_millis(250));
}
