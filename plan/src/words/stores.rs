//! What stores report, in words for people.

use std::error::Error;

use datafusion::object_store;

/// The longest text of a store that is quoted, in characters. Stores answer with documents.
const LONGEST: usize = 400;

/// The words of stores, and what they mean and what to do.
const CODES: &[(&str, &str)] = &[
    ("NoSuchBucket", "the bucket does not exist: make it, or mend the location"),
    ("SignatureDoesNotMatch", "the secret key is wrong"),
    ("InvalidAccessKeyId", "the store does not know the access key"),
    ("ExpiredToken", "the credentials have expired: get new ones"),
    ("InvalidToken", "the session token is wrong or has expired: get new credentials"),
    (
        "RequestTimeTooSkewed",
        "the clock of this machine and the store's are too far apart: set the clock",
    ),
    ("AccessDenied", "the credentials may not do this: see docs/security.md"),
    ("PermanentRedirect", "the bucket is in another region: set s3_region"),
    // What the client makes of a redirect without an address.
    ("incorrectly configured region", "the bucket is in another region: set s3_region"),
    ("AuthorizationHeaderMalformed", "the bucket is in another region: set s3_region"),
    ("IllegalLocationConstraintException", "the bucket is in another region: set s3_region"),
    ("XMinioStorageFull", "the store's volume is full: free room"),
];

/// The words of systems and networks where a store was asked, and what they mean and what to do.
const CAUSES: &[(&str, &str)] = &[
    ("No space left on device", "the volume is full: free room"),
    (
        "169.254.169.254",
        "no key for the store reached this process, and the machine has no role: give s3_key and s3_secret",
    ),
    (
        "Connection refused",
        "nobody listens at the store's address: is it running, and is the endpoint right?",
    ),
    ("dns error", "the store's host name is not known: check the endpoint"),
    ("failed to lookup address", "the store's host name is not known: check the endpoint"),
    (
        "timed out",
        "the store did not answer in time: check the endpoint, the network and client_timeout",
    ),
    (
        "Permission denied",
        "this process may not read or write there: change the rights of the folder",
    ),
];

/// What a store's words mean, and what to do.
#[must_use]
pub fn meaning(text: &str) -> Option<&'static str> {
    CODES.iter().find(|(word, _)| text.contains(word)).map(|(_, meaning)| *meaning)
}

/// What the words of a store, or of the way to it, mean, and what to do.
pub(super) fn cause(text: &str) -> Option<&'static str> {
    let of_way = || CAUSES.iter().find(|(word, _)| text.contains(word)).map(|(_, cause)| *cause);
    meaning(text).or_else(of_way)
}

/// An error of a store and its causes on one line: documents are short, each cause is told once.
#[must_use]
pub fn said(error: &(dyn Error + 'static)) -> String {
    cut(whole(error))
}

fn cut(text: String) -> String {
    match text.chars().count() > LONGEST {
        true => text.chars().take(LONGEST).chain("…".chars()).collect(),
        false => text,
    }
}

/// The same, however long it is.
#[must_use]
pub fn whole(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let own = short(&error.to_string());
        // Most errors repeat their cause in their own text.
        if !text.contains(&own) {
            let between = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{between}{own}");
        }
        cause = error.source();
    }
    text
}

/// What a store, or the way to it, reports: what it means and what to do, where that is known, and the store's own words.
#[must_use]
pub fn explained(error: &(dyn Error + 'static)) -> String {
    with_cause(whole(error))
}

/// What a store, or the way to it, says, after what it means and what to do, if that is known.
#[must_use]
pub fn with_cause(said: String) -> String {
    match cause(&said) {
        // What is in words already is not said twice.
        Some(meaning) if !said.contains(meaning) => format!("{meaning} ({})", cut(said)),
        _ => cut(said),
    }
}

/// The text on one line, with the code and the message of an XML document in its place.
fn short(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix("Generic ").unwrap_or(&text);
    let Some(document) = text.find("<?xml").or_else(|| text.find("<Error>")) else {
        return text.to_owned();
    };
    let of =
        |tag: &str| super::between(&text[document..], &format!("<{tag}>"), &format!("</{tag}>"));
    let told = match (of("Code"), of("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => text[document..].to_owned(),
    };
    format!("{}{told}", &text[..document])
}

/// An error of a store: what was asked for, what it means, and the store's own words.
#[must_use]
pub fn of_store(error: &object_store::Error) -> String {
    use object_store::Error as Store;
    let whole = whole(error);
    let meaning = cause(&whole);
    let own = cut(whole);
    if let Some(meaning) = meaning {
        return format!("{meaning} ({own})");
    }
    match error {
        Store::NotFound { path, .. } => {
            format!("{path} is not there: it was deleted, or the location is wrong")
        }
        Store::PermissionDenied { path, .. } => {
            format!("{path} may not be read with these credentials: give them the right ({own})")
        }
        Store::Unauthenticated { path, .. } => {
            format!(
                "the store does not accept the credentials for {path}: check the key and the secret ({own})"
            )
        }
        _ => own,
    }
}
