//! How the text of a file is written: compressed, with which delimiter, with a header or without.
//!
//! ```text
//!   first 64 KiB ─ decompress ─> records for each delimiter ─> the delimiter with which all records have as many values
//!                                                           └> a first record that looks like data is no header
//! ```
//! It is a guess. Where the text does not tell, nothing is said, and the defaults hold.

use std::io::Read;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use dunlin_planner::config::{Compression, Format};

/// Bytes of a file that are looked at.
pub(super) const SAMPLE: u64 = 64 << 10;
/// Bytes of text that are looked at.
const TEXT: usize = 256 << 10;
/// Records that are looked at.
const RECORDS: usize = 200;
/// What stands between values, the likelier first where several would do.
const DELIMITERS: [char; 4] = [';', '\t', '|', ','];

/// What must be said of text files, because the defaults are otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// The compression that the name does not tell.
    pub(super) compression: Option<Compression>,
    /// Between two values.
    pub(super) delimiter: Option<char>,
    /// The first line is a row.
    pub(super) is_headless: bool,
}

/// The style of a file of this name that begins with these bytes. `is_whole`: these are all its bytes.
pub(super) fn style(name: &str, format: Format, bytes: &[u8], is_whole: bool) -> Style {
    let said = Compression::of(name).map(|(compression, _)| compression);
    let found = magic(bytes);
    let mut style =
        Style { compression: found.filter(|found| said != Some(*found)), ..Style::default() };
    if format != Format::Csv {
        return style;
    }
    let Some((text, is_whole)) = text(bytes, found, is_whole) else { return style };
    let default = match Compression::without(name).to_ascii_lowercase().ends_with(".tsv") {
        true => '\t',
        false => ',',
    };
    let records = |delimiter| records(&text, delimiter, is_whole);
    let best = DELIMITERS.iter().copied().filter_map(|delimiter| {
        let records = records(delimiter);
        let score = score(&records, delimiter)?;
        Some((score, delimiter, records))
    });
    // The first of those with the same score.
    let best = best.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let (delimiter, records) = match best {
        Some((_, delimiter, records)) => (delimiter, records),
        None => (default, records(default)),
    };
    style.delimiter = (delimiter != default).then_some(delimiter);
    style.is_headless = is_headless(&records, delimiter);
    style
}

/// The compression that the first bytes say.
fn magic(bytes: &[u8]) -> Option<Compression> {
    [
        (&b"\x1f\x8b"[..], Compression::Gzip),
        (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        (b"BZh", Compression::Bzip2),
        (b"\xfd7zXZ\x00", Compression::Xz),
    ]
    .into_iter()
    .find_map(|(magic, compression)| bytes.starts_with(magic).then_some(compression))
}

/// The text, and whether it is all of the file's. Nothing if it is no UTF-8.
fn text(bytes: &[u8], compression: Option<Compression>, is_whole: bool) -> Option<(String, bool)> {
    let decoder = match compression {
        None | Some(Compression::None) => FileCompressionType::UNCOMPRESSED,
        Some(Compression::Gzip) => FileCompressionType::GZIP,
        Some(Compression::Zstd) => FileCompressionType::ZSTD,
        Some(Compression::Bzip2) => FileCompressionType::BZIP2,
        Some(Compression::Xz) => FileCompressionType::XZ,
    };
    let mut reader = decoder.convert_read(std::io::Cursor::new(bytes.to_vec())).ok()?;
    let (mut plain, mut is_over) = (Vec::new(), false);
    let mut buffer = [0; 8 << 10];
    while plain.len() < TEXT {
        match reader.read(&mut buffer) {
            Ok(0) => {
                is_over = true;
                break;
            }
            Ok(read) => plain.extend_from_slice(&buffer[..read]),
            // The sample ends in the middle.
            Err(_) => break,
        }
    }
    let text = match std::str::from_utf8(&plain) {
        Ok(text) => text,
        // Cut within a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&plain[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    Some((text.trim_start_matches('\u{feff}').to_owned(), is_over && is_whole))
}

/// The records of a text, each as its values. One that may be cut is left out, and so are empty lines.
fn records(text: &str, delimiter: char, is_whole: bool) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let (mut record, mut value) = (Vec::new(), String::new());
    let mut is_quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                value.push('"');
                letters.next();
            }
            '"' if is_quoted => is_quoted = false,
            '"' if value.is_empty() => is_quoted = true,
            '\r' if !is_quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut value));
                let whole = std::mem::take(&mut record);
                if whole.len() > 1 || !whole[0].is_empty() {
                    records.push(whole);
                }
                if records.len() == RECORDS {
                    return records;
                }
            }
            letter if letter == delimiter && !is_quoted => record.push(std::mem::take(&mut value)),
            letter => value.push(letter),
        }
    }
    if is_whole && !is_quoted && (!record.is_empty() || !value.is_empty()) {
        record.push(value);
        records.push(record);
    }
    records
}

/// How well a delimiter fits, larger is better; nothing if it does not fit.
fn score(records: &[Vec<String>], delimiter: char) -> Option<(usize, bool)> {
    let width = records.first()?.len();
    if width < 2 || records.iter().any(|record| record.len() != width) {
        return None;
    }
    let values = records.iter().flatten();
    let typed = values.clone().filter(|value| is_typed(value, delimiter)).count();
    // Text has blanks after a comma, and a table has none.
    let is_tight = values.clone().filter(|value| value.starts_with(' ')).count() == 0;
    // In thousandths: delimiters differ in the number of values.
    Some((typed * 1_000 / values.count(), is_tight))
}

/// True for a number, a date or time, true and false.
fn is_typed(value: &str, delimiter: char) -> bool {
    let value = value.trim();
    let is_word = ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word));
    is_word || is_number(value, delimiter) || is_date(value)
}

fn is_number(value: &str, delimiter: char) -> bool {
    let digits = value.trim_start_matches(['-', '+']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let is_decimal = |value: &str| value.parse::<f64>().is_ok();
    is_decimal(value) || (delimiter != ',' && is_decimal(&value.replacen(',', ".", 1)))
}

/// `2024-02-29`, and what begins so.
fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => matches!(byte, b'-' | b'/'),
            _ => byte.is_ascii_digit(),
        })
}

/// True if the first record looks like those after it, and not like names of columns.
fn is_headless(records: &[Vec<String>], delimiter: char) -> bool {
    let [first, rest @ ..] = records else { return false };
    if rest.is_empty() {
        return false;
    }
    let is_value = |value: &&String| is_typed(value, delimiter);
    if first.iter().any(|value| is_value(&value)) {
        return true;
    }
    let is_column_typed = |at: usize| {
        let mut values =
            rest.iter().filter_map(|record| record.get(at)).filter(|it| !it.is_empty());
        values.clone().next().is_some() && values.all(|value| is_value(&value))
    };
    if (0..first.len()).any(is_column_typed) {
        return false;
    }
    // All is text. A name of a column is not among its values, and names differ.
    let recurs = |(at, value): (usize, &String)| rest.iter().any(|it| it.get(at) == Some(value));
    let is_twice = |(at, value): (usize, &String)| first[..at].contains(value);
    first.iter().enumerate().any(|it| recurs(it) || is_twice(it))
}

/// The lines of a table's section that say the style, after its format.
pub(super) fn lines(style: Style) -> String {
    let Style { compression, delimiter, is_headless } = style;
    let mut text = String::new();
    if let Some(compression) = compression {
        let name = match compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
        };
        text += &format!("compression = \"{name}\"\n");
    }
    if delimiter.is_some() || is_headless {
        text += "[tables.csv]\n";
    }
    if is_headless {
        text += "header = false\n";
    }
    if let Some(delimiter) = delimiter {
        text += &format!("delimiter = {}\n", serde_json::Value::from(delimiter.to_string()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> (Option<char>, bool) {
        let Style { delimiter, is_headless, .. } =
            style("x.csv", Format::Csv, text.as_bytes(), true);
        (delimiter, is_headless)
    }

    #[test]
    fn the_delimiter_is_the_one_with_which_all_records_are_as_long() {
        assert_eq!(csv("a,b\n1,2\n"), (None, false));
        assert_eq!(csv("a;b\n1;2\n"), (Some(';'), false));
        assert_eq!(csv("a\tb\tc\n1\t2\t3\n"), (Some('\t'), false));
        assert_eq!(csv("a|b\r\n1|2\r\n"), (Some('|'), false));
        // Commas in numbers and in quotes are no delimiters, and others in text are none.
        assert_eq!(csv("name;price\nx;1,50\ny;2,75\n"), (Some(';'), false));
        assert_eq!(csv("1,5;2,5\n3,5;4,5\n"), (Some(';'), true));
        assert_eq!(csv("id,genres\n1,Action|Comedy\n2,Drama|War\n"), (None, false));
        assert_eq!(csv("1,a;b\n2,c;d\n"), (None, true));
        assert_eq!(csv("who;where\n\"Doe; John\";\"a\nb\"\n"), (Some(';'), false));
        assert_eq!(csv("Doe, John;Berlin\nRoe, Jane;Bonn\n"), (Some(';'), false));
        assert_eq!(csv("one column\n1\n2\n"), (None, false));
        // What a name says is said once.
        let tsv = |text: &str| style("x.tsv.gz", Format::Csv, text.as_bytes(), true).delimiter;
        assert_eq!((tsv("a\tb\n1\t2\n"), tsv("a,b\n1,2\n")), (None, Some(',')));
    }

    #[test]
    fn a_first_record_that_looks_like_data_is_no_header() {
        assert_eq!(csv("1,x\n2,y\n"), (None, true));
        assert_eq!(csv("Ada,1815-12-10\nBob,1900-01-01\n"), (None, true));
        assert_eq!(csv("name,born\nBob,1900-01-01\nEve,\n"), (None, false));
        assert_eq!(csv("NL,Texel\nDE,Sylt\nNL,Vlieland\n"), (None, true));
        assert_eq!(csv("country,island\nDE,Sylt\nNL,Vlieland\n"), (None, false));
        assert_eq!(csv("a,a\nb,c\n"), (None, true));
        assert_eq!(csv("only,a,header\n"), (None, false));
        assert_eq!(csv(""), (None, false));
    }

    #[test]
    fn a_cut_record_does_not_count() {
        let cut = style("x.csv", Format::Csv, b"a;b;c\n1;2;3\n4;5", false);
        assert_eq!((cut.delimiter, cut.is_headless), (Some(';'), false));
        // In the middle of a letter.
        let cut = style("x.csv", Format::Csv, &"a;b\n1;2\n3;\u{e4}".as_bytes()[..11], false);
        assert_eq!(cut.delimiter, Some(';'));
        let latin = style("x.csv", Format::Csv, b"a;b\n1;\xe4\n", true);
        assert_eq!(latin, Style::default());
    }
}
