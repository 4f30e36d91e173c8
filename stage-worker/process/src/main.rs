//! `dunlin-worker`: the stage worker of a container. It links no planner, no HTTP server and no catalog.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use dunlin_manifest::env::Env;
use dunlin_plan::worker_file::WorkerFile;
use dunlin_process::{ConfigOptions, Options, Start, alive, logging, report, runtime, tree, work};

/// The operators of several threads allocate and free all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "dunlin-worker",
    version,
    about = "Claims and runs tasks of queries. Listens on no port"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Exits 0 if a worker has touched its file lately: the health check of a container.
    Alive {
        /// What the worker was given as `--alive-file`.
        #[arg(long)]
        file: PathBuf,
        /// Seconds that may have passed since.
        #[arg(long, default_value_t = 60)]
        within: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dunlin-worker: {}", report::report(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let Arguments { command, options } = arguments;
    if let Some(Command::Alive { file, within }) = command {
        return alive::check(&file, Duration::from_secs(within));
    }
    logging::start();
    let io = runtime()?;
    let outcome = io.block_on(async {
        let file = read(&options.config).await?;
        if let Some(functions) = &file.functions {
            functions.check().map_err(anyhow::Error::msg)?;
        }
        let stores = file
            .open_stores(io.handle())
            .context("the stores of the configuration cannot be opened")?
            .hedged(Env::system());
        let WorkerFile { state, worker, functions, .. } = file;
        work(Start { state, stores, worker, functions, options }).await
    });
    // Plans that still run lose nothing: their tasks were given back, or other attempts will follow.
    dunlin_plan::threads::end(io);
    outcome
}

async fn read(config: &ConfigOptions) -> Result<WorkerFile> {
    Ok(tree(&config.sources()).await?.read()?)
}
