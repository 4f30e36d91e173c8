//! The shell's own commands: `\d`, `\format csv`, …

use clap::ValueEnum;

use crate::print::{Expanded, Format};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Lists tables whose names contain a text.
    Tables(Option<String>),
    /// Shows the columns of a table or file.
    Describe(String),
    /// Lists functions whose names contain a text.
    Functions(Option<String>),
    /// Turns the line after an answer on or off.
    Timing(Option<bool>),
    /// Prints values on lines of their own.
    Expanded(Option<Expanded>),
    /// Runs a file.
    Include(String),
    /// Writes answers to a file, or to standard output again.
    Output(Option<String>),
    /// Sets the format, or says which it is.
    Format(Option<Format>),
    /// Waits for a query again.
    Attach(String),
    /// Forgets the names of tables and columns.
    Refresh,
    Help,
    Quit,
}

/// The commands, as `\?` shows them and completion knows them: name, argument, what it does.
pub(super) const COMMANDS: &[(&str, &str, &str)] = &[
    ("?", "", "this list"),
    ("d", "[TABLE]", "columns of a table or of a 'file'; without a name, tables"),
    ("dt", "[TEXT]", "tables whose names contain TEXT"),
    ("df", "[TEXT]", "functions whose names contain TEXT"),
    ("x", "[on|off|auto]", "each value on a line of its own; auto: where a table is too wide"),
    ("timing", "[on|off]", "the line after an answer"),
    ("format", "[FORMAT]", "table, csv, tsv, json, jsonl, markdown, arrow, parquet"),
    ("o", "[FILE]", "write answers to FILE; without a name, to the terminal again"),
    ("i", "FILE", "run the statements of FILE"),
    ("attach", "ID", "wait for a query again"),
    ("refresh", "", "read the names of tables and columns again, for completion"),
    ("q", "", "end"),
];

/// What `\?` shows.
pub(super) fn help() -> String {
    let mut text = String::from(
        "A statement ends with ; and may have several lines. Tab completes names.\n\
         Ctrl+C clears the line, or stops waiting for a query; Ctrl+D ends.\n\n",
    );
    for (name, argument, what) in COMMANDS {
        let usage = format!("\\{name} {argument}");
        text.push_str(&format!("  {usage:<18} {what}\n"));
    }
    text
}

impl Command {
    /// Reads a command, without its backslash.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let given = (!rest.is_empty()).then(|| rest.to_owned());
        let needed = |what: &str| {
            given.clone().ok_or_else(|| format!("\\{name} needs {what}; \\? lists the commands"))
        };
        Ok(match name {
            "d" => given.map_or(Self::Tables(None), Self::Describe),
            "dt" => Self::Tables(given),
            "df" => Self::Functions(given),
            "timing" => Self::Timing(given.map(|text| on(name, &text)).transpose()?),
            "x" => Self::Expanded(given.map(|text| expanded(&text)).transpose()?),
            "i" => Self::Include(unquoted(&needed("the name of a file")?)),
            "o" => Self::Output(given.map(|text| unquoted(&text))),
            "format" => Self::Format(given.map(|text| format(&text)).transpose()?),
            "attach" => Self::Attach(needed("the id of a query")?),
            "refresh" => Self::Refresh,
            "?" | "h" | "help" => Self::Help,
            "q" | "quit" => Self::Quit,
            other => return Err(format!("there is no command \\{other}; \\? lists the commands")),
        })
    }
}

fn on(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("\\{name} is on or off")),
    }
}

fn expanded(text: &str) -> Result<Expanded, String> {
    match text {
        "auto" => Ok(Expanded::Auto),
        "on" => Ok(Expanded::On),
        "off" => Ok(Expanded::Off),
        _ => Err("\\x is on, off or auto".to_owned()),
    }
}

fn format(text: &str) -> Result<Format, String> {
    Format::from_str(text, true).map_err(|_| {
        let names = Format::value_variants().iter().map(|format| format.name());
        format!("there is no format {text}; there are {}", names.collect::<Vec<_>>().join(", "))
    })
}

/// A name of a file may be in quotes.
fn unquoted(text: &str) -> String {
    let inside = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inside('\'').or_else(|| inside('"')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_arguments() {
        for (line, expected) in [
            ("d", Command::Tables(None)),
            ("d orders;", Command::Describe("orders".to_owned())),
            ("d 'a b.parquet'", Command::Describe("'a b.parquet'".to_owned())),
            ("dt li", Command::Tables(Some("li".to_owned()))),
            ("timing", Command::Timing(None)),
            ("timing off", Command::Timing(Some(false))),
            ("x auto", Command::Expanded(Some(Expanded::Auto))),
            ("i 'a b.sql'", Command::Include("a b.sql".to_owned())),
            ("o", Command::Output(None)),
            ("format CSV", Command::Format(Some(Format::Csv))),
            ("q", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn mistakes_say_what_there_is() {
        for (line, says) in [
            ("nope", "there is no command \\nope"),
            ("", "there is no command \\;"),
            ("i", "\\i needs the name of a file"),
            ("timing maybe", "\\timing is on or off"),
            ("format orc", "there are table, csv, tsv, json, jsonl, markdown, arrow, parquet"),
        ] {
            let said = Command::parse(line).err().unwrap_or_default();
            assert!(said.contains(says), "{line}: {said}");
        }
    }

    #[test]
    fn every_command_of_the_list_is_one() {
        for (name, ..) in COMMANDS {
            let line = format!("{name} x");
            let unknown = format!("there is no command \\{name}");
            assert!(!Command::parse(&line).err().unwrap_or_default().contains(&unknown), "{name}");
            assert!(help().contains(&format!("\\{name} ")), "{name}");
        }
    }
}
