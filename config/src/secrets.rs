//! `${secrets:NAME}`: a reference to a secret, which a file or the environment holds.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dunlin_plan::redact::{know, redact};

use crate::environment::Environment;
use crate::node::Part;

const OPEN: &str = "${secrets:";
const CLOSE: char = '}';

/// Why a reference cannot be resolved. It never has a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing has it.
    #[error("the secret {name} is not there: {looked}")]
    Missing {
        /// Its name.
        name: String,
        /// Where it was looked for.
        looked: String,
    },
    /// It has no text.
    #[error("the secret {name} is empty in {place}")]
    Empty {
        /// Its name.
        name: String,
        /// Where it is.
        place: String,
    },
    /// Its file cannot be read.
    #[error("the secret {name} cannot be read from {path}: {why}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Its file.
        path: String,
        /// The error of the system.
        why: String,
    },
    /// The reference is not one.
    #[error(
        "a reference to a secret is ${{secrets:NAME}}, and NAME has letters, digits, `_`, `-` and `.` only"
    )]
    Malformed,
    /// The value of this key is written into queries or into the state.
    #[error(
        "this key may hold no secret, because its value is written into the state; put credentials into params"
    )]
    Written,
}

/// Where secrets are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    folder: Option<PathBuf>,
    environment: Environment,
}

impl Secrets {
    pub(crate) fn new(folder: Option<&str>, environment: Environment) -> Self {
        Self { folder: folder.map(PathBuf::from), environment }
    }

    /// The text with each reference replaced, and whether it had one.
    pub(crate) fn resolve<'a>(&self, text: &'a str) -> Result<(Cow<'a, str>, bool), SecretError> {
        if !has_reference(text) {
            return Ok((Cow::Borrowed(text), false));
        }
        let mut resolved = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (name, after) = after.split_once(CLOSE).ok_or(SecretError::Malformed)?;
            resolved += before;
            resolved += &self.find(name)?;
            rest = after;
        }
        resolved += rest;
        know(&resolved);
        Ok((Cow::Owned(resolved), true))
    }

    fn find(&self, name: &str) -> Result<String, SecretError> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_letter) {
            return Err(SecretError::Malformed);
        }
        let mut looked = Vec::new();
        if let Some(folder) = &self.folder {
            let path = folder.join(name);
            match from_file(name, &path)? {
                Some(value) => return known(name, value, &path.display().to_string()),
                None => looked.push(format!("no file {}", path.display())),
            }
        }
        if let Some(value) = self.environment.get(name) {
            return known(name, value.to_owned(), "the environment");
        }
        looked.push(format!("no environment variable {name}"));
        if self.folder.is_none() {
            looked.push("and [secrets] folder is not set".to_owned());
        }
        Err(SecretError::Missing { name: name.to_owned(), looked: looked.join(", ") })
    }
}

/// The text of a secret's file without the newline at its end; `None` if there is no file.
fn from_file(name: &str, path: &Path) -> Result<Option<String>, SecretError> {
    match std::fs::read_to_string(path) {
        Ok(mut text) => {
            let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
            if let Some(length) = end.map(str::len) {
                text.truncate(length);
            }
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SecretError::Unreadable {
            name: name.to_owned(),
            path: path.display().to_string(),
            why: error.to_string(),
        }),
    }
}

fn known(name: &str, value: String, place: &str) -> Result<String, SecretError> {
    if value.is_empty() {
        return Err(SecretError::Empty { name: name.to_owned(), place: place.to_owned() });
    }
    know(&value);
    Ok(value)
}

/// Whether a text has a reference to a secret.
#[must_use]
pub fn has_reference(text: &str) -> bool {
    text.contains(OPEN)
}

/// Standard error for logs: no line shows a secret that this process has resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct RedactedStderr;

impl Write for RedactedStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log writes a line at a time.
        let text = String::from_utf8_lossy(bytes);
        io::stderr().write_all(redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Whether the value of a key is written into queries or the state, where it would stay: the places and columns of tables are
/// in every plan, a gateway's address is in its hint, and the name of a key is in logs.
pub(crate) fn is_written(path: &[Part]) -> bool {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|part| match part {
            Part::Key(key) => Some(key.as_str()),
            Part::Entry(_) => None,
        })
        .collect();
    match keys.as_slice() {
        ["tables", "params", ..] => false,
        ["tables" | "engine" | "files" | "secrets", ..] => true,
        ["gateway", "advertise" | "postgres"] => true,
        ["gateway", "keys", "name" | "scopes" | "workgroup"] => true,
        ["gateway", "workgroups", "name"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secrets(folder: Option<&Path>) -> Secrets {
        let environment =
            [("IN_BOTH", "from-environment"), ("ONLY_HERE", "here-only"), ("NONE", "")];
        let folder = folder.map(|folder| folder.display().to_string());
        Secrets::new(folder.as_deref(), environment.into_iter().collect())
    }

    #[test]
    fn a_file_comes_before_the_environment_and_loses_its_newline() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("IN_BOTH"), "from file\n").unwrap();
        let secrets = secrets(Some(folder.path()));
        let resolved = |text| secrets.resolve(text).map(|(text, is)| (text.into_owned(), is));
        assert_eq!(resolved("${secrets:IN_BOTH}").unwrap(), ("from file".to_owned(), true));
        let both = resolved("a-${secrets:ONLY_HERE}-${secrets:IN_BOTH}-b").unwrap().0;
        assert_eq!(both, "a-here-only-from file-b");
        assert_eq!(resolved("$ {secrets}").unwrap(), ("$ {secrets}".to_owned(), false));
    }

    #[test]
    fn what_is_missing_is_named_with_the_places() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            secrets(Some(folder.path())).resolve("${secrets:GONE}").unwrap_err().to_string();
        for part in ["GONE", &folder.path().join("GONE").display().to_string(), "environment"] {
            assert!(error.contains(part), "{error}");
        }
        let error = secrets(None).resolve("${secrets:GONE}").unwrap_err().to_string();
        assert!(error.contains("[secrets] folder is not set"), "{error}");
        assert!(matches!(secrets(None).resolve("${secrets:NONE}"), Err(SecretError::Empty { .. })));
        for text in ["${secrets:a/b}", "${secrets:..}", "${secrets:}", "${secrets:open"] {
            assert_eq!(secrets(None).resolve(text).unwrap_err(), SecretError::Malformed, "{text}");
        }
        std::fs::create_dir(folder.path().join("FOLDER")).unwrap();
        let error = secrets(Some(folder.path())).resolve("${secrets:FOLDER}").unwrap_err();
        assert!(matches!(error, SecretError::Unreadable { .. }));
    }

    #[test]
    fn what_was_resolved_is_shown_nowhere() {
        let environment: Environment = [("A", "plan\"ted-1"), ("B", "xyz")].into_iter().collect();
        let secrets = Secrets::new(None, environment);
        assert!(!format!("{secrets:?}").contains("ted-1"));
        secrets.resolve("${secrets:A}").unwrap();
        secrets.resolve("${secrets:B}").unwrap();
        assert_eq!(redact("is plan\"ted-1 or plan\\\"ted-1?"), "is ******** or ********?");
        assert_eq!(redact("xyz"), "xyz", "too short to hide");
    }

    #[test]
    fn keys_that_are_written_down_are_known() {
        let path =
            |text: &str| text.split('.').map(|key| Part::Key(key.to_owned())).collect::<Vec<_>>();
        for written in ["tables.location", "engine.exchange_compression", "gateway.advertise"] {
            assert!(is_written(&path(written)), "{written}");
        }
        for kept in ["tables.params.s3_secret", "state.location", "gateway.tls.key"] {
            assert!(!is_written(&path(kept)), "{kept}");
        }
    }
}
