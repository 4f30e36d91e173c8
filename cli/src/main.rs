//! The `dunlin` command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use dunlin_cli::{
    config, demo, doctor, gc, health, help, init, key, own, pki, query, record, replay, serve, sql,
    sweep, tpch, validate,
};
use dunlin_process::ConfigOptions;

/// The operators of several threads allocate and free all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "dunlin",
    version,
    about = "SQL over files in an object store, with nothing running between queries"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP query API: plan queries and write them to the state store.
    Gateway {
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigOptions,
        /// Where it listens.
        #[command(flatten)]
        listen: serve::Listen,
    },
    /// Claim and run tasks. Listens on no port.
    Worker(dunlin_process::Options),
    /// Gateway and workers in one process.
    Run {
        /// Where the configuration is.
        #[command(flatten)]
        config: ConfigOptions,
        /// Worker threads.
        #[arg(long, default_value_t = 2)]
        workers: usize,
        /// Where it listens.
        #[command(flatten)]
        listen: serve::Listen,
    },
    /// Look into a folder or bucket, and write a commented configuration with its tables.
    Init(init::Options),
    /// Check a configuration and open its stores and tables, and exit 0 or 1.
    Validate(validate::Options),
    /// Print the configuration in effect, or its schema.
    #[command(subcommand)]
    Config(config::Command),
    /// Ask a gateway whether it is ready, and exit 0 or 1: the health check of a container.
    Health(health::Options),
    /// Make API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Make certificates for development.
    #[command(subcommand)]
    Tls(pki::Command),
    /// Run statements, at a gateway or in this process; without one, a shell.
    Sql(sql::Options),
    /// Find queries of a gateway again: list, status, results, cancel, attach, analyze; pack their records: profile.
    #[command(subcommand)]
    Query(query::Command),
    /// List the stages and tasks of a past query, and run tasks again on this machine: how fast, and with the same rows?
    Replay(replay::Options),
    /// Look after all active queries for a while: for a schedule, where no gateway runs.
    Sweep(sweep::Options),
    /// Delete what ended queries have left in the state.
    Gc(gc::Options),
    /// Try the store of the state: whether it can coordinate queries, how fast it is, and what to do.
    Doctor(doctor::Options),
    /// Print a stored record as text.
    Record(record::Options),
    /// Write TPC-H tables as Parquet files.
    Tpch {
        /// Scale factor: 1 is about 1 GB of raw data.
        #[arg(long, default_value_t = 0.1)]
        scale: f64,
        /// Files of each table.
        #[arg(long, default_value_t = 8)]
        files: usize,
        /// Folder to write to.
        #[arg(long, required_unless_present = "query")]
        output: Option<PathBuf>,
        /// Print a query of TPC-H, 1 to 22, and write nothing.
        #[arg(long)]
        query: Option<usize>,
    },
    /// Make TPC-H data, start a gateway and two workers over a folder, and run TPC-H through the exchange.
    Demo(demo::Options),
    /// Print completions for a shell: `source <(dunlin completions bash)`.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: help::Shell,
    },
    /// Write manual pages.
    Man {
        /// Folder to write to.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dunlin: {}", dunlin_process::report::report(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let outcome = match command {
        // These two say themselves what went wrong, and know more exit codes.
        Command::Sql(options) => return Ok(sql::run(&options)),
        Command::Query(command) => return Ok(query::run(&command)),
        Command::Gateway { config, listen } => serve::gateway(&config, &listen),
        Command::Worker(options) => {
            own::follow_parent();
            serve::worker(options)
        }
        Command::Health(options) => health::run(&options),
        Command::Run { config, workers, listen } => serve::run(&config, workers, &listen),
        Command::Init(options) => init::run(&options),
        Command::Validate(options) => validate::run(&options),
        Command::Config(command) => config::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Tls(command) => pki::run(&command),
        Command::Completions { shell } => help::completions(shell, Arguments::command()),
        Command::Man { folder } => help::man(&folder, Arguments::command()),
        Command::Replay(options) => replay::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Gc(options) => gc::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Record(options) => record::run(&options),
        Command::Tpch { query: Some(query), .. } => {
            println!("{}", tpch::query(query)?);
            Ok(())
        }
        Command::Tpch { scale, files, output, query: None } => {
            let output = output.unwrap_or_default();
            anyhow::ensure!(scale > 0.0, "--scale must be positive");
            anyhow::ensure!(files > 0, "--files must be at least 1");
            let bytes = tpch::generate(&output, scale, files)?;
            println!(
                "{} tables, {files} files each, {bytes} bytes in {}",
                tpch::TABLES.len(),
                output.display()
            );
            Ok(())
        }
        Command::Demo(options) => demo::run(&options),
    };
    outcome.map(|()| ExitCode::SUCCESS)
}
