//! The whitelist of operators is complete: every operator of the DataFusion in use is in a list.

use std::collections::BTreeSet;
use std::path::Path;

use crate::stages::SHARES_NOTHING;
use crate::tests::metadata::Metadata;

/// Operators that need more than their name to decide, see [`crate::stages::shares_nothing`].
const JUDGED: &[&str] = &["CrossJoinExec", "HashJoinExec", "NestedLoopJoinExec", "SortExec"];

/// Operators that share state between their partitions, or never reach a stage. They run as one task, are cut off, or
/// are refused.
const NOT_SPLIT: &[(&str, &str)] = &[
    ("AnalyzeExec", "handled by the gateway"),
    ("DataSinkExec", "writes; a retry would write twice"),
    ("DmlResultExec", "writes"),
    ("ExplainExec", "handled by the gateway"),
    ("LazyMemoryExec", "generators are one process's state"),
    ("OutputRequirementExec", "exists only while a plan is optimised"),
    ("PartialSortExec", "no wire form"),
    ("PartitionedTopKExec", "no wire form; switched off"),
    ("PiecewiseMergeJoinExec", "counts matches in one process; switched off"),
    ("RecursiveQueryExec", "its rows live in one process"),
    ("RepartitionExec", "by hash it is cut away, other kinds share channels"),
    ("StreamingTableExec", "a stream can be read once"),
    ("SymmetricHashJoinExec", "unbounded inputs only"),
    ("WorkTableExec", "its rows live in one process"),
];

/// Dunlin's own operators.
const OWN: &[&str] =
    &["BestFirstExec", "ConformExec", "ExchangeReaderExec", "KeyFilterExec", "WriteExec"];

#[test]
fn every_operator_of_datafusion_has_been_judged() {
    let found = operators();
    assert!(found.len() > 30, "{found:?}");
    let known = |name: &str| {
        SHARES_NOTHING.contains(&name)
            || JUDGED.contains(&name)
            || NOT_SPLIT.iter().any(|(other, _)| *other == name)
    };
    let unknown: Vec<&String> = found.iter().filter(|name| !known(name)).collect();
    assert!(
        unknown.is_empty(),
        "read these operators of the new DataFusion: does one partition ever look at another's state? \
         Then put them into SHARES_NOTHING or into a list here: {unknown:?}"
    );
    let gone: Vec<&&str> = SHARES_NOTHING
        .iter()
        .chain(JUDGED)
        .chain(NOT_SPLIT.iter().map(|(name, _)| name))
        .filter(|name| !found.contains(**name))
        .filter(|name| !OWN.contains(name))
        .collect();
    assert!(gone.is_empty(), "no such operator any more: {gone:?}");
}

/// Names of all types that implement `ExecutionPlan` in the DataFusion in use, from its source.
fn operators() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for package in Metadata::of_workspace().packages() {
        if package.name.starts_with("datafusion") {
            read(&package.folder.join("src"), &mut found);
        }
    }
    found
}

fn read(folder: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "test" && name != "tests" {
                read(&path, found);
            }
        } else if name.ends_with(".rs") && name != "test.rs" && name != "test_utils.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            // Operators in test modules are indented, so they are not found.
            let lines =
                text.lines().filter_map(|line| line.strip_prefix("impl ExecutionPlan for "));
            found.extend(
                lines.map(|rest| {
                    rest.chars().take_while(|c| c.is_alphanumeric()).collect::<String>()
                }),
            );
        }
    }
}
