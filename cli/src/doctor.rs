//! `dunlin doctor`: tries the store of the state as queries use it, and says what is wrong and what to do.
//!
//! ```text
//!   check                 what was seen                                  verdict
//!   conditional creates   20 races of 32 writers, one winner each        ok
//!   clock                 2,700 s behind the store's                     WRONG: set the clock …
//!   latency               GET 27 ms (95 of 100: 74 ms), …                ok
//! ```

use std::future::Future;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use bytes::Bytes;
use dunlin_manifest::env::Env;
use dunlin_manifest::keys;
use dunlin_manifest::probe::{self, ProbeOptions, Unfit};
use dunlin_manifest::store::{Changed, ControlStore, ObjectControlStore, StoreError, below};
use dunlin_plan::words;
use dunlin_planner::config::Config;
use dunlin_process::ConfigOptions;
use futures::future::join_all;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;

use crate::serve::load;
use crate::stdout::print;

/// `dunlin doctor`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What a check has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Queries run, but something is worse than it could be.
    Note,
    /// Queries cannot run, or may not be believed.
    Wrong,
}

/// A line of the table.
#[derive(Clone, Debug)]
struct Line {
    check: &'static str,
    seen: String,
    verdict: Verdict,
    /// What to do, if something is to be done.
    cure: String,
}

impl Line {
    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, seen: seen.into(), verdict: Verdict::Ok, cure: String::new() }
    }

    fn of(check: &'static str, verdict: Verdict, seen: impl Into<String>, cure: &str) -> Self {
        Self { check, seen: seen.into(), verdict, cure: cure.to_owned() }
    }
}

/// A clock that differs by more is noted. Stores that check signatures refuse requests at 15 minutes.
const CLOCK_NOTED: Duration = Duration::from_secs(60);
const CLOCK_WRONG: Duration = Duration::from_secs(15 * 60);
/// Requests that are timed, of each kind.
const TIMED: usize = 40;
/// Objects for the throughput, and their size.
const STREAMS: usize = 4;
const STREAM_BYTES: usize = 8 << 20;
/// Objects for the read of a range.
const RANGED: usize = 1 << 20;
/// A store that answers more slowly is noted.
const SLOW: Duration = Duration::from_millis(200);

/// Runs all checks and prints a line for each.
///
/// # Errors
/// The store cannot be used.
pub fn run(options: &Options) -> Result<()> {
    let config = load(&options.config)?.config;
    let io = dunlin_process::runtime()?;
    let outcome = io.block_on(examine(&config, io.handle()));
    dunlin_plan::threads::end(io);
    let lines = outcome?;
    let text = if options.json {
        let line = |line: &Line| {
            let verdict = word(line.verdict).to_lowercase();
            json!({ "check": line.check, "seen": line.seen, "verdict": verdict, "cure": line.cure })
        };
        format!("{:#}\n", json!({ "checks": lines.iter().map(line).collect::<Vec<_>>() }))
    } else {
        as_text(&lines)
    };
    print(&text)?;
    let wrong = lines.iter().filter(|line| line.verdict == Verdict::Wrong).count();
    if wrong > 0 {
        bail!("{wrong} of {} checks say that this store cannot hold the state", lines.len());
    }
    Ok(())
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Wrong => "WRONG",
    }
}

fn as_text(lines: &[Line]) -> String {
    let width = |of: fn(&Line) -> &str| {
        lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0)
    };
    let (check, seen) = (width(|line| line.check), width(|line| &line.seen).min(70));
    let mut text = String::new();
    for line in lines {
        let cure = match line.cure.as_str() {
            "" => String::new(),
            cure => format!(": {cure}"),
        };
        text +=
            &format!("{:check$}  {:seen$}  {}{cure}\n", line.check, line.seen, word(line.verdict));
    }
    text
}

async fn examine(config: &Config, io: &tokio::runtime::Handle) -> Result<Vec<Line>> {
    let env = Env::system();
    let stores = config.open_stores(io)?;
    let control = stores.control(env.clone());
    let mut lines = vec![Line::ok("state", config.state.location.clone())];
    if let Some(apart) = &config.state.control {
        lines.push(Line::ok("records", apart.location.clone()));
    }
    if stores.state.store.scheme() == "memory" {
        lines.push(Line::of(
            "kind",
            Verdict::Note,
            "memory of one process",
            "the state ends with the process; use a folder or a bucket",
        ));
    }
    let began = env.clock.monotonic();
    match probe::probe(&control, &env, ProbeOptions::default()).await {
        Ok(report) => {
            let took = env.clock.monotonic().saturating_sub(began);
            lines.push(Line::ok(
                "conditional creates",
                format!(
                    "{} races of {} writers, one winner each, {:.1} s",
                    report.races,
                    report.ways,
                    took.as_secs_f64()
                ),
            ));
            lines.push(Line::ok(
                "read and list",
                "what was written is seen at once, and what was deleted is gone",
            ));
        }
        Err(error) => {
            let check = match &error {
                Unfit::Store(_) | Unfit::Create(_) => "access",
                Unfit::NotAtomic { .. } | Unfit::Overwrites => "conditional creates",
                Unfit::Inconsistent(_) => "read and list",
            };
            lines.push(Line::of(check, Verdict::Wrong, "not fit", &words::explained(&error)));
            return Ok(lines);
        }
    }
    let nonce = env.nonce();
    let checks = async {
        lines.push(conditional_read(&control, &nonce).await?);
        lines.push(clock(&control, &nonce).await?);
        lines.extend(timing(&control, &env, &nonce).await?);
        lines.push(ranges(&control, &nonce).await?);
        lines.push(throughput(&control, &env, &nonce).await?);
        anyhow::Ok(())
    };
    let checked = checks.await;
    clean(&control, &nonce).await;
    if let Err(error) = checked {
        let said = words::explained(error.as_ref());
        lines.push(Line::of("requests", Verdict::Wrong, "they fail", &said));
    }
    Ok(lines)
}

/// A read with the tag of what is there tells that nothing has changed: the bell is read so.
async fn conditional_read(control: &ObjectControlStore, nonce: &str) -> Result<Line> {
    let key = keys::probe_basics(nonce);
    control.put(&key, Bytes::from_static(b"one")).await?;
    let tag = control.get(&key).await?.and_then(|got| got.e_tag);
    let again = control.get_if_changed(&key, tag.as_deref()).await?;
    control.put(&key, Bytes::from_static(b"another")).await?;
    let changed = control.get_if_changed(&key, tag.as_deref()).await?;
    Ok(match (again, changed) {
        (Changed::NotModified, Changed::Got(got)) if got.body.as_ref() == b"another" => {
            Line::ok("conditional reads", "an object that has not changed is not sent again")
        }
        (_, Changed::Got(got)) if got.body.as_ref() == b"another" => Line::of(
            "conditional reads",
            Verdict::Note,
            "the store sends objects again that have not changed",
            "workers that wait cost a little more",
        ),
        _ => Line::of(
            "conditional reads",
            Verdict::Wrong,
            "an object that has changed is said to be as it was",
            "workers would not learn of work; use another store",
        ),
    })
}

/// The difference between the clocks of this machine and of the store.
async fn clock(control: &ObjectControlStore, nonce: &str) -> Result<Line> {
    let key = keys::probe_race(nonce, 0);
    let before = SystemTime::now();
    control.put(&key, Bytes::new()).await?;
    let after = SystemTime::now();
    let stamp = control.get(&key).await?.map_or(0, |got| got.modified_ms);
    let millis = |at: SystemTime| {
        at.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    };
    Ok(clock_line(millis(before), millis(after), stamp))
}

/// Stamps of stores have whole seconds.
fn clock_line(before_ms: i64, after_ms: i64, stamp_ms: i64) -> Line {
    let (ahead, behind) = (before_ms - stamp_ms - 1_000, stamp_ms - after_ms);
    let off = Duration::from_millis(u64::try_from(ahead.max(behind).max(0)).unwrap_or(0));
    let way = if ahead > behind { "ahead of" } else { "behind" };
    let seen = match off.as_secs() {
        0 => "as the store's, within a second".to_owned(),
        seconds => format!("{seconds} s {way} the store's"),
    };
    let cure = "set the clock of this machine (NTP)";
    match off {
        off if off >= CLOCK_WRONG => Line::of("clock", Verdict::Wrong, seen, cure),
        off if off >= CLOCK_NOTED => Line::of("clock", Verdict::Note, seen, cure),
        _ => Line::ok("clock", seen),
    }
}

/// How long requests take that wait for one another.
async fn timing(control: &ObjectControlStore, env: &Env, nonce: &str) -> Result<Vec<Line>> {
    let prefix = keys::probe_prefix(nonce);
    let puts = timed(env, |number| {
        let key = keys::probe_race(nonce, number);
        async move { control.put(&key, Bytes::from_static(b"{}")).await }
    })
    .await?;
    let gets = timed(env, |number| {
        let key = keys::probe_race(nonce, number);
        async move { control.get(&key).await.map(|_| ()) }
    })
    .await?;
    let lists = timed(env, |_| {
        let prefix = prefix.clone();
        async move { control.list(&prefix).await.map(|_| ()) }
    })
    .await?;
    let line = |check, times: (Duration, Duration)| {
        let seen = format!("{} in the middle, {} of 95 in 100", ms(times.0), ms(times.1));
        match times.0 > SLOW {
            true => Line::of(check, Verdict::Note, seen, "run Dunlin in the region of the store"),
            false => Line::ok(check, seen),
        }
    };
    Ok(vec![line("PUT", puts), line("GET", gets), line("LIST", lists)])
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The middle and the 95th of 100.
async fn timed<F: Future<Output = Result<(), StoreError>>>(
    env: &Env,
    request: impl Fn(usize) -> F,
) -> Result<(Duration, Duration), StoreError> {
    let mut times = Vec::with_capacity(TIMED);
    for number in 0..TIMED {
        let began = env.clock.monotonic();
        request(number).await?;
        times.push(env.clock.monotonic().saturating_sub(began));
    }
    times.sort_unstable();
    let at = |share: usize| times.get(TIMED * share / 100).copied().unwrap_or_default();
    Ok((at(50), at(95)))
}

/// A part of an object is what was asked for: the exchange reads so.
async fn ranges(control: &ObjectControlStore, nonce: &str) -> Result<Line> {
    let path = below(control.data_prefix(), keys::probe_race(nonce, TIMED).as_str());
    let body: Vec<u8> = (0..RANGED).map(|at| (at % 251) as u8).collect();
    control.data_store().put(&path, PutPayload::from(body.clone())).await?;
    let (from, to) = (RANGED / 3, RANGED / 3 + 70_000);
    let part = control.data_store().get_range(&path, from as u64..to as u64).await?;
    Ok(match part.as_ref() == &body[from..to] {
        true => Line::ok("ranges", "a part of an object is read as it was written"),
        false => Line::of(
            "ranges",
            Verdict::Wrong,
            "a part of an object has other bytes than were written there",
            "use another store",
        ),
    })
}

/// How fast rows can be exchanged from here.
async fn throughput(control: &ObjectControlStore, env: &Env, nonce: &str) -> Result<Line> {
    let (store, base) = (control.data_store(), control.data_prefix());
    let path = |number: usize| below(base, keys::probe_race(nonce, TIMED + 1 + number).as_str());
    let payload = PutPayload::from(vec![7u8; STREAM_BYTES]);
    let rate = |began: Duration| {
        let took = env.clock.monotonic().saturating_sub(began).as_secs_f64();
        (STREAMS * STREAM_BYTES) as f64 / 1e6 / took.max(1e-6)
    };
    let began = env.clock.monotonic();
    let puts = (0..STREAMS).map(|number| {
        let (path, payload) = (path(number), payload.clone());
        async move { store.put(&path, payload).await }
    });
    join_all(puts).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let written = rate(began);
    let began = env.clock.monotonic();
    let gets = (0..STREAMS).map(|number| {
        let path = path(number);
        async move { store.get(&path).await?.bytes().await }
    });
    join_all(gets).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let read = rate(began);
    Ok(Line::ok(
        "throughput",
        format!("{written:.0} MB/s written, {read:.0} MB/s read, {STREAMS} at a time"),
    ))
}

/// What could not be deleted is deleted by the next `dunlin gc` after two days.
async fn clean(control: &ObjectControlStore, nonce: &str) {
    let prefix = keys::probe_prefix(nonce);
    for entry in control.list(&prefix).await.unwrap_or_default() {
        let _ = control.delete(&entry.key).await;
    }
    for number in 0..=TIMED + STREAMS {
        let path = below(control.data_prefix(), keys::probe_race(nonce, number).as_str());
        let _ = control.data_store().delete(&path).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_the_store_stamps() {
        let verdict = |before, after, stamp| {
            let line = clock_line(before, after, stamp);
            (line.verdict, line.seen)
        };
        // Stamped with the second in which it was written.
        let within = "as the store's, within a second".to_owned();
        assert_eq!(verdict(10_900, 11_100, 10_000), (Verdict::Ok, within));
        let hour = 3_600_000;
        assert_eq!(
            verdict(hour, hour + 50, 0),
            (Verdict::Wrong, "3599 s ahead of the store's".to_owned())
        );
        assert_eq!(verdict(0, 0, 120_000), (Verdict::Note, "120 s behind the store's".to_owned()));
    }
}
