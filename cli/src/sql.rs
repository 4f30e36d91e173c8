//! `dunlin sql`: one statement from the command line, through a gateway.

use anyhow::Result;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::credentials::Credentials;

/// `dunlin sql`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The statement.
    pub sql: String,
    /// The gateway.
    #[arg(long, default_value = "http://127.0.0.1:8090")]
    pub url: String,
    /// What the gateway is shown.
    #[command(flatten)]
    pub credentials: Credentials,
    /// Where to run it: auto, inline or fleet; the gateway's mode if not given.
    #[arg(long)]
    pub route: Option<String>,
    /// Partitions of wide stages; the gateway's number if not given.
    #[arg(long)]
    pub target_partitions: Option<usize>,
}

/// Prints the answer: plans as text, rows as JSON lines. The summary is written to standard error.
///
/// # Errors
/// The gateway's problem, as text.
pub fn run(options: &Options) -> Result<()> {
    let mut settings = Map::new();
    if let Some(route) = &options.route {
        settings.insert("route".to_owned(), Value::from(route.as_str()));
    }
    if let Some(partitions) = options.target_partitions {
        settings.insert("target_partitions".to_owned(), Value::from(partitions));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::with(&options.url, &options.credentials)?;
    let answer = runtime.block_on(client.sql(&options.sql, Value::Object(settings)))?;
    for row in &answer.rows {
        println!("{}", text(row));
    }
    let summary = &answer.summary;
    let dollars = summary.cost_usd.map(|cost| format!(", ${:.6}", cost.total));
    eprintln!(
        "rows: {}, {} ms, {}{}, query {}",
        answer.rows.len(),
        summary.wall_ms,
        summary.route,
        dollars.unwrap_or_default(),
        answer.query
    );
    Ok(())
}

/// A row of an EXPLAIN is a heading and a text of several lines. Any other row is JSON.
fn text(row: &Value) -> String {
    let plan = row.as_object().filter(|row| row.len() == 2).and_then(|row| {
        Some((row.get("plan_type")?.as_str()?, row.get("plan")?.as_str()?.trim_end()))
    });
    match plan {
        Some((kind, plan)) if plan.contains('\n') => format!("{kind}:\n{plan}\n"),
        Some((kind, plan)) => format!("{kind}: {plan}"),
        None => row.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plans_are_text_and_rows_are_json() {
        let plan = json!({"plan_type": "analyzed_plan", "plan": "stage 0: x\n    A\n"});
        assert_eq!(text(&plan), "analyzed_plan:\nstage 0: x\n    A\n");
        assert_eq!(text(&json!({"plan_type": "route", "plan": "inline: x"})), "route: inline: x");
        assert_eq!(text(&json!({"plan": 1})), r#"{"plan":1}"#);
        assert_eq!(text(&json!({"plan": 1, "plan_type": 2})), r#"{"plan":1,"plan_type":2}"#);
    }
}
