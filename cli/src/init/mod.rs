//! `dunlin init`: writes a configuration from what lies in a folder or bucket.
//!
//! ```text
//!   location ─ list ─> guess ─ look into the text of one file ─ open each table ─> dunlin.toml, with the columns as comments
//! ```
//! It only reads, but for the one file that it writes. What cannot be opened is written as a comment, with the reason.

mod guess;
mod text;

use std::fmt::Write;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use dunlin_manifest::env::Env;
use dunlin_plan::location::Location;
use dunlin_plan::words;
use dunlin_plan::write::below_raw;
use dunlin_planner::Planner;
use dunlin_planner::config::{Config, Format};
use dunlin_process::report;
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use crate::init::guess::{Guess, Guesses, tables};
use crate::init::text::{SAMPLE, Style, style};
use crate::validate;

/// Files that are looked at. Nobody corrects a guess of more by hand.
const MOST_FILES: usize = 100_000;

/// `dunlin init`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder or bucket with the files: a path, `s3://bucket/prefix/`, `gs://…` or `az://…`; or one file.
    #[arg(default_value = ".")]
    pub location: String,
    /// File to write; `-` prints it.
    #[arg(long, short, default_value = "dunlin.toml")]
    pub output: String,
    /// Where the state will be: a folder, or `s3://bucket/prefix`.
    #[arg(long, default_value = ".dunlin/state")]
    pub state: String,
    /// How to reach the store, as in `[tables.params]`: `s3_endpoint=http://127.0.0.1:9000`. May be given more than once.
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
}

/// Looks, and writes the configuration.
///
/// # Errors
/// Nothing to look at, a store that cannot be read, or a file that is there already.
pub fn run(options: &Options) -> Result<()> {
    let to_file = options.output != "-";
    if to_file && !options.force && std::path::Path::new(&options.output).exists() {
        bail!(
            "{} exists; give another name with --output, or replace it with --force",
            options.output
        );
    }
    let params = params(&options.params)?;
    let io = dunlin_process::runtime()?;
    let outcome = io.block_on(Box::pin(look(options, &params, io.handle())));
    dunlin_plan::threads::end(io);
    let Looked { text, told } = outcome?;
    if !to_file {
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    }
    std::fs::write(&options.output, text)
        .with_context(|| format!("{} cannot be written", options.output))?;
    println!("{}: {told}", options.output);
    println!("\nNext:");
    println!("  dunlin sql --config {}         a shell with these tables", options.output);
    println!("  dunlin run --config {}         a gateway with workers", options.output);
    Ok(())
}

/// `KEY=VALUE`s as the lines of a TOML section.
fn params(given: &[String]) -> Result<String> {
    let mut lines = String::new();
    for param in given {
        let (key, value) =
            param.split_once('=').with_context(|| format!("--param {param} is not KEY=VALUE"))?;
        let is_secret = ["secret", "token", "password"].iter().any(|word| key.contains(word));
        if is_secret && !value.starts_with("${secrets:") {
            bail!(
                "--param {key} would write a secret into the file: give it in the environment (AWS_SECRET_ACCESS_KEY), or as ${{secrets:NAME}}"
            );
        }
        let is_plain = matches!(value, "true" | "false");
        let value = if is_plain { value.to_owned() } else { quoted(value) };
        let _ = writeln!(lines, "{key} = {value}");
    }
    Ok(lines)
}

/// A text as TOML has it, which takes every string of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Looked {
    text: String,
    told: String,
}

/// A table, and what it is when it is opened.
struct Opened {
    guess: Guess,
    locations: Vec<String>,
    style: Style,
    about: Result<String>,
}

async fn look(options: &Options, params: &str, io: &tokio::runtime::Handle) -> Result<Looked> {
    let is_file = Format::of(&options.location).is_some();
    let at = Location::parse(&options.location)?;
    if at.pattern.is_some() {
        bail!("{} is a pattern; name the folder that the files are in", options.location);
    }
    let base = match options.location.as_str() {
        // Paths without `./` read better, and mean the same.
        "." | "./" => String::new(),
        location if is_file || location.ends_with('/') => location.to_owned(),
        location => format!("{location}/"),
    };
    let mut is_cut = false;
    let mut found = if is_file {
        let path = at.path.filename().unwrap_or_default().to_owned();
        Guesses { tables: tables(&[(path, 1)], "files").tables, left: 0 }
    } else {
        let files = Reach::of(&base, params, io)?.list().await?;
        is_cut = files.len() >= MOST_FILES;
        tables(&files, at.path.filename().or(at.store.host_str()).unwrap_or("files"))
    };
    if found.tables.is_empty() {
        bail!(
            "{} has no file whose name ends in .parquet, .csv, .tsv, .json, .jsonl, .arrow or .avro{}",
            options.location,
            if found.left > 0 { format!(", but {} others", found.left) } else { String::new() }
        );
    }
    let location = |place: &String| match format!("{base}{place}") {
        _ if is_file => base.clone(),
        whole if whole.is_empty() => "./".to_owned(),
        location => location,
    };
    let reach = Reach::of(if is_file { &options.location } else { &base }, params, io)?;
    let mut guesses = Vec::new();
    for guess in std::mem::take(&mut found.tables) {
        let locations: Vec<String> = guess.places.iter().map(location).collect();
        let sample = if is_file { "" } else { guess.sample.as_str() };
        // A file that cannot be read is told where its table is opened.
        let style = reach.style(sample, guess.format).await.unwrap_or_default();
        guesses.push((guess, locations, style));
    }
    let opened = Box::pin(open(guesses, params, io)).await?;
    let text = written(options, params, &opened);
    // What is written must be what is read.
    Config::parse(&text).context("the configuration that was made is wrong; please report this")?;
    let mut told = told(&opened, &options.location, found.left);
    if is_cut {
        let _ = write!(told, "\n  only the first {MOST_FILES} files were looked at");
    }
    Ok(Looked { text, told })
}

/// What is looked at: a folder, or one file.
struct Reach {
    store: Arc<dyn ObjectStore>,
    at: Location,
    base: String,
}

impl Reach {
    fn of(base: &str, params: &str, io: &tokio::runtime::Handle) -> Result<Self> {
        let base = if base.is_empty() { "./" } else { base };
        let only = table("files", &[base.to_owned()], None, Style::default(), params);
        let text = format!("{NO_STATE}{only}");
        let stores = Config::parse(&text)?.open_stores(io)?.hedged(Env::system());
        let at = Location::parse(base)?;
        let store = stores.get(&at.address()).context("no parameters reach its store")?;
        Ok(Self { store, at, base: base.to_owned() })
    }

    /// The files below a folder, by their path there, with their sizes.
    async fn list(&self) -> Result<Vec<(String, u64)>> {
        let Self { store, at, base } = self;
        let files: Vec<ObjectMeta> = store
            .list(Some(&at.path))
            .take(MOST_FILES)
            .try_collect()
            .await
            .with_context(|| format!("{base} cannot be listed"))?;
        let below = |file: &ObjectMeta| {
            let parts = file.location.prefix_match(&at.path)?;
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some((parts.join("/"), file.size))
        };
        Ok(files.iter().filter_map(below).collect())
    }

    /// How the text of a file below the folder is written, or of the one file.
    async fn style(&self, file: &str, format: Format) -> Result<Style> {
        if !format.is_text() {
            return Ok(Style::default());
        }
        let path = match file {
            "" => self.at.path.clone(),
            file => below_raw(&self.at.path, file),
        };
        let options =
            GetOptions { range: Some(GetRange::Bounded(0..SAMPLE)), ..GetOptions::default() };
        let found = self.store.get_opts(&path, options).await?;
        let is_whole = found.meta.size <= SAMPLE;
        let bytes = found.bytes().await?;
        Ok(style(path.filename().unwrap_or_default(), format, &bytes, is_whole))
    }
}

/// Opens the tables. What they have is said as `dunlin validate` says it.
async fn open(
    guesses: Vec<(Guess, Vec<String>, Style)>,
    params: &str,
    io: &tokio::runtime::Handle,
) -> Result<Vec<Opened>> {
    let mut text = NO_STATE.to_owned();
    for (guess, locations, style) in &guesses {
        text += &section(guess, locations, *style, params);
    }
    let config = Config::parse(&text)?;
    let stores = config.open_stores(io)?.hedged(Env::system());
    let planner = Planner::open(&config, &stores)?;
    let mut opened = Vec::new();
    for (guess, locations, style) in guesses {
        let about = validate::open(&planner, &guess.name).await.map(|about| plain(&about));
        opened.push(Opened { guess, locations, style, about });
    }
    Ok(opened)
}

/// The state of a process that only looks.
const NO_STATE: &str = "[state]\nlocation = \"memory://\"\n";

/// A text for a comment: names of columns may hold anything, and a new line would end the comment.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The sections before the tables.
fn head(options: &Options, params: &str) -> String {
    let mut text = format!("[state]\nlocation = {}\n", quoted(&options.state));
    if options.state.contains("://") && !params.is_empty() {
        let _ = write!(text, "[state.params]\n{params}");
    }
    text
}

fn section(guess: &Guess, locations: &[String], style: Style, params: &str) -> String {
    table(&guess.name, locations, guess.says_format.then_some(guess.format), style, params)
}

fn table(
    name: &str,
    locations: &[String],
    format: Option<Format>,
    style: Style,
    params: &str,
) -> String {
    let location = match locations {
        [one] => quoted(one),
        all => serde_json::Value::from(all).to_string(),
    };
    let mut section = format!("[[tables]]\nname = {}\nlocation = {location}\n", quoted(name));
    if let Some(format) = format {
        let _ = writeln!(section, "format = {}", quoted(format.name()));
    }
    section += &text::lines(style);
    if !params.is_empty() {
        let _ = write!(section, "[tables.params]\n{params}");
    }
    section
}

/// The whole file.
fn written(options: &Options, params: &str, opened: &[Opened]) -> String {
    let mut text = format!(
        "# Made by `dunlin init {}`. docs/configuration.md has every key; `dunlin validate` checks this file.\n\n# Where queries, exchanged rows and answers are: a folder on this machine, or s3://bucket/prefix for several machines.\n{}",
        plain(&options.location),
        head(options, params)
    );
    for Opened { guess, locations, style, about } in opened {
        let section = section(guess, locations, *style, params);
        match about {
            Ok(about) => {
                let _ = write!(text, "\n# {}: {about}\n{section}", guess.format.name());
            }
            Err(error) => {
                let lines: String = section.lines().map(|line| format!("# {line}\n")).collect();
                let _ = write!(
                    text,
                    "\n# This table cannot be read as it is: {}\n{lines}",
                    plain(&report::report(error))
                );
            }
        }
    }
    text.push_str(TAIL);
    text
}

/// What many change, with its defaults.
const TAIL: &str = r#"
# Statements may name files that are no table: FROM 's3://bucket/path/*.parquet'; with local = true also FROM 'a.csv'.
# [files]
# enabled = true

# Where COPY, INSERT and CREATE TABLE AS may write.
# [[writing]]
# location = "written/"

# What one worker process may use.
# [worker]
# memory_bytes = 3221225472
# spill_dir = "/tmp"

# A query ends when it is older, or would read or cost more.
# [limits]
# ttl_ms = 43200000
# max_bytes_scanned = 1000000000000
# max_cost_usd = 1.0
"#;

/// The summary for the terminal.
fn told(opened: &[Opened], base: &str, left: usize) -> String {
    let mut text = format!("{} from {base}", counted(opened.len(), "table"));
    if left > 0 {
        let _ = write!(text, "; {} left out: the name says no format", counted(left, "file"));
    }
    for Opened { guess, about, .. } in opened {
        let size = words::bytes(guess.bytes);
        let files = format!("{}, {}", guess.format.name(), counted(guess.files, "file"));
        let _ = match about {
            Ok(_) => write!(text, "\n  {}: {files}, {size}", guess.name),
            Err(error) => {
                write!(text, "\n  {}: left as a comment: {}", guess.name, report::report(error))
            }
        };
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
