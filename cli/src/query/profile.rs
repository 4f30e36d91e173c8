//! `dunlin query profile`: the records of a query as one archive, for a report of a defect.
//!
//! ```text
//!   about.json  root.json  explain.txt  end.json  asked.json  objects.txt
//!   stages/0/  plan.txt  manifest.json  seal.json  winners.json  claims/  fails/  commits/
//! ```
//! It has no rows of tables: those that small tasks write into their commits are left out. Secrets that the configuration
//! knows are masked wherever they stand. It is read from the state itself, because a gateway does not give records away.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::displayable;
use dunlin_config::{Node, Tree};
use dunlin_manifest::ids::{QueryId, StageId};
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::query::{Blocks, QueryHandle};
use dunlin_manifest::store::{ControlStore, Listed, ObjectControlStore};
use dunlin_plan::redact::{MASK, know, redact};
use dunlin_plan::{fence, functions, wire};
use dunlin_planner::config::Config;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::options::ProfileOptions;
use crate::replay::find;
use crate::serve::{Opened, load};

/// Records that are read at the same time.
const READS: usize = 16;
/// Compression of the archive.
const LEVEL: i32 = 3;
/// Characters of an id that are in the name of the archive.
const SHORT: usize = 13;

/// The archive, as it is written.
type Archive = tar::Builder<zstd::Encoder<'static, File>>;

/// Writes the archive, and says where it is.
///
/// # Errors
/// No such query, a state that cannot be read, a file that cannot be written.
pub(super) fn run(options: &ProfileOptions) -> Result<()> {
    let opened = Opened::of(load(&options.config)?)?;
    // Those that it only names are known since they were resolved.
    credentials(&opened.tree).iter().for_each(|secret| know(secret));
    let outcome = opened.io.block_on(pack(&opened.control, options));
    opened.end();
    let (file, records) = outcome?;
    println!("{records} records in {}", file.display());
    Ok(())
}

/// The credentials that are written into the configuration itself: the values that are masked where it is printed.
fn credentials(tree: &Tree) -> Vec<String> {
    let masked = Config::settings(tree).into_iter();
    let masked = masked.filter(|setting| setting.value.as_deref() == Some(MASK));
    masked.filter_map(|setting| Some(at(tree.root(), &setting.name)?.text()?.to_owned())).collect()
}

/// The node at a path such as `gateway.keys[0].sha256`.
fn at<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('.').try_fold(root, |node, part| {
        let (key, numbers) = part.split_once('[').map_or((part, ""), |(key, rest)| (key, rest));
        let node = node.table()?.get(key.trim_matches(['"', '\'']))?;
        let numbers = numbers.split(['[', ']']).filter(|number| !number.is_empty());
        numbers
            .into_iter()
            .try_fold(node, |node, number| node.list()?.get(number.parse::<usize>().ok()?))
    })
}

async fn pack(store: &ObjectControlStore, options: &ProfileOptions) -> Result<(PathBuf, usize)> {
    let query = find(store, &options.of.id).await?;
    let usual = || format!("dunlin-{}.tar.zst", query.as_str().get(..SHORT).unwrap_or("query"));
    let file = options.output.clone().unwrap_or_else(|| usual().into());
    // It appears when it is complete.
    let part = file.with_extension("part");
    let written = async {
        let out = File::create(&part)?;
        let archive = Archive::new(zstd::Encoder::new(out, LEVEL)?);
        let mut profile =
            Profile { archive, now_s: now_s(store), with_sql: !options.no_sql, files: 0 };
        profile.records(store, &query).await?;
        profile.archive.into_inner()?.finish()?.sync_all()?;
        std::fs::rename(&part, &file)?;
        Ok::<_, anyhow::Error>(profile.files)
    };
    let written = written.await;
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    let files = written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok((file, files))
}

fn now_s(store: &ObjectControlStore) -> u64 {
    store.env().clock.wall_ms() / 1_000
}

struct Profile {
    archive: Archive,
    now_s: u64,
    /// Whether what shows the statement is in it.
    with_sql: bool,
    files: usize,
}

/// A record without rows of tables and without what only whoever runs the query needs.
fn masked(mut record: Value, with_sql: bool) -> Value {
    fn walk(value: &mut Value, with_sql: bool) {
        match value {
            Value::Object(map) => {
                for (name, value) in map.iter_mut() {
                    let left_out = match (name.as_str(), &*value) {
                        ("inline", Value::String(text)) if !text.is_empty() => {
                            Some(format!("(rows left out: {} characters)", text.len()))
                        }
                        ("sql" | "explain", Value::String(_)) if !with_sql => {
                            Some("(left out: --no-sql)".to_owned())
                        }
                        ("code", Value::String(text)) if text.len() >= 32 => {
                            Some("(left out)".to_owned())
                        }
                        _ => None,
                    };
                    match left_out {
                        Some(text) => *value = Value::String(text),
                        None => walk(value, with_sql),
                    }
                }
                // They hold constants of the statement, and may hold rows. Their text is a file of its own.
                map.remove("plans");
            }
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, with_sql)),
            _ => {}
        }
    }
    walk(&mut record, with_sql);
    record
}

impl Profile {
    fn file(&mut self, name: &str, text: &str) -> Result<()> {
        let text = redact(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(self.now_s);
        header.set_cksum();
        self.archive.append_data(&mut header, Path::new(name), text.as_bytes())?;
        self.files += 1;
        Ok(())
    }

    fn json(&mut self, name: &str, value: Value) -> Result<()> {
        let value = masked(value, self.with_sql);
        self.file(name, &format!("{value:#}\n"))
    }

    /// A record as it is stored. One that is not there is left out.
    async fn stored(&mut self, store: &ObjectControlStore, name: &str, key: &str) -> Result<()> {
        let Some(got) = store.get(key).await? else { return Ok(()) };
        match serde_json::from_slice(&got.body) {
            Ok(value) => self.json(name, value),
            Err(error) => self.file(&format!("{name}.unreadable"), &format!("{key}: {error}\n")),
        }
    }

    async fn records(&mut self, store: &ObjectControlStore, query: &QueryId) -> Result<()> {
        let fence = fence::current()?;
        let mut listed = store.list(&keys::query_prefix(query)).await?;
        let end = store.get(&keys::end(query)).await?;
        if listed.is_empty() && end.is_none() {
            return Err(anyhow!(
                "there is no query {query} in this state: it was never written, or its records are deleted"
            ));
        }
        self.json(
            "about.json",
            json!({
                "query_id": query.as_str(),
                "dunlin": env!("CARGO_PKG_VERSION"),
                "engine": fence.engine,
                "build": fence.build,
                "made_unix_s": self.now_s,
                "statement": if self.with_sql { "kept" } else { "left out" },
                "rows": "left out",
            }),
        )?;
        self.stored(store, "end.json", &keys::end(query)).await?;
        self.stored(store, "asked.json", &keys::asked(query)).await?;
        self.stored(store, "root.json", &keys::root(query)).await?;
        match QueryHandle::open(store.clone(), query, &fence).await {
            Ok(Some(handle)) => {
                if self.with_sql {
                    self.file("explain.txt", &handle.root.explain)?;
                }
                for at in 0..handle.root.stages.len() {
                    listed.extend(self.stage(&handle, at).await?);
                }
            }
            Ok(None) => {}
            Err(error) => self.file("root.unreadable", &format!("{error}\n"))?,
        }
        listed.extend(store.list(&keys::beats_of_query(query)).await?);
        let line =
            |entry: &Listed| format!("{}\t{}\t{}\n", entry.modified_ms, entry.size, entry.key);
        let head = "stamp (ms by the store's clock)\tbytes\tkey\n".to_owned();
        self.file("objects.txt", &listed.iter().map(line).fold(head, |all, one| all + &one))
    }

    /// The records of a stage. Returns what was listed of it.
    async fn stage(&mut self, handle: &QueryHandle, at: usize) -> Result<Vec<Listed>> {
        let spec = &handle.root.stages[at];
        let (store, query) = (handle.store(), &handle.query);
        let folder = format!("stages/{}", spec.id);
        let seal = keys::seal(query, spec.id);
        self.stored(store, &format!("{folder}/seal.json"), &seal).await?;
        let sealed = handle.seal(spec.id).await.ok().flatten();
        let decided = handle.manifest(spec.id).await.ok().flatten();
        let mut tasks = decided.as_ref().map_or(0, |decided| decided.manifest.tasks.len());
        if let Some(decided) = &decided {
            let manifest = serde_json::to_value(&decided.manifest)?;
            self.json(&format!("{folder}/manifest.json"), manifest)?;
        }
        if let Some(sealed) = &sealed {
            tasks = tasks.max(usize::try_from(sealed.seal.totals().tasks).unwrap_or(0));
            if let Some(blocks) = Blocks::of(store, query, &sealed.seal) {
                let winners = blocks.winners().await?;
                self.json(&format!("{folder}/winners.json"), serde_json::to_value(winners)?)?;
            }
        }
        if self.with_sql {
            let is_broadcast = decided.is_some_and(|decided| decided.manifest.broadcast);
            let spec = spec.decided(is_broadcast);
            let text = match handle.plan(&spec.plan).await {
                Ok(bytes) => plan_text(handle, &bytes),
                Err(error) => format!("the plan cannot be read: {error}\n"),
            };
            self.file(&format!("{folder}/plan.txt"), &text)?;
        }
        let last = u32::try_from(tasks.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut listed = Vec::new();
        for group in 0..=keys::group_of(last) {
            listed.extend(store.list(&keys::group_prefix(query, spec.id, group)).await?);
        }
        let named: Vec<(String, String)> =
            listed.iter().filter_map(|entry| name(&folder, spec.id, &entry.key)).collect();
        let mut read = stream::iter(named)
            .map(|(name, key)| async move { (name, store.get(&key).await, key) })
            .buffered(READS);
        while let Some((name, got, key)) = read.next().await {
            let Some(got) = got? else { continue };
            match serde_json::from_slice(&got.body) {
                Ok(value) => self.json(&name, value)?,
                Err(error) => self.file(&name, &format!("{key} is unreadable: {error}\n"))?,
            }
        }
        Ok(listed)
    }
}

/// What the record with this key is called in the archive.
fn name(folder: &str, stage: StageId, key: &str) -> Option<(String, String)> {
    let (of, name) = match keys::parse(key)?.1 {
        Key::Claim(of, task, attempt) => (of, format!("claims/{task}.{attempt}.json")),
        Key::Fail(of, task, attempt) => (of, format!("fails/{task}.{attempt}.json")),
        Key::Commit(of, task) => (of, format!("commits/{task}.json")),
        _ => return None,
    };
    (of == stage).then(|| (format!("{folder}/{name}"), key.to_owned()))
}

/// A plan as text. Only the build that wrote it reads it.
fn plan_text(handle: &QueryHandle, bytes: &[u8]) -> String {
    if !handle.is_own() {
        return format!(
            "the plan is of another build ({}); explain.txt has it in short\n",
            handle.root.engine.build
        );
    }
    let decoded = dunlin_plan::session::config(&handle.root.session)
        .map_err(|error| error.to_string())
        .and_then(|config| {
            let state = functions::session();
            let context = TaskContext::from(&state).with_session_config(config);
            wire::decode(bytes, None, &context).map_err(|error| error.to_string())
        });
    match decoded {
        Ok(plan) => displayable(plan.as_ref()).indent(true).to_string(),
        Err(error) => format!("the plan cannot be read: {error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_the_configuration_are_found_by_their_paths() {
        let text = "[state]\nlocation = \"memory://\"\n[state.params]\ns3_secret = \"literal-secret\"\ns3_key = \"${secrets:KEY}\"\n[[gateway.keys]]\nname = \"ci\"\nsha256 = \"ba7816bf\"\n";
        let environment = [("KEY", "resolved")].into_iter().collect();
        let tree = Tree::new(Some(("dunlin.toml", text)), &[], environment);
        let mut found = credentials(&tree.unwrap_or_else(|error| panic!("{error}")));
        found.sort();
        assert_eq!(found, ["ba7816bf", "literal-secret"]);
    }

    #[test]
    fn rows_are_left_out_everywhere_and_the_statement_where_that_is_wanted() {
        let record = json!({
            "sql": "select 'x'",
            "plans": {"a": "AAAA"},
            "code": "0123456789abcdef0123456789abcdef",
            "error": {"code": "EXECUTION_FAILED"},
            "answer": {"tasks": [{"output": {"inline": "cm93cw==", "rows": 1}}, {"output": {"inline": ""}}]},
        });
        let kept = masked(record.clone(), true);
        assert_eq!(kept["sql"], "select 'x'");
        assert_eq!(kept["error"]["code"], "EXECUTION_FAILED");
        assert_eq!(kept["code"], "(left out)");
        assert_eq!(
            kept["answer"]["tasks"][0]["output"],
            json!({"inline": "(rows left out: 8 characters)", "rows": 1})
        );
        assert_eq!(kept["answer"]["tasks"][1]["output"]["inline"], "");
        assert_eq!(kept.get("plans"), None);
        assert_eq!(masked(record, false)["sql"], "(left out: --no-sql)");
    }
}
