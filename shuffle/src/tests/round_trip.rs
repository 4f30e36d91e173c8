//! The rows that are read are the rows that were written: same rows, same order, in the right bucket.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, StringViewArray, StructArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;

use super::support::*;
use crate::*;

#[tokio::test]
async fn hash_buckets_hold_what_repartition_would_put_there() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let all = table(0..20_000);
    let Buckets::Hash { exprs, n } = by(&schema, "k", 7) else { unreachable!() };
    let mut expected: Vec<Vec<i64>> = vec![vec![]; n as usize];
    let mut partitioner = BatchPartitioner::new_hash_partitioner(exprs, 7, Time::new()).unwrap();
    for batch in cut(&all, 1000) {
        partitioner
            .partition(batch, |bucket, rows| {
                expected[bucket].extend(keys(&rows));
                Ok(())
            })
            .unwrap();
    }
    let first = write(
        options(&store, &schema, by(&schema, "k", 7), 0),
        &on(0, cut(&table(0..12_000), 1000)),
    )
    .await;
    let second = write(
        options(&store, &schema, by(&schema, "k", 7), 1),
        &on(1, cut(&table(12_000..20_000), 333)),
    )
    .await;
    let inputs = inputs(&store, vec![first, second]);
    for bucket in 0..7 {
        assert_eq!(keys(&read(&inputs, bucket, &schema).await), expected[bucket as usize]);
    }
}

#[tokio::test]
async fn partitions_keep_their_rows_in_order_even_when_pushed_in_turns() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut pushes = Vec::new();
    for step in 0..40 {
        pushes.push((3, table(step * 100..step * 100 + 100)));
        pushes.push((5, table(10_000 + step * 10..10_000 + step * 10 + 10)));
    }
    let mut settings = options(&store, &schema, Buckets::Partitions, 0);
    settings.batch_size = 512;
    let inputs = inputs(&store, vec![write(settings, &pushes).await]);
    assert_eq!(keys(&read(&inputs, 3, &schema).await), (0..4000).collect::<Vec<_>>());
    assert_eq!(keys(&read(&inputs, 5, &schema).await), (10_000..10_400).collect::<Vec<_>>());
    assert_eq!(read(&inputs, 4, &schema).await.num_rows(), 0);
    assert_eq!(read(&inputs, 99, &schema).await.num_rows(), 0);
}

#[tokio::test]
async fn one_bucket_takes_everything() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let output =
        write(options(&store, &schema, by(&schema, "k", 1), 0), &on(2, cut(&table(0..9000), 700)))
            .await;
    assert_eq!(output.slices.len(), 1);
    let inputs = inputs(&store, vec![output]);
    assert_eq!(read(&inputs, 0, &schema).await, table(0..9000));
}

#[tokio::test]
async fn empty_buckets_have_no_slice_and_an_empty_output_has_no_object() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let few =
        write(options(&store, &schema, by(&schema, "k", 64), 0), &on(0, vec![table(0..3)])).await;
    assert!(few.slices.len() <= 3);
    assert!(few.slices.iter().all(|slice| slice.rows > 0));
    let none =
        write(options(&store, &schema, by(&schema, "k", 64), 1), &on(0, vec![table(0..0)])).await;
    assert_eq!(none, dunlin_manifest::records::TaskOutput::default());
    assert_eq!(store.puts(), 1);
    let inputs = inputs(&store, vec![few, none]);
    let mut found = 0;
    for bucket in 0..64 {
        found += read(&inputs, bucket, &schema).await.num_rows();
    }
    assert_eq!(found, 3);
}

#[tokio::test]
async fn parts_follow_each_other_and_slices_are_aligned() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut settings = options(&store, &schema, Buckets::Partitions, 0);
    settings.batch_size = 256;
    settings.part_bytes = 40_000;
    let pushes: Vec<_> = cut(&table(0..20_000), 500)
        .into_iter()
        .enumerate()
        .map(|(step, batch)| (step as u32 % 3, batch))
        .collect();
    let output = write(settings, &pushes).await;
    assert!(output.objects.len() > 5, "{} parts", output.objects.len());
    assert!(output.objects.iter().all(|object| object.len < 80_000));
    assert!(output.slices.iter().all(|slice| slice.offset % SLICE_ALIGN as u64 == 0));
    assert!(output.slices.is_sorted_by_key(|slice| (slice.bucket, slice.object, slice.offset)));
    assert_eq!(output.rows, 20_000);
    let inputs = inputs(&store, vec![output]);
    for bucket in 0..3u32 {
        let expected: Vec<i64> = pushes
            .iter()
            .filter(|(partition, _)| *partition == bucket)
            .flat_map(|(_, batch)| keys(batch))
            .collect();
        assert_eq!(keys(&read(&inputs, bucket, &schema).await), expected);
    }
}

#[tokio::test]
async fn a_folder_below_a_prefix_serves_as_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let local = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let (store, schema) = (TestStore::new(Arc::new(local)), table_schema());
    let mut settings = options(&store, &schema, by(&schema, "k", 5), 0);
    settings.compression = Compression::Lz4;
    let output = write(settings, &on(0, cut(&table(0..5000), 400))).await;
    let file = folder.path().join("team a/state").join(&output.objects[0].key);
    assert_eq!(std::fs::metadata(file).unwrap().len(), output.objects[0].len);
    let inputs = inputs(&store, vec![output]);
    let mut found = Vec::new();
    for bucket in 0..5 {
        found.extend(keys(&read(&inputs, bucket, &schema).await));
    }
    found.sort_unstable();
    assert_eq!(found, (0..5000).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_without_columns_keep_their_number() {
    let store = TestStore::memory();
    let schema: SchemaRef = Arc::new(Schema::empty());
    let rows = |n| {
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap()
    };
    for (task, inline_limit) in [(0, 0), (1, 1 << 20)] {
        for (buckets, compression) in [
            (Buckets::Partitions, Compression::None),
            (Buckets::Hash { exprs: vec![], n: 1 }, Compression::Lz4),
        ] {
            let mut settings = options(&store, &schema, buckets, task);
            settings.inline_limit = inline_limit;
            settings.compression = compression;
            let output =
                write(settings, &on(0, vec![rows(3), rows(20_000), rows(0), rows(7)])).await;
            assert_eq!(output.rows, 20_010);
            let inputs = inputs(&store, vec![output.clone(), output]);
            assert_eq!(read(&inputs, 0, &schema).await.num_rows(), 40_020);
        }
    }
}

fn every_kind(from: i32, rows: i32) -> RecordBatch {
    let numbers: Vec<i32> = (from..from + rows).collect();
    let text = |n: &i32| (n % 5 != 0).then(|| format!("a value long enough for a buffer {n}"));
    let views = StringViewArray::from_iter(numbers.iter().map(text));
    let binary =
        BinaryViewArray::from_iter(numbers.iter().map(|n| text(n).map(String::into_bytes)));
    let dictionary: DictionaryArray<Int32Type> = numbers
        .iter()
        .map(|n| (n % 3 != 0).then(|| ["red", "green", "blue"][*n as usize % 3]))
        .collect();
    let list =
        ListArray::from_iter_primitive::<Int64Type, _, _>(numbers.iter().map(|n| {
            (n % 4 != 0).then(|| (0..n % 6).map(|i| Some(i64::from(i))).collect::<Vec<_>>())
        }));
    let inner: ArrayRef = Arc::new(StringViewArray::from_iter(numbers.iter().map(text)));
    let fields =
        vec![Field::new("v", DataType::Utf8View, true), Field::new("n", DataType::Int32, false)];
    let record = StructArray::try_new(
        fields.into(),
        vec![inner, Arc::new(Int32Array::from(numbers.clone()))],
        None,
    )
    .unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| i64::from(*n))))),
        ("view", Arc::new(views)),
        ("binary", Arc::new(binary)),
        ("dictionary", Arc::new(dictionary)),
        ("list", Arc::new(list)),
        ("record", Arc::new(record)),
        (
            "flag",
            Arc::new(arrow::array::BooleanArray::from_iter(
                numbers.iter().map(|n| Some(n % 2 == 0)),
            )),
        ),
        ("nothing", Arc::new(arrow::array::NullArray::new(numbers.len()))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

#[tokio::test]
async fn views_dictionaries_and_nested_values_survive() {
    let all = every_kind(0, 3000);
    let schema = all.schema();
    for compression in [Compression::None, Compression::Lz4] {
        let store = TestStore::memory();
        let mut settings = options(&store, &schema, Buckets::Partitions, 0);
        settings.compression = compression;
        settings.batch_size = 700;
        let ordered = inputs(&store, vec![write(settings, &on(0, cut(&all, 123))).await]);
        assert_eq!(read(&ordered, 0, &schema).await, all);

        let mut settings = options(&store, &schema, by(&schema, "n", 4), 1);
        settings.compression = compression;
        settings.batch_size = 100;
        let scattered = inputs(&store, vec![write(settings, &on(0, cut(&all, 1000))).await]);
        let mut found = 0;
        for bucket in 0..4 {
            let rows = read(&scattered, bucket, &schema).await;
            let at = Int64Array::from(keys(&rows));
            let expected = arrow::compute::take_record_batch(&all, &at).unwrap();
            assert_eq!(rows, expected);
            found += rows.num_rows();
        }
        assert_eq!(found, 3000);
    }
}

#[tokio::test]
async fn batches_that_differ_in_nullability_and_metadata_take_the_declared_schema() {
    let item = |nullable| Arc::new(Field::new_list_field(DataType::Int64, nullable));
    let list = |nullable| DataType::List(item(nullable));
    let strict = Arc::new(Schema::new(vec![Field::new("l", list(false), false)]));
    let declared: SchemaRef = Arc::new(
        Schema::new(vec![Field::new("l", list(true), true)])
            .with_metadata([("a".into(), "b".into())].into()),
    );
    let values = ListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..10).map(|n| Some(vec![Some(n), Some(2)])),
    );
    let (_, offsets, inner, nulls) = values.into_parts();
    let array = ListArray::try_new(item(false), offsets, inner, nulls).unwrap();
    let batch = RecordBatch::try_new(strict, vec![Arc::new(array)]).unwrap();

    let store = TestStore::memory();
    let output =
        write(options(&store, &declared, Buckets::Partitions, 0), &on(0, vec![batch])).await;
    let rows = read(&inputs(&store, vec![output]), 0, &declared).await;
    assert_eq!((rows.schema(), rows.num_rows()), (declared, 10));
}

#[tokio::test]
async fn other_types_are_refused() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut writer = TaskWriter::new(options(&store, &schema, Buckets::Partitions, 0)).unwrap();
    let other = RecordBatch::try_from_iter([
        ("k", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ("s", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
    ])
    .unwrap();
    let error = writer.push(0, other).await.unwrap_err();
    assert!(matches!(error, ShuffleError::Schema(_)) && !error.is_retryable());
}
