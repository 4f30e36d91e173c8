//! `dunlin replay`: the stages and tasks of a past query, and any of its tasks run again on this machine.

mod text;

use anyhow::{Context, Result, bail};
use dunlin_manifest::ids::{QueryId, StageId, TaskId};
use dunlin_manifest::query::{active, ended_before};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_process::ConfigOptions;
use dunlin_worker::{Outline, Replayed, Worker};
use tokio_util::sync::CancellationToken;

use crate::serve::{Opened, load};
use crate::stdout::print;

/// Characters of a whole id.
const WHOLE: usize = 36;
/// Ended queries among which the beginning of an id is looked for.
const SEARCHED: usize = 5_000;

/// `dunlin replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The query's id, or as much of its beginning as no other query has.
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Run the tasks of this stage again. Without it, the stages and tasks are listed.
    #[arg(long, value_name = "S")]
    pub stage: Option<StageId>,
    /// Run only this task.
    #[arg(long, value_name = "T", requires = "stage")]
    pub task: Option<TaskId>,
    /// Print JSON, one line for each task that was run.
    #[arg(long)]
    pub json: bool,
    /// Where the configuration is: that of the query's workers.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// Lists the tasks of a query, or runs some of them again.
///
/// # Errors
/// What the tasks read is not there, a task fails, or its rows are not those that were committed.
pub fn run(options: &Options) -> Result<()> {
    let opened = Opened::of(load(&options.config)?)?;
    let outcome = opened.io.block_on(replay(&opened, options));
    opened.end();
    outcome
}

async fn replay(opened: &Opened, options: &Options) -> Result<()> {
    let query = find(&opened.control, &options.query).await?;
    let (config, stores) = (&opened.config.worker, opened.stores.clone());
    let worker = Worker::new(
        opened.control.clone(),
        stores,
        dunlin_process::worker_options(config, &opened.stores, 1)?,
        CancellationToken::new(),
    )?;
    let outline = worker.outline(&query).await?;
    let Some(stage) = options.stage else {
        return print(&match options.json {
            true => format!("{:#}\n", text::outline_json(&outline)),
            false => text::outline(&outline),
        });
    };
    let mut wrong = 0;
    for task in tasks(&outline, stage, options.task)? {
        let replayed = worker.replay(&query, stage, task).await;
        let replayed = replayed.with_context(|| format!("task {task} of stage {stage}"))?;
        wrong += usize::from(!replayed.verdict.is_right());
        show(&replayed, options.json)?;
    }
    if wrong > 0 {
        bail!("{wrong} of the tasks computed other rows than were committed");
    }
    Ok(())
}

fn show(replayed: &Replayed, json: bool) -> Result<()> {
    print(&match json {
        true => format!("{}\n", text::replayed_json(replayed)),
        false => text::replayed(replayed),
    })
}

/// The tasks to run.
fn tasks(outline: &Outline, stage: StageId, task: Option<TaskId>) -> Result<Vec<TaskId>> {
    if let Some(task) = task {
        return Ok(vec![task]);
    }
    let found = outline.stages.iter().find(|known| known.stage == stage);
    let tasks: Vec<TaskId> =
        found.into_iter().flat_map(|stage| &stage.tasks).map(|task| task.task).collect();
    // What is wrong with such a stage is told by the one who tries it.
    Ok(if tasks.is_empty() { vec![0] } else { tasks })
}

/// The query whose id begins so.
pub(crate) async fn find(store: &ObjectControlStore, text: &str) -> Result<QueryId> {
    let text = text.to_ascii_lowercase();
    if let Some(query) = QueryId::parse(&text) {
        return Ok(query);
    }
    if text.len() >= WHOLE || text.is_empty() {
        bail!("{text:?} is no id of a query");
    }
    let mut found = active(store).await?;
    found.extend(ended_before(store, None, SEARCHED).await?);
    found.retain(|query| query.as_str().starts_with(&text));
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("no query of this state begins with {text}; give the whole id of an older one"),
        [one, other, ..] => bail!(
            "{} queries begin with {text}: {one}, {other} …; give more of the id",
            found.len()
        ),
    }
}
