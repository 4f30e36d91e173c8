//! The engine's operators as lines: as the engine prints them, but files are counted and not listed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use dunlin_plan::operators::file_scan;
use dunlin_plan::words::{bytes, count};

use crate::scans::group_bytes;

/// The longest line. A list of a thousand expressions says no more.
const LONGEST: usize = 300;

/// The operators of a plan, each indented below the one that reads it.
pub(super) fn lines(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut lines = Vec::new();
    append(&mut lines, plan, 0);
    lines
}

fn append(lines: &mut Vec<String>, plan: &Arc<dyn ExecutionPlan>, depth: usize) {
    let text = cut(&shown(plan), LONGEST);
    lines.push(format!("{}{text}", "  ".repeat(depth)));
    for child in plan.children() {
        append(lines, child, depth + 1);
    }
}

struct Shown<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}

fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    let text = Shown(plan.as_ref()).to_string();
    let Some(config) = file_scan(plan) else { return text };
    let files: BTreeSet<_> = config
        .file_groups
        .iter()
        .flat_map(|group| group.iter())
        .map(|file| &file.object_meta.location)
        .collect();
    let size: u64 = config.file_groups.iter().map(group_bytes).sum();
    let groups = count(config.file_groups.len(), "group");
    let counted = format!("{groups} of {}, {}", count(files.len(), "file"), bytes(size));
    // The list of files ends before the projection.
    let rest = text.find("]]}").map_or("", |end| text[end + 3..].trim_start_matches(", "));
    // What the reader derives from the predicate says nothing new.
    let rest = rest.split(", pruning_predicate=").next().unwrap_or(rest);
    format!("DataSourceExec: {counted}{}{rest}", if rest.is_empty() { "" } else { ", " })
}

/// The first characters of a long text.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text of physical expressions without the numbers of columns: `k@3 > 5` is `k > 5`.
pub(super) fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        kept.push_str(before);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        if digits == 0 || before.is_empty() || before.ends_with(char::is_whitespace) {
            kept.push('@');
            rest = after;
        } else {
            rest = &after[digits..];
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_columns_are_left_out() {
        assert_eq!(without_numbers("a@0 > 5 AND b c@12 = x"), "a > 5 AND b c = x");
        assert_eq!(without_numbers("mail = x@y and @1"), "mail = x@y and @1");
        assert_eq!(cut("abc", 2), "ab…");
        assert_eq!(cut("ab", 2), "ab");
    }
}
