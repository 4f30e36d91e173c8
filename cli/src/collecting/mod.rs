//! Collecting in a process: the objects that ended queries have left, and over a folder the files that are no objects.
//! Gateways over a folder do it by themselves, and `dunlin gc` by hand.

mod folder;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use dunlin_manifest::query::{Collected, collect, last_collected};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_plan::stores::Stores;
use dunlin_planner::gateway_config::GcConfig;

pub(crate) use self::folder::Staged;

/// The folders of a state, if it is in folders.
pub(crate) fn folders(stores: &Stores) -> Vec<PathBuf> {
    // The records may be in another place than the data, and on another kind of store.
    let places = [&stores.state, stores.control_location()];
    let folders = places.into_iter().filter(|place| place.store.scheme() == "file");
    let folders: BTreeSet<_> = folders.map(|place| format!("/{}", place.path)).collect();
    folders.into_iter().map(PathBuf::from).collect()
}

/// One pass over the objects and over the files that are no objects.
pub(crate) async fn pass(
    control: &ObjectControlStore,
    folders: &[PathBuf],
    config: &GcConfig,
    is_dry: bool,
) -> Result<(Collected, Staged)> {
    let collected =
        collect(control, &config.keep(), is_dry).await.context("the state cannot be read")?;
    let folders = folders.to_vec();
    let walked = tokio::task::spawn_blocking(move || {
        folders.iter().map(|folder| folder::tidy(folder, is_dry)).sum::<Staged>()
    });
    Ok((collected, walked.await?))
}

/// Collects again and again, beside a gateway. Of several gateways one does it each time.
pub(crate) async fn keep_collecting(
    control: ObjectControlStore,
    folders: Vec<PathBuf>,
    config: GcConfig,
) {
    if !config.enabled.unwrap_or(!folders.is_empty()) {
        return;
    }
    let (env, every) = (control.env().clone(), Duration::from_millis(config.every_ms.max(1_000)));
    loop {
        env.clock.sleep(env.jitter(every)).await;
        match last_collected(&control).await {
            Ok(Some(ago)) if ago < every / 2 => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the state could not be asked when it was last collected");
                continue;
            }
        }
        match pass(&control, &folders, &config, false).await {
            Ok((collected, staged)) => {
                let deleted = collected.deleted();
                if deleted.objects + staged.files > 0 {
                    tracing::info!(
                        objects = deleted.objects,
                        bytes = deleted.bytes,
                        staged = staged.files,
                        failed = collected.failed,
                        "what ended queries had left is deleted"
                    );
                }
            }
            Err(error) => tracing::warn!("what ended queries left is not deleted: {error:#}"),
        }
    }
}
