//! What an EXPLAIN asks for: its format, which the engine's parser knows by other names.

use std::borrow::Cow;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::PlanError;
use crate::tokens::{blanked, keyword, tokens};

/// How EXPLAIN shows a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainFormat {
    /// The stages as text for people.
    #[default]
    Text,
    /// All plans as the engine prints them: `VERBOSE`.
    Full,
    /// The stages as JSON.
    Json,
    /// The stages as a drawing of Graphviz.
    Graphviz,
    /// The stages as a drawing of Mermaid.
    Mermaid,
}

/// An EXPLAIN whose format was taken out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The format, if one is named.
    pub(crate) format: Option<ExplainFormat>,
    /// The text without the format. Every other word stands where it stood.
    pub(crate) sql: Cow<'a, str>,
}

/// Options of an EXPLAIN, as far as they are read here.
#[derive(Default)]
struct Options {
    analyze: bool,
    verbose: bool,
    format: Option<String>,
    /// An option that only the engine knows.
    others: bool,
}

/// Takes the format out of an EXPLAIN. Any other text is left as it is.
///
/// # Errors
/// A format that there is not, or one for EXPLAIN ANALYZE.
pub(crate) fn asked(sql: &str) -> Result<Asked<'_>, PlanError> {
    let same = || Asked { format: None, sql: Cow::Borrowed(sql) };
    let begins = sql.trim_start();
    let may_explain = begins.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("explain"))
        || begins.starts_with("--")
        || begins.starts_with("/*");
    if !may_explain {
        return Ok(same());
    }
    let Some(tokens) = tokens(sql) else { return Ok(same()) };
    if keyword(tokens.first()) != Some(Keyword::EXPLAIN) {
        return Ok(same());
    }
    let (options, from, to) = match tokens.get(1).map(|token| &token.token) {
        Some(Token::LParen) => match in_parentheses(&tokens[1..]) {
            Some((options, length)) => (options, 1, 1 + length),
            None => return Ok(same()),
        },
        _ => in_words(&tokens),
    };
    let Some(name) = options.format.filter(|_| !options.others) else { return Ok(same()) };
    let format = match name.to_uppercase().as_str() {
        "TEXT" | "INDENT" if options.verbose => ExplainFormat::Full,
        "TEXT" | "INDENT" => ExplainFormat::Text,
        "JSON" => ExplainFormat::Json,
        "GRAPHVIZ" | "DOT" => ExplainFormat::Graphviz,
        "MERMAID" => ExplainFormat::Mermaid,
        other => {
            return Err(PlanError::Unsupported {
                operator: format!("EXPLAIN with FORMAT {other}"),
                reason: "the formats are TEXT, JSON, GRAPHVIZ and MERMAID; EXPLAIN VERBOSE shows all that the engine prints"
                    .to_owned(),
            });
        }
    };
    if options.analyze {
        return Err(PlanError::Unsupported {
            operator: "EXPLAIN ANALYZE".to_owned(),
            reason: "the analysis has one format; leave FORMAT out".to_owned(),
        });
    }
    let (Some(first), Some(last)) = (tokens.get(from), tokens.get(to - 1)) else {
        return Ok(same());
    };
    let sql = blanked(sql, first.span.start, last.span.end);
    Ok(Asked { format: Some(format), sql: Cow::Owned(sql) })
}

fn value(token: Option<&TokenWithSpan>) -> Option<&str> {
    match &token?.token {
        Token::Word(word) => Some(&word.value),
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT name] …`: the options, and which tokens the format is.
fn in_words(tokens: &[TokenWithSpan]) -> (Options, usize, usize) {
    let mut options = Options::default();
    let mut at = 1;
    while let Some(word) = keyword(tokens.get(at)) {
        match word {
            Keyword::ANALYZE => options.analyze = true,
            Keyword::VERBOSE => options.verbose = true,
            Keyword::FORMAT => {
                options.format = value(tokens.get(at + 1)).map(str::to_owned);
                return (options, at, at + 2);
            }
            _ => break,
        }
        at += 1;
    }
    (options, at, at)
}

/// `(option [value], …)`: the options, and how many tokens they are. Nothing if these are no options.
fn in_parentheses(tokens: &[TokenWithSpan]) -> Option<(Options, usize)> {
    let end = tokens.iter().position(|token| token.token == Token::RParen)?;
    let mut options = Options::default();
    for option in tokens[1..end].split(|token| token.token == Token::Comma) {
        let given = value(option.get(1));
        let is_on = !given.is_some_and(|given| {
            ["off", "false", "0"].iter().any(|off| given.eq_ignore_ascii_case(off))
        });
        match value(option.first())?.to_uppercase().as_str() {
            "ANALYZE" => options.analyze = is_on,
            "VERBOSE" => options.verbose = is_on,
            "FORMAT" => options.format = given.map(str::to_owned),
            "SELECT" | "WITH" | "VALUES" => return None,
            _ => options.others = true,
        }
    }
    Some((options, end + 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_format_is_taken_out_and_every_other_word_stays_in_its_place() {
        for (sql, format, left) in [
            ("explain format json select 1", ExplainFormat::Json, "explain             select 1"),
            (
                "EXPLAIN (FORMAT 'mermaid')\nselect 1",
                ExplainFormat::Mermaid,
                "EXPLAIN                   \nselect 1",
            ),
            (
                "/* x */ explain (verbose, format text) select 1",
                ExplainFormat::Full,
                "/* x */ explain                        select 1",
            ),
            (
                "explain verbose format dot select 1",
                ExplainFormat::Graphviz,
                "explain verbose            select 1",
            ),
        ] {
            let asked = asked(sql).unwrap();
            assert_eq!((asked.format, asked.sql.as_ref()), (Some(format), left));
        }
    }

    #[test]
    fn what_names_no_format_is_left_as_it_is() {
        for sql in [
            "select format json",
            "explain select 1",
            "explain (select 1)",
            "explain analyze select 1",
            "explain (analyze, level summary) select 1",
            "explain (costs on, format pgjson) select 1",
            "explain 'open",
            "",
        ] {
            assert_eq!(asked(sql).unwrap(), Asked { format: None, sql: Cow::Borrowed(sql) });
        }
        for sql in ["explain format tree select 1", "explain (analyze, format json) select 1"] {
            assert!(matches!(asked(sql), Err(PlanError::Unsupported { .. })), "{sql}");
        }
    }
}
