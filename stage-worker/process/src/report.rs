//! Why a process does not start, in one line for people.

use dunlin_config::redact;
use dunlin_plan::words::meaning;

/// The longest line. Stores answer with documents.
const LONGEST: usize = 600;

/// An error and its causes as one line: each cause once, and what it means if that is known. It shows no secret of the
/// configuration.
#[must_use]
pub fn report(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        // Some errors repeat their cause in their own text.
        if !text.contains(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{between}{cause}");
        }
    }
    let mut text = redact(&text).into_owned();
    let hint = meaning(&text);
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST).chain("…".chars()).collect();
    }
    match hint {
        Some(hint) => format!("{hint} ({text})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_told_once_and_in_words() {
        let error = anyhow!("<Code>NoSuchBucket</Code>\n  <Key>b</Key>")
            .context("Client error: <Code>NoSuchBucket</Code> <Key>b</Key>")
            .context("the state cannot be read");
        assert_eq!(
            report(&error),
            "the bucket does not exist: make it, or mend the location (the state cannot be read: Client error: <Code>NoSuchBucket</Code> <Key>b</Key>)"
        );
        assert_eq!(report(&anyhow!("a").context("b")), "b: a");
        assert!(report(&anyhow!("x".repeat(10_000))).len() < 700);
    }
}
