//! `dunlin sweep`: looks after all active queries for a while, as a gateway does all the time. For a schedule (cron, a
//! Kubernetes CronJob) where no gateway runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use dunlin_invoke::sweep::sweeper;
use dunlin_manifest::env::Env;
use dunlin_manifest::keys;
use dunlin_manifest::store::ControlStore;
use dunlin_plan::fence;
use dunlin_process::ConfigOptions;

use crate::serve::load;

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
    let config = load(&options.config)?.config;
    let io = dunlin_process::runtime()?;
    let outcome = io.block_on(async {
        let env = Env::system();
        let stores = config.open_stores(io.handle())?.hedged(env.clone());
        let control = stores.control(env.clone());
        let functions = match &config.functions {
            Some(functions) => {
                Some(Arc::new(dunlin_process::functions(functions, env.clone()).await))
            }
            None => None,
        };
        let mut sweeper = sweeper((control.clone(), stores), fence::current()?, functions);
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
    io.shutdown_background();
    let swept = outcome?;
    println!(
        "{} active queries, {} tasks run, {} tasks wait for a worker",
        swept.queries, swept.running, swept.open
    );
    Ok(())
}
