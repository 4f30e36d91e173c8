//! News becomes calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dunlin_manifest::env::Env;
use dunlin_manifest::query::{Heard, News, Wake};
use dunlin_plan::config::{FunctionClass, FunctionsConfig};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::call::{Call, CallError, Kind};
use crate::event::{Event, alias};
use crate::tree;

/// Calls that a process makes at the same time.
const AT_ONCE: usize = 32;

/// The functions of a configuration, and how they are called.
#[derive(Debug)]
pub struct Functions {
    caller: Arc<dyn Call>,
    /// The smallest first.
    classes: Vec<FunctionClass>,
    qualify: bool,
    most: u32,
    /// Tasks that the telling process takes itself.
    own: u32,
    env: Env,
    trouble: Mutex<Option<CallError>>,
    made: [AtomicU64; 3],
}

impl Functions {
    /// The functions of a checked configuration.
    #[must_use]
    pub fn new(config: &FunctionsConfig, caller: Arc<dyn Call>, env: Env) -> Self {
        let mut classes = config.classes.clone();
        classes.sort_by_key(|class| class.memory_mb);
        Self {
            caller,
            classes,
            qualify: config.qualify,
            most: config.most_calls,
            own: 0,
            env,
            trouble: Mutex::default(),
            made: Default::default(),
        }
    }

    /// How many calls were made until now: those that the service has taken, those that were too many for it, and those
    /// that it has answered otherwise, or not at all.
    #[must_use]
    pub fn made(&self) -> [(&'static str, u64); 3] {
        let [accepted, throttled, failed] =
            self.made.each_ref().map(|count| count.load(Ordering::Relaxed));
        [("accepted", accepted), ("throttled", throttled), ("failed", failed)]
    }

    /// The same for a process that runs so many tasks at a time itself.
    #[must_use]
    pub fn beside(self, slots: usize) -> Self {
        Self { own: u32::try_from(slots).unwrap_or(u32::MAX), ..self }
    }

    /// The level of a worker of this pool and memory, if the pool has functions with more.
    #[must_use]
    pub fn level(&self, pool: Option<&str>, memory_mb: u64) -> Option<u32> {
        let smaller = self.of_pool(pool).filter(|class| class.memory_mb < memory_mb).count();
        let has_larger = self.of_pool(pool).any(|class| class.memory_mb > memory_mb);
        has_larger.then(|| u32::try_from(smaller).unwrap_or(u32::MAX))
    }

    /// The classes that run the queries of a pool, the smallest first.
    fn of_pool(&self, pool: Option<&str>) -> impl Iterator<Item = &FunctionClass> {
        self.classes.iter().filter(move |class| class.pool.as_deref() == pool)
    }

    pub(crate) fn classes(&self) -> &[FunctionClass] {
        &self.classes
    }

    /// Calls that may be under way at once.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    pub(crate) fn caller(&self) -> &dyn Call {
        self.caller.as_ref()
    }

    /// The qualifier of functions of a build.
    pub(crate) fn qualifier(&self, build: &str) -> Option<String> {
        (self.qualify && !build.is_empty()).then(|| alias(build))
    }

    /// How many calls each class of the query's pool needs: its memory, and the calls.
    fn needs(&self, news: &News) -> Vec<(u64, u32)> {
        let classes: Vec<&FunctionClass> = self.of_pool(news.pool.as_deref()).collect();
        let last = classes.len().saturating_sub(1);
        let mut open = vec![0u32; classes.len()];
        for (level, count) in news.open.iter().enumerate() {
            if let Some(open) = open.get_mut(level.min(last)) {
                *open = open.saturating_add(*count);
            }
        }
        if news.open.is_empty() {
            // Who tells does not know how much.
            open.iter_mut().take(1).for_each(|open| *open = 1);
        } else if let Some(open) = open.first_mut() {
            *open = open.saturating_sub(self.own);
        }
        let mut left = self.most.saturating_sub(news.running);
        let mut needs = Vec::new();
        for (class, open) in classes.into_iter().zip(open) {
            let slots = u32::try_from(class.slots()).unwrap_or(1).max(1);
            let calls = open.div_ceil(slots).min(left);
            left -= calls;
            if calls > 0 {
                needs.push((class.memory_mb, calls));
            }
        }
        needs
    }

    /// Makes `count` calls for the same event, some of them by those that are called, of the functions of a pool that have
    /// this memory. Returns how many calls this process has made.
    pub async fn call(
        &self,
        (pool, memory_mb): (Option<&str>, u64),
        event: &Event,
        count: u32,
        build: &str,
    ) -> usize {
        let Some(class) = self.of_pool(pool).find(|class| class.memory_mb == memory_mb) else {
            return 0;
        };
        let names = &class.names;
        // Copies share the calls. Where one begins differs, so that few calls do not all go to the first.
        let first = self.env.below(names.len() as u64);
        let first = usize::try_from(first).unwrap_or(0);
        let qualifier = self.qualifier(build);
        let calls = tree::split(count).into_iter().enumerate().map(|(index, more)| {
            let name = names.get((first + index) % names.len()).map_or("", String::as_str);
            let event = Event { calls: more, ..event.clone() };
            let payload = serde_json::to_vec(&event).unwrap_or_default();
            self.caller.call(name, qualifier.as_deref(), Kind::Event, payload)
        });
        let answers: Vec<_> =
            futures::stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
        for answer in &answers {
            let kind = match answer {
                Ok(_) => 0,
                Err(CallError::Throttled(_)) => 1,
                Err(_) => 2,
            };
            self.made[kind].fetch_add(1, Ordering::Relaxed);
        }
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        self.note(answers.into_iter().find_map(Result::err));
        made
    }

    /// Remembers why a call failed, until one succeeds.
    fn note(&self, trouble: Option<CallError>) {
        if let Some(error) = &trouble {
            tracing::warn!(%error, "a function was not called");
        }
        *self.trouble.lock() = trouble;
    }
}

#[async_trait]
impl Wake for Functions {
    async fn tell(&self, news: News) {
        if news.ended {
            return;
        }
        let event = Event { queries: vec![news.query.to_string()], ..Event::default() };
        for (memory_mb, calls) in self.needs(&news) {
            self.call((news.pool.as_deref(), memory_mb), &event, calls, &news.build).await;
        }
    }

    async fn listen(&self) -> Heard {
        std::future::pending().await
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().as_ref().map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dunlin_manifest::ids::QueryId;

    use super::*;

    /// Remembers the calls.
    #[derive(Debug, Default)]
    struct Record(Mutex<Vec<(String, Option<String>, Event)>>);

    #[async_trait]
    impl Call for Record {
        async fn call(
            &self,
            function: &str,
            qualifier: Option<&str>,
            kind: Kind,
            payload: Vec<u8>,
        ) -> Result<Vec<u8>, CallError> {
            assert_eq!(kind, Kind::Event);
            let event = serde_json::from_slice(&payload).unwrap();
            let mut calls = self.0.lock();
            calls.push((function.to_owned(), qualifier.map(ToOwned::to_owned), event));
            match function {
                "gone" => Err(CallError::Missing(function.to_owned())),
                _ => Ok(Vec::new()),
            }
        }

        async fn account_limit(&self) -> Option<u32> {
            Some(1_000)
        }
    }

    fn class(memory_mb: u64, names: &[&str]) -> FunctionClass {
        FunctionClass {
            pool: None,
            memory_mb,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn functions(classes: Vec<FunctionClass>, most_calls: u32) -> (Functions, Arc<Record>) {
        let record = Arc::new(Record::default());
        let config = FunctionsConfig {
            region: None,
            endpoint: None,
            qualify: true,
            most_calls,
            check: true,
            classes,
        };
        (Functions::new(&config, Arc::clone(&record) as Arc<dyn Call>, Env::system()), record)
    }

    fn news(open: &[u32], running: u32) -> News {
        let query = QueryId::at(1, &[7; 10]);
        News { open: open.to_vec(), running, ..News::work(query, "0123456789abcdef") }
    }

    #[tokio::test]
    async fn as_many_functions_are_called_as_open_tasks_need_and_copies_share_the_calls() {
        let (functions, record) = functions(vec![class(3_538, &["a", "b"])], 1_000);
        functions.tell(news(&[600], 0)).await;
        let calls = std::mem::take(&mut *record.0.lock());
        assert_eq!(calls.len(), 100, "600 tasks, two slots each: 300 calls, 100 of them from here");
        assert!(calls.iter().all(|(_, alias, event)| {
            alias.as_deref() == Some("b-0123456789ab")
                && event.calls == 2
                && event.queries.len() == 1
        }));
        assert_eq!(calls.iter().filter(|(name, ..)| name == "a").count(), 50);
        functions.tell(news(&[], 0)).await;
        assert_eq!(record.0.lock().len(), 1, "it is not known how much");
        functions.tell(News::ended(QueryId::at(1, &[7; 10]))).await;
        assert_eq!(record.0.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_worker_counts_what_it_takes_itself_and_what_is_at_work() {
        let (some, record) = functions(vec![class(1_769, &["f"])], 10);
        let some = some.beside(1);
        some.tell(news(&[1], 0)).await;
        assert!(record.0.lock().is_empty(), "the next stage has one task, which the worker takes");
        some.tell(news(&[4], 0)).await;
        assert_eq!(std::mem::take(&mut *record.0.lock()).len(), 3);
        some.tell(news(&[40], 7)).await;
        assert_eq!(
            std::mem::take(&mut *record.0.lock()).len(),
            3,
            "ten at a time, seven are at work"
        );
        some.tell(news(&[40], 70)).await;
        assert!(record.0.lock().is_empty());
    }

    #[tokio::test]
    async fn tasks_that_need_more_memory_go_to_larger_functions() {
        let classes = vec![class(10_240, &["large"]), class(1_769, &["small"])];
        let (functions, record) = functions(classes, 100);
        assert_eq!((functions.level(None, 1_769), functions.level(None, 10_240)), (Some(0), None));
        let functions = functions.beside(1);
        functions.tell(news(&[0, 3, 4], 0)).await;
        let called: Vec<String> = record.0.lock().iter().map(|(name, ..)| name.clone()).collect();
        assert_eq!(called, ["large", "large"], "seven tasks on five slots");
    }

    #[tokio::test]
    async fn trouble_is_told_until_a_call_succeeds() {
        let (functions, _) =
            functions(vec![class(1_769, &["gone"]), class(3_538, &["there"])], 100);
        functions.tell(news(&[1], 0)).await;
        assert_eq!(functions.trouble().unwrap(), "the function gone does not exist");
        functions.tell(news(&[0, 1], 0)).await;
        assert_eq!(functions.trouble(), None);
    }
}
