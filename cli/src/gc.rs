//! `dunlin gc`: deletes what ended queries have left in the state. Gateways over a folder do it by themselves.

use anyhow::{Result, bail};
use dunlin_manifest::query::{Collected, Sum};
use dunlin_process::ConfigOptions;
use serde_json::{Value, json};

use crate::collecting::{Staged, folders, pass};
use crate::serve::{Opened, load};
use crate::stdout::print;

/// `dunlin gc`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the configuration is. `[gateway.gc]` says how long objects stay.
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Delete nothing: tell what would be deleted.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Deletes what may be deleted, and prints what that was.
///
/// # Errors
/// The state cannot be read, or something could not be deleted.
pub fn run(options: &Options) -> Result<()> {
    let opened = Opened::of(load(&options.config)?)?;
    let (folders, gc) = (folders(&opened.stores), opened.config.gateway.gc);
    let outcome = opened.io.block_on(pass(&opened.control, &folders, &gc, options.dry_run));
    opened.end();
    let (collected, staged) = outcome?;
    print(&match options.json {
        true => format!("{:#}\n", as_json(&collected, staged)),
        false => as_text(&collected, staged, options.dry_run),
    })?;
    if collected.failed > 0 {
        bail!(
            "{} objects could not be deleted: this process needs the right to delete below the state, see docs/security.md",
            collected.failed
        );
    }
    Ok(())
}

fn as_json(collected: &Collected, staged: Staged) -> Value {
    let sum = |sum: Sum| json!({ "objects": sum.objects, "bytes": sum.bytes });
    let kinds: serde_json::Map<String, Value> = collected
        .kinds
        .iter()
        .map(|(kind, found)| {
            let of = json!({
                "deleted": sum(found.deleted),
                "orphans": sum(found.orphans),
                "living": sum(found.living),
                "waiting": sum(found.waiting),
            });
            ((*kind).to_owned(), of)
        })
        .collect();
    json!({
        "queries": { "ended": collected.ended, "living": collected.living },
        "kinds": kinds,
        "staged_files": { "files": staged.files, "bytes": staged.bytes },
        "put_back": collected.put_back,
        "failed": collected.failed,
    })
}

fn as_text(collected: &Collected, staged: Staged, is_dry: bool) -> String {
    let done = if is_dry { "to delete" } else { "deleted" };
    let mut text = format!(
        "{} queries have ended, {} have not\n{:<18}{:>22}{:>14}{:>22}{:>22}\n",
        collected.ended,
        collected.living,
        "",
        done,
        "of them orphans",
        "of living queries",
        "not old enough"
    );
    let sum = |sum: Sum| format!("{} ({} B)", sum.objects, sum.bytes);
    for (kind, found) in &collected.kinds {
        text += &format!(
            "{kind:<18}{:>22}{:>15}{:>22}{:>22}\n",
            sum(found.deleted),
            found.orphans.objects,
            sum(found.living),
            sum(found.waiting)
        );
    }
    if staged.files > 0 {
        text += &format!("files that were never finished: {} ({} B)\n", staged.files, staged.bytes);
    }
    if collected.put_back > 0 {
        text += &format!("hints put back: {}\n", collected.put_back);
    }
    text
}
