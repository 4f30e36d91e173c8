//! What a gateway says when it does not do what it was asked for.

use std::fmt;

use serde::Deserialize;

/// A problem (RFC 9457), and the statement that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The code that programs are written against.
    pub(crate) code: String,
    /// What was wrong, where, and what to do.
    pub(crate) detail: String,
    /// The status in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// Whether the same request may succeed later.
    pub(crate) retryable: bool,
    /// The query, if there is one.
    pub(crate) query_id: Option<String>,
    /// Where in the statement.
    pub(crate) position: Option<Position>,
    /// The statement, if it is known.
    #[serde(skip)]
    pub(crate) about: Option<About>,
}

/// A place in a text, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// The text that a problem is about, and where it begins in what the user has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) text: String,
    pub(crate) start: Position,
    /// The file, if it is from one.
    pub(crate) file: Option<String>,
}

impl Problem {
    /// Reads the body of a response that is no success.
    pub(crate) fn read(status: reqwest::StatusCode, body: &str) -> Self {
        let mut problem: Self = serde_json::from_str(body).unwrap_or_default();
        problem.status = status.as_u16();
        if problem.title.is_empty() {
            problem.title = status.canonical_reason().unwrap_or("an error").to_owned();
        }
        if problem.detail.is_empty() {
            // Not from a gateway: from a proxy before it, or from something else on that port.
            let start: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
            let start: String = start.chars().take(200).collect();
            problem.detail = format!("{} {}: {start}", problem.status, problem.title);
        }
        problem
    }

    /// The same problem, about this text.
    pub(crate) fn about(self, about: About) -> Self {
        Self { about: Some(about), ..self }
    }

    /// The position in the whole input, the line there, and how many characters before it.
    fn place(&self) -> Option<(Position, &About, &str, usize)> {
        let (position, about) = (self.position?, self.about.as_ref()?);
        let index = usize::try_from(position.line.checked_sub(1)?).ok()?;
        let line = about.text.lines().nth(index)?;
        let before = usize::try_from(position.column.checked_sub(1)?).ok()?;
        let first = index == 0;
        let place = Position {
            line: about.start.line + position.line - 1,
            column: position.column + if first { about.start.column - 1 } else { 0 },
        };
        (before <= line.chars().count()).then_some((place, about, line, before))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() { String::new() } else { format!("[{}] ", self.code) };
        write!(f, "error: {code}")?;
        let detail = self.detail.trim_end();
        match (self.place(), self.position) {
            (Some((place, about, line, before)), Some(inside)) => {
                let file = about.file.as_deref().map(|file| format!("{file}, "));
                let place = format!(
                    "\n{}line {}, column {}:",
                    file.unwrap_or_default(),
                    place.line,
                    place.column
                );
                // A gateway that draws the place itself knows it within the statement.
                let own = format!("\nline {}, column {}:", inside.line, inside.column);
                if detail.contains(&own) {
                    write!(f, "{}", detail.replacen(&own, &place, 1))?;
                } else {
                    write!(f, "{detail}{place}\n  {line}\n  {}^", indent(line, before))?;
                }
            }
            _ => write!(f, "{detail}")?,
        }
        if self.retryable {
            write!(f, "\nthe same statement may succeed later")?;
        }
        // A statement that was refused has an id for the gateway's log only.
        match &self.query_id {
            Some(query) if !(400..500).contains(&self.status) => write!(f, "\nquery {query}"),
            _ => Ok(()),
        }
    }
}

/// As wide as what is before: a tab stays a tab, a wide letter has two columns.
fn indent(line: &str, before: usize) -> String {
    let blank = |letter: char| match letter {
        '\t' => "\t",
        _ if unicode_width::UnicodeWidthChar::width(letter) == Some(2) => "  ",
        _ => " ",
    };
    line.chars().take(before).map(blank).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    const BODY: &str = r#"{"type":"x","title":"Bad Request","status":400,"code":"SYNTAX_ERROR",
        "detail":"expected an expression","retryable":false,"position":{"line":2,"column":6}}"#;

    fn about(text: &str, line: u64, column: u64, file: Option<&str>) -> About {
        let start = Position { line, column };
        About { text: text.to_owned(), start, file: file.map(str::to_owned) }
    }

    #[test]
    fn a_place_is_shown_where_the_user_has_written_it() {
        let problem = Problem::read(StatusCode::BAD_REQUEST, BODY);
        assert_eq!(problem.to_string(), "error: [SYNTAX_ERROR] expected an expression");
        let problem = problem.about(about("select 'ä',\n\t'日', from t", 41, 7, Some("a.sql")));
        assert_eq!(
            problem.to_string(),
            "error: [SYNTAX_ERROR] expected an expression\na.sql, line 42, column 6:\n  \t'日', from t\n  \t     ^"
        );
    }

    #[test]
    fn a_place_in_the_first_line_begins_where_the_statement_does() {
        let body = BODY.replace(r#""line":2,"column":6"#, r#""line":1,"column":8"#);
        let problem = Problem::read(StatusCode::BAD_REQUEST, &body);
        let problem = problem.about(about("select from t", 3, 11, None));
        assert_eq!(
            problem.to_string(),
            "error: [SYNTAX_ERROR] expected an expression\nline 3, column 18:\n  select from t\n         ^"
        );
    }

    #[test]
    fn a_place_that_the_gateway_has_drawn_is_told_as_one_of_the_script() {
        let drawn = r"expected an expression\nline 2, column 6:\n  x\n  ^";
        let body = BODY.replace("expected an expression", drawn);
        let problem = Problem::read(StatusCode::BAD_REQUEST, &body);
        let problem = problem.about(about("select 1,\n  y, x", 10, 4, None));
        assert_eq!(
            problem.to_string(),
            "error: [SYNTAX_ERROR] expected an expression\nline 11, column 6:\n  x\n  ^"
        );
    }

    #[test]
    fn what_is_no_problem_of_a_gateway_is_shown_as_it_is() {
        let problem = Problem::read(StatusCode::BAD_GATEWAY, "<html>\n<b>no upstream</b>");
        assert_eq!(problem.to_string(), "error: 502 Bad Gateway: <html> <b>no upstream</b>");
    }

    #[test]
    fn a_place_outside_the_text_is_left_out() {
        let body = BODY.replace(r#""line":2,"column":6"#, r#""line":0,"column":99"#);
        let problem = Problem::read(StatusCode::BAD_REQUEST, &body);
        let problem = problem.about(about("select", 1, 1, None));
        assert_eq!(problem.to_string(), "error: [SYNTAX_ERROR] expected an expression");
    }
}
