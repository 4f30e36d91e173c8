//! Takes what is not for people out of a text of the engine.

use datafusion::error::DataFusionError;

use super::types::with_sql_types;

/// What the engine and its libraries write before what they say.
const PREFIXES: &[&str] = &[
    "Error during planning: ",
    "Schema error: ",
    "SQL error: ",
    "Arrow error: ",
    "Parquet error: ",
    "Parquet argument error: ",
    "Object Store error: ",
    "IO error: ",
    "Io error: ",
    "Execution error: ",
    "ExecutionJoin error: ",
    "External error: ",
    "Internal error: ",
    "Resources exhausted: ",
    "Invalid or Unsupported Configuration: ",
    "This feature is not implemented: ",
    "Not yet implemented: ",
    "Compute error: ",
    "Cast error: ",
    "Parser error: ",
    "Csv error: ",
    "Json error: ",
    "Avro error: ",
    "Ipc error: ",
    "Memory error: ",
    "Arithmetic overflow: ",
    "Invalid argument error: ",
    "External: ",
    "Arrow: ",
    "EOF: ",
    "NYI: ",
    "FFI error: ",
    "Substrait error: ",
];

/// What the engine adds to a defect of its own.
const DEFECT: &str = ".\nThis issue was likely caused by a bug in DataFusion's code.";

/// How Rust's debug forms begin.
const DEBUG_FORMS: &[&str] = &[
    "Some(",
    "Ok(",
    "Err(",
    "ParserError(",
    "TokenizerError(",
    "Ident {",
    "Field {",
    "Column {",
    "Schema {",
    "Value(",
    "ObjectName(",
    "Query {",
    "Function {",
    "ValueWithSpan",
    "WithSpan {",
    "Span(",
    "Expr(",
    "BinaryOp {",
    "UnaryOp {",
    "Identifier(",
    "Token(",
    "Word(",
];

/// A text of the engine without its prefixes, backtrace and debug forms, on one line, with SQL's names of types.
#[must_use]
pub fn plain(text: &str) -> String {
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    let text = text.split(DEFECT).next().unwrap_or_default();
    // Each layer of the engine writes its own name above the cause.
    let mut text = text.rsplit("\ncaused by\n").next().unwrap_or_default().trim();
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = shorter.trim_start();
    }
    let mut text = text.to_owned();
    for prefix in PREFIXES {
        if text.contains(prefix) {
            text = text.replace(prefix, "");
        }
    }
    let text = with_sql_types(&text);
    let text = without_debug(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    lowered(text.trim_end_matches(['.', '!', ' ', ':', ',', ';']))
}

/// The text up to the first debug form of Rust.
fn without_debug(text: &str) -> &str {
    let begins = |form: &&str| {
        let mut from = 0;
        while let Some(at) = text[from..].find(*form).map(|at| at + from) {
            // Not the end of a longer word.
            if !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                return Some(at);
            }
            from = at + form.len();
        }
        None
    };
    let forms = DEBUG_FORMS.iter().filter_map(begins).chain(begin_of_struct(text));
    match forms.min() {
        Some(end) => text[..end].trim_end_matches(['(', '[', '{', ' ', ':', ',', '\'', '"', '`']),
        None => text,
    }
}

/// Where `Name { field: …` begins.
fn begin_of_struct(text: &str) -> Option<usize> {
    let brace = text.find(" { ")?;
    let word = text[..brace].trim_end_matches(char::is_alphanumeric).len();
    text[word..].starts_with(|c: char| c.is_ascii_uppercase()).then_some(word)
}

/// The text with a small first letter, unless its first word is written in capitals.
#[must_use]
pub fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// What stands in `text` between two others.
#[must_use]
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}
