//! `dunlin sweep`: looks after all active queries for a while, as a gateway does all the time. For a schedule (cron, a
//! Kubernetes CronJob) where no gateway runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use dunlin_invoke::sweep::sweeper;
use dunlin_manifest::keys;
use dunlin_manifest::store::ControlStore;
use dunlin_plan::fence;
use dunlin_process::ConfigOptions;

use crate::serve::{Opened, load};
use crate::stdout::print;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// `dunlin sweep`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Seconds to look after queries, if there are some. A worker that has died is known by its silence, so less than
    /// `[limits] lease_ms` finds none.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
}

/// Sweeps until no query is active, or the time is over.
///
/// # Errors
/// The state cannot be read.
pub fn run(options: &Options) -> Result<()> {
    let opened = Opened::of(load(&options.config)?)?;
    let outcome = opened.io.block_on(async {
        let (control, env) = (&opened.control, opened.control.env());
        let functions = opened.functions().await.map(Arc::new);
        let site = (control.clone(), opened.stores.clone());
        let mut sweeper = sweeper(site, fence::current()?, functions);
        let until = env.clock.monotonic() + Duration::from_secs(options.seconds);
        let swept = loop {
            let swept = sweeper.sweep().await.context("the state cannot be read")?;
            if swept.queries == 0 || env.clock.monotonic() + PAUSE > until {
                break swept;
            }
            env.clock.sleep(PAUSE).await;
        };
        // Gateways that are functions see by this that a schedule is on.
        control.put(keys::SWEPT, Default::default()).await?;
        anyhow::Ok(swept)
    });
    opened.end();
    let swept = outcome?;
    print(&format!(
        "{} active queries, {} tasks run, {} tasks wait for a worker\n",
        swept.queries, swept.running, swept.open
    ))
}
