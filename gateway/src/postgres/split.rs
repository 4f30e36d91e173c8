//! A text of several statements, cut at its semicolons.
//!
//! The rules are those of Postgres's own lexer: texts in quotes, names in double quotes, texts between dollars, comments in
//! comments. A statement keeps its place in the text, so that errors can name a character of what the client sent.

use std::ops::Range;

/// The statements of a text, without those that say nothing.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    let mut says = false;
    while at < bytes.len() {
        let next = skip(bytes, at);
        match bytes[at] {
            b';' if next == at + 1 => {
                if says {
                    found.push(start..at);
                }
                (start, says) = (next, false);
            }
            b'-' | b'/' if next > at + 1 => {}
            letter => says |= !letter.is_ascii_whitespace(),
        }
        at = next;
    }
    if says {
        found.push(start..bytes.len());
    }
    found
}

/// The end of what begins at a place: a quoted text, a comment, or one letter.
fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'\'', ..] => {
            let escapes = at > 0
                && matches!(bytes[at - 1], b'e' | b'E')
                && (at < 2 || !is_word(bytes[at - 2]));
            quoted(bytes, at, b'\'', escapes)
        }
        [b'"', ..] => quoted(bytes, at, b'"', false),
        [b'-', b'-', ..] => {
            rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end)
        }
        [b'/', b'*', ..] => comment(bytes, at),
        [b'$', ..] if at == 0 || !is_word(bytes[at - 1]) => dollars(bytes, at),
        _ => at + 1,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The end of a text in quotes. A doubled quote is a part of it.
fn quoted(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a comment, which may have comments in it.
fn comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a text between `$tag$` and `$tag$`.
fn dollars(bytes: &[u8], start: usize) -> usize {
    let tag = bytes[start + 1..].iter().position(|byte| *byte == b'$');
    let Some(length) = tag else { return start + 1 };
    let tag = &bytes[start..start + length + 2];
    let name = &tag[1..tag.len() - 1];
    let is_tag = name.iter().all(|byte| is_word(*byte) && *byte != b'$')
        && !name.first().is_some_and(u8::is_ascii_digit);
    if !is_tag {
        return start + 1;
    }
    let body = start + tag.len();
    let end = bytes[body..].windows(tag.len()).position(|part| part == tag);
    end.map_or(bytes.len(), |end| body + end + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        split(text).into_iter().map(|range| text[range].trim()).collect()
    }

    #[test]
    fn semicolons_cut_outside_of_texts_names_and_comments() {
        assert_eq!(parts("select 1; select 2;"), ["select 1", "select 2"]);
        for whole in [
            "select 'a;''b;'",
            "select E'a\\';b'",
            "select \"a;\"\"b\"",
            "select $$a;b$$",
            "select $x$a;$$;b$x$",
            "select 1 -- a;b\n+ 2",
            "select 1 /* a; /* b; */ c; */ + 2",
            "select 'open;",
            "select $1",
        ] {
            assert_eq!(parts(whole), [whole]);
            assert_eq!(parts(&format!("{whole}\n")).len(), 1);
        }
        assert_eq!(parts("select $1;select $2").len(), 2);
        assert_eq!(parts("select a$b$;select b$"), ["select a$b$", "select b$"]);
    }

    #[test]
    fn what_says_nothing_is_no_statement() {
        for nothing in ["", " ;; \n;", "-- x", "/* a */;", "/* open"] {
            assert!(split(nothing).is_empty(), "{nothing}");
        }
    }
}
