//! `dunlin record`: a stored record as text. All records are JSON but the seal of a group, which is binary.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use dunlin_manifest::records::block::{decode_block, is_block};
use serde_json::{Value, json};

use crate::stdout::print;

/// Arguments of `dunlin record`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The record's file; `-` reads the standard input.
    file: PathBuf,
}

/// Prints the record.
///
/// # Errors
/// The file cannot be read, or is not a record.
pub fn run(options: &Options) -> Result<()> {
    let bytes = if options.file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        bytes
    } else {
        std::fs::read(&options.file)
            .with_context(|| format!("cannot read {}", options.file.display()))?
    };
    print(&format!("{:#}\n", as_text(&bytes)?))
}

fn as_text(bytes: &[u8]) -> Result<Value> {
    if !is_block(bytes) {
        return serde_json::from_slice(bytes).context("this is not a record");
    }
    let (head, rows) = decode_block(bytes)?;
    let row = |(bucket, slices): &(u32, Vec<_>)| json!({ "bucket": bucket, "slices": slices });
    Ok(json!({
        "stage": head.stage,
        "group": head.group,
        "manifest": head.manifest,
        "tasks": head.tasks,
        "buckets": rows.iter().map(row).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dunlin_manifest::records::block::encode_block;

    use super::*;

    #[test]
    fn a_block_and_every_other_record_are_printed_as_json() {
        let block = encode_block(3, 1, "m", &[]).unwrap();
        let text = as_text(&block).unwrap();
        assert_eq!(
            (&text["stage"], &text["group"], &text["tasks"]),
            (&json!(3), &json!(1), &json!([]))
        );
        assert_eq!(as_text(b"{\"v\":4}").unwrap(), json!({ "v": 4 }));
        assert!(as_text(b"PAR1").is_err() && as_text(&block[..9]).is_err());
    }
}
