//! Which tables the files of a folder may be.
//!
//! ```text
//!   lake/orders/part-0.parquet, part-1.parquet     table orders:  lake/orders/
//!   lake/events/day=1/a.parquet, day=2/b.parquet   table events:  lake/events/        `day` is a column
//!   lake/sales/2024-01.csv, 2024-02.csv            table sales:   lake/sales/
//!   lake/customers.csv, lake/nations.csv           tables customers and nations
//!   lake/log-1.json, lake/log-2.json               table log:     lake/log-*.json
//! ```
//! It is a guess for people to read and correct, so it is simple: names that differ only in numbers are one table.

use std::collections::{BTreeMap, BTreeSet};

use dunlin_planner::config::{Compression, Format};

/// A table that was guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// Its name, which is an identifier.
    pub(super) name: String,
    /// Where it is below the folder that was looked at: a folder (ends in `/`, or is empty), a pattern, or files.
    pub(super) places: Vec<String>,
    /// The format of its files.
    pub(super) format: Format,
    /// True if the format must be said: the place does not tell it, or files of another format lie there, too.
    pub(super) says_format: bool,
    /// One of its files, below the folder that was looked at.
    pub(super) sample: String,
    /// Its files.
    pub(super) files: usize,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guesses {
    /// The tables, by place.
    pub(super) tables: Vec<Guess>,
    /// Files that no table has, because their names say no format.
    pub(super) left: usize,
}

#[derive(Debug, Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: Vec<(&'a str, Format, u64)>,
}

/// Guesses tables from the paths of files below a folder, and their sizes. `root` names a table that is the whole folder.
pub(super) fn tables(files: &[(String, u64)], root: &str) -> Guesses {
    let mut top = Folder::default();
    let mut found = Guesses::default();
    for (path, size) in files {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let Some((name, folders)) = parts.split_last() else { continue };
        let is_hidden = |part: &&str| part.starts_with(['_', '.']) && !part.contains('=');
        if *size == 0 || parts.iter().any(is_hidden) {
            continue;
        }
        let Some(format) = Format::of(name) else {
            found.left += 1;
            continue;
        };
        let folder =
            folders.iter().fold(&mut top, |folder, part| folder.folders.entry(*part).or_default());
        folder.files.push((*name, format, *size));
    }
    let mut names = BTreeSet::new();
    visit(&top, "", root, &mut |guess| {
        let name = unused(&guess.name, &mut names);
        found.tables.push(Guess { name, ..guess });
    });
    found
}

fn visit(folder: &Folder<'_>, path: &str, name: &str, add: &mut impl FnMut(Guess)) {
    let is_table = folder.folders.keys().any(|name| name.contains('='));
    let stems: BTreeSet<&str> = folder.files.iter().map(|(name, ..)| stem(name)).collect();
    let is_numbered = folder.folders.is_empty() && stems.len() == 1 && folder.files.len() > 1;
    // One file in a folder of its own is the first of a table that will have more.
    let is_first = folder.folders.is_empty() && folder.files.len() == 1 && !path.is_empty();
    if is_table || is_numbered || is_first {
        let mut formats: BTreeMap<&str, (Format, usize, u64)> = BTreeMap::new();
        count(folder, &mut formats);
        let is_mixed = formats.len() > 1;
        for (format, files, bytes) in formats.values().copied() {
            let sample = first(folder, path, format).unwrap_or_default();
            let suffix = if is_mixed { format!("_{}", format.name()) } else { String::new() };
            let name = identifier(&format!("{name}{suffix}"));
            // A folder is one of Parquet files unless something else is said.
            let says_format = is_mixed || format != Format::Parquet;
            let places = vec![path.to_owned()];
            add(Guess { name, places, format, says_format, sample, files, bytes });
        }
        return;
    }
    for stem_of in stems {
        let own = || folder.files.iter().filter(|(name, ..)| stem(name) == stem_of);
        let formats: BTreeSet<&str> = own().map(|(_, format, _)| format.name()).collect();
        for format in formats {
            let of_format: Vec<_> = own().filter(|(_, of, _)| of.name() == format).collect();
            let Some((first, kind, _)) = of_format.first() else { continue };
            let (files, bytes) = (of_format.len(), of_format.iter().map(|(.., size)| size).sum());
            let (start, end) = (stem_of, format!(".{}", ending(first)));
            let matches = |name: &str| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(&end)
            };
            // A pattern that has exactly these files, or each of them.
            let is_pattern = of_format.iter().all(|(name, ..)| matches(name))
                && folder.files.iter().filter(|(name, ..)| matches(name)).count() == files;
            let places = match files {
                2.. if is_pattern => vec![format!("{path}{start}*{end}")],
                _ => of_format.iter().map(|(name, ..)| format!("{path}{name}")).collect(),
            };
            let name = match stem_of.trim_matches(|c: char| !c.is_alphanumeric()) {
                "" => identifier(name),
                stem => identifier(stem),
            };
            let (format, sample) = (*kind, format!("{path}{first}"));
            add(Guess { name, places, format, says_format: false, sample, files, bytes });
        }
    }
    for (name, below) in &folder.folders {
        visit(below, &format!("{path}{name}/"), name, add);
    }
}

fn count<'a>(folder: &Folder<'a>, formats: &mut BTreeMap<&'a str, (Format, usize, u64)>) {
    for (_, format, size) in &folder.files {
        let (_, files, bytes) = formats.entry(format.name()).or_insert((*format, 0, 0));
        (*files, *bytes) = (*files + 1, *bytes + size);
    }
    folder.folders.values().for_each(|below| count(below, formats));
}

/// The first file of a format in a folder or below.
fn first(folder: &Folder<'_>, path: &str, format: Format) -> Option<String> {
    let own = folder.files.iter().find(|(_, of, _)| *of == format);
    own.map(|(name, ..)| format!("{path}{name}")).or_else(|| {
        let mut below = folder.folders.iter();
        below.find_map(|(name, below)| first(below, &format!("{path}{name}/"), format))
    })
}

/// A name up to its ending, without the numbers at its end: what files of one table have in common.
fn stem(name: &str) -> &str {
    let name = Compression::without(name);
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | 'T' | 'Z');
    let short = name.trim_end_matches(is_number);
    // Names that programs make: `part-00000-3fa9c1d2-….c000`, or nothing but such a number.
    let made = name.split(['-', '_', '.']).find(|part| {
        part.len() >= 8 && part.chars().all(|c| c.is_ascii_hexdigit())
            || part.len() >= 3 && part.chars().all(|c| c.is_ascii_digit())
    });
    match made.and_then(|part| name.find(part)) {
        Some(at) if at < short.len() => name[..at].trim_end_matches(is_number),
        _ => short,
    }
}

/// The ending of a name, with that of a compression.
fn ending(name: &str) -> &str {
    let plain = Compression::without(name);
    let from = plain.rfind('.').map_or(name.len(), |dot| dot + 1);
    &name[from..]
}

/// A text as a name that needs no quotes.
fn identifier(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    match plain.trim_matches('_') {
        "" => "files".to_owned(),
        name if name.starts_with(|c: char| c.is_ascii_digit()) => format!("t_{name}"),
        name => name.to_owned(),
    }
}

/// The name, or the first of `name_2`, `name_3`, … that is not taken.
fn unused(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2u32..).map(|number| format!("{name}_{number}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.unwrap_or_else(|| name.to_owned());
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn guessed(paths: &[&str]) -> Vec<(String, String, usize)> {
        let files: Vec<(String, u64)> = paths.iter().map(|path| ((*path).to_owned(), 10)).collect();
        let found = tables(&files, "My Lake");
        let one = |guess: Guess| (guess.name, guess.places.join(" "), guess.files);
        found.tables.into_iter().map(one).collect()
    }

    fn one(name: &str, place: &str, files: usize) -> (String, String, usize) {
        (name.to_owned(), place.to_owned(), files)
    }

    #[test]
    fn folders_files_and_numbers_become_tables() {
        let found = guessed(&[
            "orders/part-0.parquet",
            "orders/part-1.parquet",
            "events/day=1/a.parquet",
            "events/day=2/b.parquet",
            "sales/2024-01.csv",
            "sales/2024-02.csv.gz",
            "only/x.csv",
            "customers.csv",
            "nations.csv",
            "log-1.json",
            "log-2.json",
            "_tmp/x.csv",
            "orders/.crc.parquet",
        ]);
        let wanted = [
            one("customers", "customers.csv", 1),
            one("log", "log*.json", 2),
            one("nations", "nations.csv", 1),
            one("events", "events/", 2),
            one("only", "only/", 1),
            one("orders", "orders/", 2),
            one("sales", "sales/", 2),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_whole_folder_may_be_one_table() {
        assert_eq!(guessed(&["a=1/x.parquet", "a=2/y.parquet"]), [one("my_lake", "", 2)]);
        let spark = [
            "part-00000-3fa9c1d2-0f1e-4c2b-8d3a-1b2c3d4e5f60-c000.snappy.parquet",
            "part-00001-9ab9c1d2-0f1e-4c2b-8d3a-1b2c3d4e5f60-c000.snappy.parquet",
        ];
        assert_eq!(guessed(&spark), [one("my_lake", "", 2)]);
        assert_eq!(guessed(&["2024.csv", "2025.csv"]), [one("my_lake", "", 2)]);
        assert_eq!(guessed(&[]), []);
    }

    #[test]
    fn names_are_identifiers_and_each_is_used_once() {
        let found = guessed(&["a/Ord-ers.csv", "b/ord_ers/x-1.csv", "b/ord_ers/x-2.csv", "7.csv"]);
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["my_lake", "a", "ord_ers"]);
        let found = guessed(&["a/t/1.csv", "a/t/2.csv", "b/t/1.csv", "b/t/2.csv"]);
        assert_eq!(found, [one("t", "a/t/", 2), one("t_2", "b/t/", 2)]);
    }

    #[test]
    fn a_pattern_takes_no_file_of_another_table() {
        let found = guessed(&["log-1.json", "log-2.json", "logins.json"]);
        let wanted = [one("log", "log-1.json log-2.json", 2), one("logins", "logins.json", 1)];
        assert_eq!(found, wanted);
        let found = guessed(&["2024.csv", "2025.csv", "customers.csv"]);
        let wanted = [one("my_lake", "2024.csv 2025.csv", 2), one("customers", "customers.csv", 1)];
        assert_eq!(found, wanted);
        let found = guessed(&["log-1.json", "log-2.jsonl.gz", "x.csv"]);
        assert_eq!(found[0], one("log", "log-1.json log-2.jsonl.gz", 2));
    }

    #[test]
    fn formats_that_lie_together_are_tables_of_their_own() {
        let files = ["d=1/a.csv", "d=1/a.parquet", "d=2/b.csv"].map(|path| (path.to_owned(), 5));
        let found = tables(&files, "lake").tables;
        let told: Vec<_> = found
            .iter()
            .map(|guess| (guess.name.as_str(), guess.says_format, guess.files))
            .collect();
        assert_eq!(told, [("lake_csv", true, 2), ("lake_parquet", true, 1)]);
        let left = tables(&[("README.md".to_owned(), 1), ("x.csv".to_owned(), 0)], "lake");
        assert_eq!((left.tables.len(), left.left), (0, 1));
    }
}
