//! Files that are about as large as a partition are not cut.
//!
//! ```text
//!  DataFusion: equal bytes     │ a ......│. b .....│.. c ....│      each partition opens two files, one for some bytes
//!  here: whole files           │ a .......│ b .......│ c .....│
//! ```
//! DataFusion gives each partition of a scan the same number of bytes. Files of nearly the same size are then cut a little
//! before their ends. The rest has no row group, but its partition reads the footer to learn that: a request that waits, on a
//! store that is far away. And what footers tell of whole files is not known of their parts.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::operators::file_scan;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// The largest partition may have this part of the bytes of an equal one.
pub(super) const MOST: f64 = 1.2;

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("whole_files", whole)
}

fn whole(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(groups) = file_scan(&node).and_then(groups_of_whole_files) else {
        return Ok(Transformed::no(node));
    };
    let Some(scan) = file_scan(&node) else { return Ok(Transformed::no(node)) };
    let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
    Ok(Transformed::yes(DataSourceExec::from_data_source(scan)))
}

/// As many groups of the same files, none of which is cut; `None` if nothing is cut, if the rows have an order, or if some
/// group would be much larger than the others.
fn groups_of_whole_files(scan: &FileScanConfig) -> Option<Vec<FileGroup>> {
    let count = scan.file_groups.len();
    let parts = || scan.file_groups.iter().flat_map(|group| group.iter());
    if count < 2 || !scan.output_ordering.is_empty() || parts().all(|part| part.range.is_none()) {
        return None;
    }
    // The parts of a file follow one another, from its first byte to its last.
    let mut files: Vec<PartitionedFile> = Vec::new();
    let mut until = 0;
    for part in parts() {
        let size = part.object_meta.size;
        let (start, end) = match &part.range {
            Some(range) => (u64::try_from(range.start).ok()?, u64::try_from(range.end).ok()?),
            None => (0, size),
        };
        if start == 0 {
            let is_over = files.last().is_none_or(|last| until >= last.object_meta.size);
            if !is_over {
                return None;
            }
            files.push(PartitionedFile { range: None, ..part.clone() });
        } else if start != until || files.last()?.object_meta != part.object_meta {
            return None;
        }
        until = end;
    }
    if files.last().is_none_or(|last| until < last.object_meta.size) || files.len() < count {
        return None;
    }
    in_groups(files, count)
}

/// Files in `count` groups of neighbours, each of about the same number of bytes.
#[allow(clippy::cast_precision_loss)] // shares of bytes
fn in_groups(files: Vec<PartitionedFile>, count: usize) -> Option<Vec<FileGroup>> {
    let total: u64 = files.iter().map(|file| file.object_meta.size).sum();
    let equal = total as f64 / count as f64;
    let mut groups: Vec<(f64, Vec<PartitionedFile>)> = vec![(0.0, Vec::new()); count];
    let mut before = 0.0;
    for file in files {
        let size = file.object_meta.size as f64;
        // Where the middle of the file would be.
        let middle = (before + size / 2.0) / equal;
        let place = (0..count).rfind(|place| *place as f64 <= middle).unwrap_or(0);
        groups[place].0 += size;
        groups[place].1.push(file);
        before += size;
    }
    let is_even = groups.iter().all(|(bytes, files)| !files.is_empty() && *bytes <= equal * MOST);
    is_even.then(|| groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::physical_plan::ParquetSource;
    use datafusion::execution::object_store::ObjectStoreUrl;

    use super::*;

    /// A scan of parts of files: their numbers, sizes, and the ranges.
    fn scan(groups: &[&[(u8, u64, i64, i64)]]) -> FileScanConfig {
        let part = |(name, size, start, end): &(u8, u64, i64, i64)| {
            PartitionedFile::new(format!("t/{name}.parquet"), *size).with_range(*start, *end)
        };
        let groups = groups.iter().map(|group| FileGroup::new(group.iter().map(part).collect()));
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let source = Arc::new(ParquetSource::new(schema));
        FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups.collect())
            .build()
    }

    fn names(groups: &[FileGroup]) -> Vec<Vec<String>> {
        let name = |file: &PartitionedFile| file.object_meta.location.to_string();
        groups.iter().map(|group| group.iter().map(name).collect()).collect()
    }

    #[test]
    fn files_of_about_the_same_size_are_not_cut() {
        let cut = scan(&[&[(0, 102, 0, 100)], &[(0, 102, 100, 102), (1, 98, 0, 98)]]);
        let whole = groups_of_whole_files(&cut).unwrap();
        assert_eq!(names(&whole), [["t/0.parquet"], ["t/1.parquet"]]);
        assert!(whole.iter().flat_map(|group| group.iter()).all(|file| file.range.is_none()));
        let many = scan(&[
            &[(0, 50, 0, 50), (1, 60, 0, 50)],
            &[(1, 60, 50, 60), (2, 40, 0, 40), (3, 50, 0, 50)],
        ]);
        assert_eq!(
            names(&groups_of_whole_files(&many).unwrap())[1],
            ["t/2.parquet", "t/3.parquet"]
        );
    }

    #[test]
    fn what_would_be_uneven_or_is_not_all_of_a_file_stays_as_it_is() {
        for groups in [
            &[&[(0, 200, 0, 100)][..], &[(0, 200, 100, 200)]][..],
            &[&[(0, 150, 0, 90)], &[(0, 150, 90, 150), (1, 30, 0, 30)]],
            &[&[(0, 100, 0, 100)], &[(1, 100, 0, 90)]],
            &[&[(0, 100, 10, 100)], &[(1, 100, 0, 100)]],
            &[&[(0, 100, 0, 50), (1, 100, 0, 100)], &[(0, 100, 50, 100)]],
        ] {
            assert!(groups_of_whole_files(&scan(groups)).is_none(), "{groups:?}");
        }
    }
}
