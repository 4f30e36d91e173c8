//! `dunlin health`: asks a gateway whether it is ready. Images have no shell and no curl.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::credentials::Credentials;

/// Options of `dunlin health`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address of the gateway.
    #[arg(long, default_value = "http://127.0.0.1:8090")]
    url: String,
    /// Seconds to wait for its answer.
    #[arg(long, default_value_t = 5)]
    timeout: u64,
    #[command(flatten)]
    credentials: Credentials,
}

/// Asks `/v1/ready`.
///
/// # Errors
/// A sentence that says why the gateway is not ready.
pub fn run(options: &Options) -> Result<()> {
    let url = options.url.trim_end_matches('/');
    let client = options.credentials.client(url)?;
    let asked = async {
        let request = client.get(format!("{url}/v1/ready"));
        let response = request.timeout(Duration::from_secs(options.timeout)).send().await;
        let response = response.with_context(|| format!("no gateway answers at {url}"))?;
        let status = response.status();
        let told: serde_json::Value = response.json().await.unwrap_or_default();
        let text =
            |name: &str| told.get(name).and_then(|text| text.as_str()).map(ToOwned::to_owned);
        if status.is_success() {
            if let Some(note) = text("note") {
                println!("note: {note}");
            }
            return Ok(());
        }
        let why = text("detail").unwrap_or_default();
        bail!("the gateway at {url} is not ready: {status} {why}")
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asked)
}
