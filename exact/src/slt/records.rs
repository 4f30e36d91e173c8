//! The statements and queries of a sqllogictest file, without their recorded answers. The expected answer comes from
//! a single DataFusion process over the same files. The `sqllogictest` crate parses more, but adds a dozen
//! dependencies.

use std::path::{Path, PathBuf};

/// One statement or query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// `joins.slt:12`, or `joins.slt/join.slt.part:12` for what a file includes.
    pub(crate) at: String,
    /// A query is compared; a statement changes the tables.
    pub(crate) is_query: bool,
    /// The file expects it to fail.
    pub(crate) fails: bool,
    pub(crate) sql: String,
}

/// The name of DataFusion in `onlyif` and `skipif` lines.
const LABEL: &str = "Datafusion";

/// Reads a file and the files that it includes. `name` is used in messages.
pub(crate) fn read(path: &Path, name: &str) -> Vec<Record> {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut records = Vec::new();
    let mut at = 0;
    let mut left_out = false;
    while at < lines.len() {
        let mut words = lines[at].split_whitespace();
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let line = at + 1;
        at += 1;
        match first {
            "onlyif" => left_out |= second != LABEL,
            "skipif" => left_out |= second == LABEL,
            "include" => {
                for included in matching(path.parent().unwrap_or(Path::new("")), second) {
                    let part = included.file_name().unwrap_or_default().to_string_lossy();
                    records.extend(read(&included, &format!("{name}/{part}")));
                }
            }
            "statement" | "query" => {
                let fails = second == "error";
                let sql = until(&lines, &mut at, |line| line.is_empty() || line == "----");
                let answered = at > 0 && lines.get(at - 1) == Some(&"----");
                if answered {
                    skip_answer(&lines, &mut at, fails);
                }
                if !left_out {
                    let is_query = first == "query";
                    records.push(Record { at: format!("{name}:{line}"), is_query, fails, sql });
                }
                left_out = false;
            }
            _ => {}
        }
    }
    records
}

/// The lines up to the one that ends them, which is skipped.
fn until(lines: &[&str], at: &mut usize, ends: impl Fn(&str) -> bool) -> String {
    let start = *at;
    let length = lines[start..].iter().take_while(|line| !ends(line)).count();
    *at = start + length + 1;
    lines[start..start + length].join("\n")
}

/// A recorded error ends with two empty lines, rows with one.
fn skip_answer(lines: &[&str], at: &mut usize, fails: bool) {
    while *at < lines.len() {
        let ends = lines[*at].is_empty()
            && (!fails || lines.get(*at + 1).is_none_or(|line| line.is_empty()));
        *at += 1;
        if ends {
            return;
        }
    }
}

/// The files that an `include` names: at most one `*`, in the file's name.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = folder.join(pattern);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((before, after)) = name.split_once('*') else { return vec![path] };
    let folder = path.parent().unwrap_or(folder);
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(before) && name.ends_with(after)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_file_is_read_as_its_statements_and_queries() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("p1.part", "statement ok\nDROP TABLE t\n");
    write("p2.part", "onlyif postgres\nquery I\nSELECT 0\n----\n0\n");
    write(
        "a.slt",
        "# query I\nstatement ok\nCREATE TABLE t(\n  a int)\n\nquery I rowsort label\nSELECT 1\n----\nstatement ok\n1\n\n\
         query error DataFusion error\nSELECT x\n\nquery error\nSELECT y\n----\none\n\nquery I\n\n\n\
         skipif postgres\nquery I\nSELECT 2\n----\n2\n\ninclude ./p*.part\n",
    );
    let read = read(&folder.path().join("a.slt"), "a.slt");
    let seen: Vec<(&str, bool, bool, &str)> =
        read.iter().map(|r| (r.at.as_str(), r.is_query, r.fails, r.sql.as_str())).collect();
    let want = [
        ("a.slt:2", false, false, "CREATE TABLE t(\n  a int)"),
        ("a.slt:6", true, false, "SELECT 1"),
        ("a.slt:12", true, true, "SELECT x"),
        ("a.slt:15", true, true, "SELECT y"),
        ("a.slt:24", true, false, "SELECT 2"),
        ("a.slt/p1.part:1", false, false, "DROP TABLE t"),
    ];
    assert_eq!(seen, want);
}
