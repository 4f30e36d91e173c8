//! What processes tell each other of queries, and how: hints that save looks at a store which answers in 27 ms. News may be
//! lost, late, repeated or wrong, and nothing depends on it.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::decide::{Failed, OpenTask};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{QueryId, StageId, TaskId};
use crate::model::records::FailClass;
use crate::query::handle::QueryHandle;

/// What one process tells another about a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct News {
    /// The query.
    pub query: QueryId,
    /// True if it has ended, false if it has new work.
    #[serde(default)]
    pub ended: bool,
    /// How many tasks may be claimed, as far as the teller knows, by the
    /// [level](QueryHandle::level) of the worker that they need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<u32>,
    /// Claims that the teller takes for alive.
    #[serde(default)]
    pub running: u32,
    /// The build whose workers may run them ([`EngineFence::build`](crate::records::EngineFence)).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub build: String,
    /// The pool whose workers may run them ([`Root::pool`](crate::records::Root)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

impl News {
    /// The query has ended.
    #[must_use]
    pub fn ended(query: QueryId) -> Self {
        Self { query, ended: true, open: Vec::new(), running: 0, build: String::new(), pool: None }
    }

    /// The query has work, nobody knows how much.
    #[must_use]
    pub fn work(query: QueryId, build: &str) -> Self {
        Self { ended: false, build: build.to_owned(), ..Self::ended(query) }
    }

    /// The same with one more task that needs a worker of this level.
    fn with(mut self, level: u32) -> Self {
        let level = usize::try_from(level).unwrap_or(usize::MAX).min(MOST_LEVELS);
        if self.open.len() <= level {
            self.open.resize(level + 1, 0);
        }
        if let Some(count) = self.open.get_mut(level) {
            *count += 1;
        }
        self
    }
}

/// When work that nobody takes is told of again.
#[derive(Clone, Debug, Default)]
pub struct Reminder {
    facts: u64,
    /// Since when nothing has changed, or when it was last told of.
    since: Duration,
    /// How often it was told of since the last change.
    told: u32,
}

/// News may be lost: after so long without any change, it is told again. The pause doubles each time.
const REMIND_AFTER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

impl Reminder {
    /// `news`, if there are open tasks and nothing has changed for so long that it should be told again. `facts` is a
    /// number that changes whenever something of the query changes.
    pub fn remind(&mut self, now: Duration, facts: u64, news: News) -> Option<News> {
        if facts != self.facts || news.open.is_empty() {
            *self = Self { facts, since: now, told: 0 };
            return None;
        }
        let pause = (REMIND_AFTER.0 * (1 << self.told.min(4))).min(REMIND_AFTER.1);
        if now.saturating_sub(self.since) < pause {
            return None;
        }
        (self.since, self.told) = (now, self.told + 1);
        Some(news)
    }
}

/// Levels that are told apart.
const MOST_LEVELS: usize = 8;
/// So many lost attempts raise the level of a task: a worker that has no memory left may be killed before it can tell.
const LOST_A_LEVEL: u32 = 2;

/// A worker's place among those that listen to the same gateway. Workers that know their places choose different tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// From 0.
    pub index: u32,
    /// How many listen.
    pub of: u32,
}

/// What a listener is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// The number to go on from.
    pub at: u64,
    /// The news, oldest first.
    pub news: Vec<News>,
    /// The listener's place, if it has given a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A way in which processes tell each other of work. News may be lost, late, repeated or wrong.
#[async_trait]
pub trait Wake: Send + Sync + Debug {
    /// Tells other processes.
    async fn tell(&self, news: News);

    /// Waits until another process has told something, or until it can no longer be told.
    async fn listen(&self) -> Heard;

    /// Why telling fails, if it does: for the user who waits for a worker.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The level of worker that a task needs: 0 for any. Each attempt that has failed for want of memory or disk asks for
/// workers of one more level, and so do two attempts that were lost. `failures` are the known failures of the task's
/// attempts before `attempt`.
fn level(attempt: u32, failures: &[(FailClass, ErrorCode)]) -> u32 {
    let short = |(class, code): &&(FailClass, ErrorCode)| {
        *class == FailClass::Retry && matches!(code, ErrorCode::OutOfMemory | ErrorCode::DiskFull)
    };
    let short = failures.iter().filter(short).count();
    let lost = attempt.saturating_sub(u32::try_from(failures.len()).unwrap_or(u32::MAX));
    u32::try_from(short).unwrap_or(u32::MAX).saturating_add(lost / LOST_A_LEVEL)
}

impl QueryHandle {
    /// What others should know of the query's work, by what this process knows without a look.
    #[must_use]
    pub fn news(&self) -> News {
        let steps = self.steps(false);
        self.news_of(&steps.open, steps.running)
    }

    /// What others should know of these open tasks.
    #[must_use]
    pub fn news_of(&self, open: &[OpenTask], running: usize) -> News {
        let mut news = News::work(self.query.clone(), &self.root.engine.build);
        news.running = u32::try_from(running).unwrap_or(u32::MAX);
        news.pool.clone_from(&self.root.pool);
        open.iter().fold(news, |news, task| news.with(self.level(task).unwrap_or(0)))
    }

    /// The level of worker that a task needs; `None` if this process does not know how former attempts failed.
    #[must_use]
    pub fn level(&self, task: &OpenTask) -> Option<u32> {
        if task.attempt == 0 {
            return Some(0);
        }
        let failures = self.failures(task)?;
        let of = |failed: &Failed| (failed.fail.class, failed.fail.code.clone());
        Some(level(task.attempt, &failures.iter().map(of).collect::<Vec<_>>()))
    }

    /// How former attempts of a task have failed; `None` if this process does not know it of all that have.
    #[must_use]
    pub fn failures(&self, task: &OpenTask) -> Option<Vec<Failed>> {
        let attempts = self.failed_attempts(task.stage, task.task);
        let known = |attempt| self.known.fail((task.stage, task.task, attempt));
        attempts.into_iter().map(known).collect()
    }

    fn failed_attempts(&self, stage: StageId, task: TaskId) -> Vec<u32> {
        let view = self.view.lock();
        let fails = view.stages.get(&stage).and_then(|state| state.fails.get(&task));
        fails.into_iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_nobody_takes_is_told_of_again_ever_more_rarely() {
        let query = QueryId::at(1, &[7; 10]);
        let open = || News { open: vec![3], ..News::work(query.clone(), "b") };
        let mut reminder = Reminder::default();
        let mut told = Vec::new();
        for second in 0..70 {
            if reminder.remind(Duration::from_secs(second), 5, open()).is_some() {
                told.push(second);
            }
        }
        assert_eq!(told, [2, 6, 14, 30, 60]);
        let mut at = |second, facts, news| {
            reminder.remind(Duration::from_secs(second), facts, news).is_some()
        };
        assert!(!at(100, 6, open()), "something has changed");
        assert!(at(102, 6, open()));
        assert!(
            !at(103, 6, News::work(query.clone(), "b"))
                && !at(106, 6, News::work(query.clone(), "b"))
        );
    }

    #[test]
    fn a_task_asks_for_more_after_each_want_of_memory_and_after_two_lost_attempts() {
        let short = (FailClass::Retry, ErrorCode::OutOfMemory);
        let disk = (FailClass::Retry, ErrorCode::DiskFull);
        let store = (FailClass::Retry, ErrorCode::StoreUnavailable);
        let back = (FailClass::GiveBack, ErrorCode::GivenBack);
        assert_eq!(level(0, &[]), 0);
        assert_eq!(level(1, &[]), 0, "one lost attempt");
        assert_eq!(level(2, &[]), 1, "two");
        assert_eq!(level(1, std::slice::from_ref(&short)), 1);
        assert_eq!(level(2, &[short.clone(), disk]), 2);
        assert_eq!(level(3, &[store, back, short]), 1);
    }
}
