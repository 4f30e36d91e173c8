//! `dunlin validate`: whether a configuration can be used, before a gateway is started with it.

use anyhow::{Context, Result, bail};
use dunlin_gateway::DoorOptions;
use dunlin_gateway::auth::OidcOptions;
use dunlin_manifest::env::Env;
use dunlin_manifest::keys;
use dunlin_manifest::store::ControlStore;
use dunlin_plan::location::Location;
use dunlin_plan::stores::Stores;
use dunlin_plan::words::sql_type;
use dunlin_planner::config::Config;
use dunlin_planner::cost::Tariff;
use dunlin_planner::{Planner, QuerySettings, RouteMode};
use dunlin_process::{ConfigOptions, report};

use crate::door;
use crate::serve::load;

/// Columns that are shown of a table.
const SHOWN: usize = 12;

/// `dunlin validate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Open no table: check only what is written, and whether the state can be reached.
    #[arg(long)]
    pub no_tables: bool,
}

/// Checks everything that a gateway would, and prints a line for each part. It writes nothing.
///
/// # Errors
/// Something cannot be used. All of it was printed.
pub fn run(options: &Options) -> Result<()> {
    let config = load(&options.config)?.config;
    println!("configuration: its keys and values are right");
    let door = door::options(&config.gateway, true)?;
    keys_of(&door)?;
    door::inline_limits(&config.gateway.inline, config.worker.memory_bytes)?;
    Tariff::open(&config.prices, None).context("[prices] cannot be used")?;
    let io = dunlin_process::runtime()?;
    let issuer = door.oidc.clone();
    let outcome = io.block_on(Box::pin(async {
        let wrong = check(&config, io.handle(), !options.no_tables).await?;
        Ok::<_, anyhow::Error>(wrong + asked(issuer).await)
    }));
    dunlin_plan::threads::end(io);
    let wrong = outcome?;
    if wrong > 0 {
        bail!("{wrong} of the parts above cannot be used");
    }
    Ok(())
}

/// Keys and certificates, without an address to listen on.
fn keys_of(door: &DoorOptions) -> Result<()> {
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(door.check(loopback)?)
}

/// Asks the issuer of tokens for its keys, if there is one. Returns how many cannot be used: none or one.
async fn asked(issuer: Option<OidcOptions>) -> usize {
    let Some(issuer) = issuer else { return 0 };
    let name = &issuer.issuer;
    match issuer.count_keys(Env::system().clock.as_ref()).await {
        Ok(0) => println!("issuer: {name}: ERROR: it publishes no key that can be used"),
        Ok(count) => {
            println!("issuer: {name} publishes {}", counted(count as u64, "key"));
            return 0;
        }
        Err(error) => println!("issuer: {name}: ERROR: {}", report::report(&error.into())),
    }
    1
}

/// Opens the stores and the tables. Returns how many cannot be used.
async fn check(config: &Config, io: &tokio::runtime::Handle, tables: bool) -> Result<usize> {
    let stores = config.open_stores(io)?.hedged(Env::system());
    let mut wrong = 0;
    let control = stores.control(Env::system());
    let location = &config.state.location;
    match control.get(keys::BELL).await {
        Ok(_) => println!("state: {location} can be read"),
        Err(error) => {
            println!("state: {location}: ERROR: {}", report::report(&error.into()));
            wrong += 1;
        }
    }
    if !tables {
        println!("tables: {}, not opened", config.tables.len());
        return Ok(wrong);
    }
    // A planner makes the folder for spills, and this command writes nothing.
    let mut without_spills = config.clone();
    without_spills.worker.spill_dir = None;
    let planner = Planner::open(&without_spills, &stores)?;
    for table in &config.tables {
        let opened = Box::pin(open(&planner, &table.name)).await;
        match opened {
            Ok(about) => println!("table {}: {}, {about}", table.name, table.format().name()),
            Err(error) => {
                println!("table {}: ERROR: {}", table.name, report::report(&error));
                wrong += 1;
            }
        }
    }
    for place in &config.writing {
        match listed(&place.location, &stores).await {
            Ok(()) => println!("writing: {} can be listed", place.location),
            Err(error) => {
                println!("writing: {}: ERROR: {}", place.location, report::report(&error));
                wrong += 1;
            }
        }
    }
    Ok(wrong)
}

/// Looks into a place that may be written to. Nothing is written there.
async fn listed(place: &str, stores: &Stores) -> Result<()> {
    let at = Location::parse(place)?;
    let store = stores.get(&at.address()).context("no parameters reach its store")?;
    store.list_with_delimiter(Some(&at.path)).await?;
    Ok(())
}

/// What a query over the whole table would read.
pub(crate) async fn open(planner: &Planner, table: &str) -> Result<String> {
    let name = table.to_lowercase().replace('"', "\"\"");
    let statement = planner.parse(&format!("SELECT * FROM \"{name}\""))?;
    let settings = QuerySettings { route: Some(RouteMode::Inline), ..QuerySettings::default() };
    let planned = planner.plan(&statement, &[], &settings).await?;
    let files = planned.inputs();
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    let fields = planned.schema.fields();
    let shown = fields.iter().take(SHOWN);
    let mut columns: Vec<String> =
        shown.map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect();
    if fields.len() > SHOWN {
        columns.push(format!("and {} more", fields.len() - SHOWN));
    }
    Ok(format!(
        "{}, {}, {}: {}",
        counted(files.len() as u64, "file"),
        counted(bytes, "byte"),
        counted(fields.len() as u64, "column"),
        columns.join(", ")
    ))
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
