//! What a process logs, and how: `DUNLIN_LOG` says what (`info`, `dunlin_worker=debug`), `DUNLIN_LOG_FORMAT` says how: `text`
//! for people, or `json`, one object in each line:
//!
//! ```text
//! {"timestamp":"…","level":"WARN","target":"…","message":"an attempt failed","query":"…","stage":1,"task":7,"attempt":1,
//!  "trace_id":"…","error":"…"}
//! ```
//! A line of an attempt has `query`, `stage`, `task`, `attempt` and `trace_id`, whatever it tells.

use std::fmt;

use dunlin_config::RedactedStderr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The variable that says what is logged.
const FILTER: &str = "DUNLIN_LOG";
/// What is logged if it says nothing. The store's client tells of each retry.
const USUAL: &str = "info,object_store=warn";
/// The variable that says how.
const FORMAT: &str = "DUNLIN_LOG_FORMAT";

/// Starts logging to stderr. A second start does nothing.
pub fn start() {
    let filter = tracing_subscriber::EnvFilter::try_from_env(FILTER)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(USUAL));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(RedactedStderr::default)
        .with_ansi(false);
    let format = std::env::var(FORMAT).unwrap_or_default();
    let _ = match format.as_str() {
        "json" => lines.fmt_fields(JsonFields::new()).event_format(FlatJson).try_init(),
        _ => lines.try_init(),
    };
    if !matches!(format.as_str(), "json" | "text" | "") {
        tracing::warn!("{FORMAT} is json or text; this log is text");
    }
}

/// One JSON object for each event. The fields of the spans around it are fields of the object.
#[derive(Clone, Copy, Debug)]
struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        line.insert("timestamp".to_owned(), timestamp.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        // Outermost first, so that an inner span's field wins, and an event's own over all.
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields =
                extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.as_str());
            if let Some(Value::Object(fields)) =
                fields.and_then(|fields| serde_json::from_str(fields).ok())
            {
                line.extend(fields);
            }
        }
        event.record(&mut Into(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Writes fields into an object.
struct Into<'a>(&'a mut Map<String, Value>);

impl Into<'_> {
    fn put(&mut self, field: &Field, value: impl std::convert::Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Into<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_object_with_the_fields_of_its_spans() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let attempt =
                tracing::info_span!("attempt", query = %"q", stage = 2, task = 7, attempt = 1);
            let _in_attempt = attempt.enter();
            tracing::warn!(error = %"a \"quoted\" word\nand a line", rows = 5u64, "it failed");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("message", "it failed".into()),
            ("query", "q".into()),
            ("stage", 2.into()),
            ("task", 7.into()),
            ("attempt", 1.into()),
            ("rows", 5.into()),
            ("error", "a \"quoted\" word\nand a line".into()),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
