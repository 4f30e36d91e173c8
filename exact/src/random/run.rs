//! A run of random queries: it generates them by seed and number, evaluates them, makes failing queries smaller, and
//! reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;

use crate::random::ast::{Query, Type};
use crate::random::evaluate::{self, Set, Verdict, Way, cause, evaluate};
use crate::random::generator::{Generator, Tests};
use crate::random::metamorphic::{self, Check};
use crate::random::shrink;
use crate::random::tables::Table;
use crate::rng::Rng;

/// The seed of a run that sets none.
pub const SEED: u64 = 55;
/// Queries of a run in CI.
const QUERIES: u64 = 300;
/// Sets of tables of a run.
const SETS: u64 = 3;
/// Concurrent queries.
const PARALLEL: usize = 2;
/// Number of findings that are made smaller. The others are reported unchanged.
const SHRUNK: usize = 40;
/// Time that making one finding smaller may take.
const SHRINKING: Duration = Duration::from_secs(120);

struct World {
    seed: u64,
    sets: Vec<Set>,
    /// Also look for contradictions of the engine itself.
    engine: bool,
}

/// One query and how it is run. Both depend only on seed and number.
struct Case {
    number: u64,
    query: Query,
    way: Way,
}

struct Finding {
    number: u64,
    verdict: Verdict,
    /// The query, made smaller if this was worth the time.
    query: Query,
    way: Way,
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(format!("DUNLIN_RANDOM_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("DUNLIN_RANDOM_{name}={text} is no number")))
}

impl World {
    fn set(&self, number: u64) -> &Set {
        &self.sets[(number % SETS) as usize]
    }

    fn case(&self, number: u64) -> Case {
        let mut rng = Rng::of(self.seed, number);
        let check = match number % 10 {
            3 => Check::Ternary,
            7 => Check::NoRewrite,
            _ => Check::Same,
        };
        let way = Way {
            partitioned: rng.one_in(2),
            partitions: *rng.pick(&[1, 2, 7, 16]),
            fleet: number.is_multiple_of(5).then(|| *rng.pick(&[3, 7])),
            check,
        };
        let mut generator = Generator::new(rng, &self.set(number).tables);
        let query = match check {
            Check::Same => generator.query(),
            // The engine never returns null for `IN (SELECT …)`.
            Check::Ternary => Query::of(generator.filtered(Tests::Exists)),
            // The rewritten condition is in SELECT, where the engine cannot plan EXISTS.
            Check::NoRewrite => Query::of(generator.filtered(Tests::None)),
        };
        Case { number, query, way }
    }

    async fn try_one(self: Arc<Self>, number: u64) -> Finding {
        let Case { number, query, way } = self.case(number);
        let verdict = evaluate(self.set(number), way, &query).await;
        Finding { number, verdict, query, way }
    }

    /// The smallest query found that has the same result.
    async fn smaller(&self, finding: Finding) -> Finding {
        let until = Instant::now() + SHRINKING;
        let Finding { number, verdict, query, way } = finding;
        let wanted = &verdict;
        let query = shrink::shrink(query, |candidate| async move {
            Instant::now() < until
                && evaluate(self.set(number), way, &candidate).await.is_like(wanted)
        })
        .await;
        let verdict = evaluate(self.set(number), way, &query).await;
        Finding { number, verdict, query, way }
    }

    fn describe(&self, finding: &Finding) -> String {
        let Finding { number, verdict, query, way } = finding;
        let sql = match metamorphic::pair(way.check, query) {
            Some((one, two)) => format!("{one}\n  against\n  {two}"),
            None => query.to_string(),
        };
        let detail = match verdict {
            Verdict::Failure { detail, .. } => detail.clone(),
            Verdict::Engine(text) => format!("the engine disagrees with itself: {text}"),
            Verdict::Invalid(text) => format!("invalid: {text}"),
            Verdict::Refused { operator, reason } => format!("refused: {operator}: {reason}"),
            Verdict::Same => "the same".to_owned(),
        };
        format!(
            "query {number} (set {}, {way:?}): {detail}\n  {sql}\n  again: DUNLIN_RANDOM_SEED={} DUNLIN_RANDOM_ONLY={number} cargo test -p dunlin-exact --test exact random_queries -- --nocapture\n",
            number % SETS,
            self.seed
        )
    }
}

/// Runs the random queries that the environment sets, over tables below `scratch`. Returns what is wrong, if anything
/// was found.
///
/// # Panics
/// The tables cannot be written, or a setting is no number.
#[must_use]
pub fn run(scratch: &Path) -> Option<String> {
    // Plans of nested queries are deep, and so is the engine's recursion over them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(PARALLEL)
        .thread_stack_size(32 << 20)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir_in(scratch).unwrap();
    runtime.block_on(runtime.spawn(all(folder.path().to_owned()))).unwrap()
}

/// As [`run`], on a runtime.
async fn all(folder: impl AsRef<Path>) -> Option<String> {
    let seed = setting("SEED").unwrap_or(SEED);
    let queries = setting("QUERIES").unwrap_or(QUERIES);
    let only: Option<u64> = setting("ONLY");
    let engine = setting::<u8>("ENGINE").is_some_and(|value| value > 0);
    let mut sets = Vec::new();
    for number in 0..SETS {
        let path = folder.as_ref().join(format!("set{number}"));
        sets.push(Set::open(&path, &mut Rng::of(seed, u64::MAX - number), engine).await);
    }
    let world = Arc::new(World { seed, sets, engine });
    if let Ok(sql) = std::env::var("DUNLIN_RANDOM_SQL") {
        let set = world.set(setting("SET").unwrap_or(0));
        evaluate::look(set, &sql, setting("PARTITIONS").unwrap_or(7)).await;
        return None;
    }
    let numbers = only.map_or(0..queries, |number| number..number + 1);
    let start = Instant::now();
    let findings: Vec<Finding> = futures::stream::iter(numbers)
        .map(|number| tokio::spawn(Arc::clone(&world).try_one(number)))
        .buffered(PARALLEL)
        .map(Result::unwrap)
        .collect()
        .await;
    let took = start.elapsed();
    if only.is_some() {
        findings.iter().for_each(|finding| eprintln!("{}", world.describe(finding)));
    }
    report(&world, findings, took, only.is_none()).await
}

/// Prints the findings. The run fails if any finding is an error of Dunlin, or if too little was compared.
async fn report(
    world: &World,
    findings: Vec<Finding>,
    took: Duration,
    whole: bool,
) -> Option<String> {
    let (mut same, mut metamorphic) = (0, 0);
    let (mut invalid, mut refused) = (BTreeMap::new(), BTreeMap::new());
    let (mut engine, mut failures) = (Vec::new(), Vec::new());
    let queries = findings.len();
    for finding in findings {
        metamorphic += usize::from(finding.way.check != Check::Same);
        match &finding.verdict {
            Verdict::Same => same += 1,
            Verdict::Invalid(reason) => invalid
                .entry(cause(reason))
                .or_insert_with(Vec::new)
                .push((finding.number, reason.clone())),
            Verdict::Refused { operator, .. } => {
                refused.entry(operator.clone()).or_insert_with(Vec::new).push(finding);
            }
            Verdict::Engine(_) => engine.push(finding),
            Verdict::Failure { .. } => failures.push(finding),
        }
    }
    if world.engine {
        for (reason, those) in &invalid {
            let numbers: Vec<u64> = those.iter().map(|(number, _)| *number).take(5).collect();
            eprintln!(
                "invalid: {} of {reason}, as queries {numbers:?}: {}",
                those.len(),
                those[0].1
            );
        }
        // One of each operator, because the others mostly have the same cause.
        for those in refused.values_mut() {
            if let Some(finding) = those.pop() {
                let finding = world.smaller(finding).await;
                eprintln!("{}", world.describe(&finding));
                those.push(finding);
            }
        }
        for finding in engine.drain(..SHRUNK.min(engine.len())).collect::<Vec<_>>() {
            let finding = world.smaller(finding).await;
            eprintln!("{}", world.describe(&finding));
            engine.push(finding);
        }
    }
    for finding in &engine {
        eprintln!("query {}: the engine disagrees with itself", finding.number);
    }
    let mut told = Vec::new();
    for (at, finding) in failures.into_iter().enumerate() {
        let finding = if at < SHRUNK { world.smaller(finding).await } else { finding };
        eprintln!("{}", world.describe(&finding));
        told.push(finding.number);
    }
    let invalid: usize = invalid.values().map(Vec::len).sum();
    let operators: Vec<String> =
        refused.iter().map(|(operator, those)| format!("{operator} {}", those.len())).collect();
    eprintln!(
        "random: seed {}, {queries} queries, {} valid, {invalid} invalid, {} refused ({}), {} engine disagrees, {metamorphic} metamorphic checks, {} failures, {:.1} queries/s",
        world.seed,
        queries - invalid,
        refused.values().map(Vec::len).sum::<usize>(),
        operators.join(", "),
        engine.len(),
        told.len(),
        queries as f64 / took.as_secs_f64()
    );
    if !told.is_empty() {
        return Some(format!("queries {told:?} fail, see above"));
    }
    if whole && invalid * 100 > queries * 15 {
        return Some(format!("{invalid} of {queries} queries are invalid"));
    }
    (whole && same * 2 < queries).then(|| format!("only {same} of {queries} queries were compared"))
}

fn tables_without_files() -> Vec<Table> {
    let columns = [("id", Type::Int), ("k", Type::Int), ("s", Type::Text), ("l", Type::List)];
    let columns: Vec<_> = columns.map(|(name, kind)| (name.to_owned(), kind)).into();
    ["t0", "t1"]
        .map(|name| Table { name: name.to_owned(), columns: columns.clone(), rows: 20 })
        .into()
}

/// Query `number` of a seed, over two tables that have no files.
#[must_use]
pub fn text(seed: u64, number: u64) -> String {
    Generator::new(Rng::of(seed, number), &tables_without_files()).query().to_string()
}

/// The smallest text made from query `number` of a seed, in the form of [`text`], for which `fails` holds.
pub async fn smaller(seed: u64, number: u64, fails: impl Fn(&str) -> bool) -> String {
    let query = Generator::new(Rng::of(seed, number), &tables_without_files()).query();
    let fails = &fails;
    shrink::shrink(query, |query: Query| async move { fails(&query.to_string()) }).await.to_string()
}
