//! `COPY … TO STDOUT`: rows as text or CSV, exactly as Postgres writes them.

use bytes::{BufMut, BytesMut};

use super::failure::{Failure, state};
use crate::text::{Word, Words};

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyFormat {
    csv: bool,
    delimiter: u8,
    null: String,
    pub(super) header: bool,
    quote: u8,
    escape: u8,
    /// Columns whose values always have quotes; `None`: none of them.
    force: Option<Forced>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Forced {
    All,
    Named(Vec<String>),
}

/// The options as they are given.
#[derive(Debug, Default)]
struct Given {
    csv: bool,
    delimiter: Option<String>,
    null: Option<String>,
    header: bool,
    quote: Option<String>,
    escape: Option<String>,
    force: Option<Forced>,
}

fn refused(why: impl Into<String>) -> Failure {
    Failure::error(state::SYNTAX, why)
}

impl CopyFormat {
    /// Reads the options of a COPY, in the form with parentheses or in the older one.
    ///
    /// # Errors
    /// An option that is not known, or a value that it cannot have.
    pub(super) fn read(words: &mut Words) -> Result<Self, Failure> {
        let mut given = Given::default();
        words.take("with");
        if words.take_sign("(") {
            loop {
                given.option(words)?;
                if words.take_sign(")") {
                    break;
                }
                if !words.take_sign(",") {
                    return Err(refused("the options of COPY are separated by commas"));
                }
            }
        }
        while !words.is_done() {
            given.old_option(words)?;
        }
        given.finish()
    }
}

impl Given {
    fn option(&mut self, words: &mut Words) -> Result<(), Failure> {
        let name = words.name().ok_or_else(|| refused("an option of COPY is missing"))?;
        match name.as_str() {
            "format" => match words.next() {
                Some(Word::Plain(format) | Word::Text(format) | Word::Quoted(format)) => {
                    self.format(&format.to_lowercase())?;
                }
                _ => return Err(refused("FORMAT of COPY is text or csv")),
            },
            "header" => {
                self.header = match words.peek() {
                    Some(Word::Sign(_)) | None => true,
                    _ => truth(words.next())?,
                }
            }
            "delimiter" => self.delimiter = Some(value(words, "DELIMITER")?),
            "null" => self.null = Some(value(words, "NULL")?),
            "quote" => self.quote = Some(value(words, "QUOTE")?),
            "escape" => self.escape = Some(value(words, "ESCAPE")?),
            "encoding" => encoding(&value(words, "ENCODING")?)?,
            "force_quote" => self.force = Some(forced(words)?),
            other => return Err(refused(format!("COPY TO STDOUT has no option \"{other}\""))),
        }
        Ok(())
    }

    fn old_option(&mut self, words: &mut Words) -> Result<(), Failure> {
        let name = words.name().ok_or_else(|| refused("an option of COPY is missing"))?;
        if matches!(name.as_str(), "delimiter" | "null" | "quote" | "escape" | "encoding") {
            words.take("as");
        }
        match name.as_str() {
            "csv" => self.csv = true,
            "binary" => self.format("binary")?,
            "header" => self.header = true,
            "delimiter" => self.delimiter = Some(value(words, "DELIMITER")?),
            "null" => self.null = Some(value(words, "NULL")?),
            "quote" => self.quote = Some(value(words, "QUOTE")?),
            "escape" => self.escape = Some(value(words, "ESCAPE")?),
            "encoding" => encoding(&value(words, "ENCODING")?)?,
            "force" if words.take("quote") => self.force = Some(forced(words)?),
            other => return Err(refused(format!("COPY TO STDOUT has no option \"{other}\""))),
        }
        Ok(())
    }

    fn format(&mut self, format: &str) -> Result<(), Failure> {
        match format {
            "text" => self.csv = false,
            "csv" => self.csv = true,
            other => {
                return Err(Failure::error(
                    state::FEATURE_NOT_SUPPORTED,
                    format!("COPY TO STDOUT writes text and csv, not {other}"),
                ));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<CopyFormat, Failure> {
        let Self { csv, header, force, .. } = self;
        let byte = |given: Option<String>, usual: u8, name: &str| match given.as_deref() {
            None => Ok(usual),
            Some(text) if text.len() == 1 && !matches!(text, "\n" | "\r") => Ok(text.as_bytes()[0]),
            Some(_) => Err(refused(format!("{name} of COPY is one byte"))),
        };
        if !csv && (self.quote.is_some() || self.escape.is_some() || force.is_some()) {
            return Err(refused("QUOTE, ESCAPE and FORCE_QUOTE of COPY need the format csv"));
        }
        let delimiter = byte(self.delimiter, if csv { b',' } else { b'\t' }, "DELIMITER")?;
        let null = self.null.unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned());
        if null.contains(['\n', '\r']) {
            return Err(refused("NULL of COPY has no line break"));
        }
        let quote = byte(self.quote, b'"', "QUOTE")?;
        if csv && delimiter == quote {
            return Err(refused("DELIMITER and QUOTE of COPY differ"));
        }
        let escape = byte(self.escape, quote, "ESCAPE")?;
        Ok(CopyFormat { csv, delimiter, null, header, quote, escape, force })
    }
}

fn value(words: &mut Words, name: &str) -> Result<String, Failure> {
    words.text().ok_or_else(|| refused(format!("{name} of COPY is a text in single quotes")))
}

fn truth(word: Option<Word>) -> Result<bool, Failure> {
    match word {
        Some(Word::Plain(text) | Word::Text(text) | Word::Number(text)) => match text.as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(refused("HEADER of COPY is true or false")),
        },
        _ => Err(refused("HEADER of COPY is true or false")),
    }
}

fn encoding(name: &str) -> Result<(), Failure> {
    if matches!(name.to_lowercase().as_str(), "utf8" | "utf-8" | "unicode") {
        return Ok(());
    }
    Err(Failure::error(state::FEATURE_NOT_SUPPORTED, "COPY writes UTF8 only"))
}

fn forced(words: &mut Words) -> Result<Forced, Failure> {
    if words.take_sign("*") {
        return Ok(Forced::All);
    }
    let parentheses = words.take_sign("(");
    let mut names = Vec::new();
    loop {
        names.push(words.name().ok_or_else(|| refused("FORCE_QUOTE of COPY names columns"))?);
        if !words.take_sign(",") {
            break;
        }
    }
    if parentheses && !words.take_sign(")") {
        return Err(refused("FORCE_QUOTE of COPY has no closing parenthesis"));
    }
    Ok(Forced::Named(names))
}

impl CopyFormat {
    /// Writes the line of the names.
    pub(super) fn head(&self, names: &[String], out: &mut BytesMut) {
        let texts: Vec<_> =
            names.iter().map(|name| Some(BytesMut::from(name.as_bytes()))).collect();
        // Names have quotes where they need them, and not because of FORCE_QUOTE.
        Self { force: None, ..self.clone() }.line(names, &texts, out);
    }

    /// Writes a row.
    pub(super) fn line(&self, names: &[String], texts: &[Option<BytesMut>], out: &mut BytesMut) {
        for (place, text) in texts.iter().enumerate() {
            if place > 0 {
                out.put_u8(self.delimiter);
            }
            match text {
                None => out.put_slice(self.null.as_bytes()),
                Some(text) if self.csv => {
                    let forced = match &self.force {
                        None => false,
                        Some(Forced::All) => true,
                        Some(Forced::Named(forced)) => {
                            names.get(place).is_some_and(|name| forced.contains(name))
                        }
                    };
                    self.quoted(text, forced || (texts.len() == 1 && text[..] == b"\\."[..]), out);
                }
                Some(text) => self.escaped(text, out),
            }
        }
        out.put_u8(b'\n');
    }

    fn quoted(&self, text: &[u8], forced: bool, out: &mut BytesMut) {
        let special = [self.delimiter, self.quote, b'\n', b'\r'];
        let needs = forced
            || text == self.null.as_bytes()
            || text.iter().any(|byte| special.contains(byte));
        if !needs {
            return out.put_slice(text);
        }
        out.put_u8(self.quote);
        for &byte in text {
            if byte == self.quote || byte == self.escape {
                out.put_u8(self.escape);
            }
            out.put_u8(byte);
        }
        out.put_u8(self.quote);
    }

    fn escaped(&self, text: &[u8], out: &mut BytesMut) {
        for &byte in text {
            let letter = match byte {
                b'\\' => b'\\',
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                byte if byte == self.delimiter => byte,
                byte => {
                    out.put_u8(byte);
                    continue;
                }
            };
            out.put_slice(&[b'\\', letter]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(options: &str, texts: &[Option<&str>]) -> String {
        let format = CopyFormat::read(&mut Words::of(options)).unwrap();
        let names: Vec<_> = (0..texts.len()).map(|place| format!("c{place}")).collect();
        let texts: Vec<_> = texts.iter().map(|text| text.map(BytesMut::from)).collect();
        let mut out = BytesMut::new();
        format.line(&names, &texts, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn text_escapes_what_would_end_a_value() {
        assert_eq!(line("", &[Some("a\tb\\c\nd"), None, Some("")]), "a\\tb\\\\c\\nd\t\\N\t\n");
        assert_eq!(line("with (delimiter '|', null 'x')", &[Some("a|b"), None]), "a\\|b|x\n");
    }

    #[test]
    fn csv_quotes_what_would_end_a_value_or_look_like_null() {
        assert_eq!(
            line("csv header", &[Some("a,b"), Some("q\"q"), None, Some(""), Some("plain")]),
            "\"a,b\",\"q\"\"q\",,\"\",plain\n"
        );
        assert_eq!(
            line("(format csv, force_quote (c1), escape '\\')", &[Some("a"), Some("b\"\\")]),
            "a,\"b\\\"\\\\\"\n"
        );
        assert_eq!(line("(format csv)", &[Some("\\.")]), "\"\\.\"\n");
    }

    #[test]
    fn what_it_cannot_write_is_refused() {
        for options in [
            "binary",
            "(format parquet)",
            "(oids)",
            "(delimiter 'ab')",
            "(quote 'x')",
            "(format csv, delimiter '\"')",
            "(format csv",
            "(encoding 'latin1')",
            "freeze",
        ] {
            assert!(CopyFormat::read(&mut Words::of(options)).is_err(), "{options}");
        }
    }
}
