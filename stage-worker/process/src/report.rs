//! Why a process does not start, in one line for people.

/// The longest line. Stores answer with documents.
const LONGEST: usize = 600;

/// What stores say, and what it means.
const HINTS: [(&str, &str); 7] = [
    ("NoSuchBucket", "the bucket does not exist: make it, or mend the location"),
    ("SignatureDoesNotMatch", "the secret key is wrong"),
    ("InvalidAccessKeyId", "the store does not know the access key"),
    ("InvalidToken", "the session token is wrong or has expired: get new credentials"),
    (
        "RequestTimeTooSkewed",
        "the clock of this machine and the store's are too far apart: set the clock",
    ),
    ("AccessDenied", "the credentials may not do this: see docs/security.md"),
    ("PermanentRedirect", "the bucket is in another region: set s3_region"),
];

/// An error and its causes as one line: each cause once, and what it means if that is known.
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
    let hint = HINTS.iter().find(|(word, _)| text.contains(word)).map(|(_, hint)| *hint);
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
