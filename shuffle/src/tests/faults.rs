//! Damage is found and named in an error. Temporary errors are retried.

use std::sync::Arc;

use bytes::Bytes;
use dunlin_manifest::records::TaskOutput;
use object_store::{ObjectStore, ObjectStoreExt};

use super::support::*;
use crate::*;

async fn written(store: &Arc<TestStore>) -> TaskOutput {
    let schema = table_schema();
    write(options(store, &schema, Buckets::Partitions, 0), &on(0, cut(&table(0..3000), 500))).await
}

async fn replace(store: &Arc<TestStore>, output: &TaskOutput, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dunlin_manifest::store::below(&prefix(), output.objects[0].key.as_str());
    let inner: &Arc<dyn ObjectStore> = &store.inner;
    let mut bytes = inner.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    change(&mut bytes);
    inner.put(&path, bytes.into()).await.unwrap();
}

#[tokio::test]
async fn a_flipped_bit_at_rest_is_an_error_that_names_the_object() {
    let store = TestStore::memory();
    let output = written(&store).await;
    replace(&store, &output, |bytes| bytes[20_000] ^= 4).await;
    let key = output.objects[0].key.clone();
    let error = read_error(&inputs(&store, vec![output]), 0, &table_schema()).await;
    assert!(matches!(&error, ShuffleError::Corrupt { key: found, .. } if *found == key), "{error}");
    assert_eq!(store.gets(), 4);
}

#[tokio::test]
async fn a_truncated_object_is_an_error() {
    let store = TestStore::memory();
    let output = written(&store).await;
    replace(&store, &output, |bytes| bytes.truncate(bytes.len() - 1)).await;
    let error = read_error(&inputs(&store, vec![output]), 0, &table_schema()).await;
    assert!(matches!(error, ShuffleError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn trouble_that_passes_costs_a_get_and_no_rows() {
    for fault in [Fault::Refuse, Fault::Flip, Fault::Cut] {
        let store = TestStore::memory();
        let inputs = inputs(&store, vec![written(&store).await]);
        store.break_gets(fault, 3);
        assert_eq!(read(&inputs, 0, &table_schema()).await, table(0..3000));
        assert_eq!(store.gets(), 4);
    }
}

#[tokio::test]
async fn a_store_that_keeps_refusing_is_a_retryable_error() {
    let store = TestStore::memory();
    let inputs = inputs(&store, vec![written(&store).await]);
    store.break_gets(Fault::Refuse, 10);
    let error = read_error(&inputs, 0, &table_schema()).await;
    assert!(matches!(error, ShuffleError::Read { .. }) && error.is_retryable());
}

#[tokio::test]
async fn a_missing_object_is_not_asked_for_again() {
    let store = TestStore::memory();
    let mut output = written(&store).await;
    output.objects[0].key.push('x');
    let error = read_error(&inputs(&store, vec![output]), 0, &table_schema()).await;
    assert!(matches!(error, ShuffleError::Read { .. }) && !error.is_retryable());
    assert_eq!(store.gets(), 1);
}

#[tokio::test]
async fn a_slice_with_another_number_of_rows_than_sealed_is_an_error() {
    let store = TestStore::memory();
    for change in [-1i64, 1] {
        let mut output = written(&store).await;
        output.slices[0].rows = output.slices[0].rows.wrapping_add_signed(change);
        let error = read_error(&inputs(&store, vec![output]), 0, &table_schema()).await;
        assert!(matches!(error, ShuffleError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_seal_that_points_outside_its_object_is_refused() {
    let slice = |object| dunlin_manifest::records::Slice {
        bucket: 0,
        object,
        offset: 64,
        len: 100,
        rows: 1,
        xxh3: String::new(),
    };
    let output = TaskOutput { slices: vec![slice(Some(0))], ..TaskOutput::default() };
    assert!(matches!(StageData::new(vec![output]), Err(ShuffleError::Malformed(_))));
    let inline =
        TaskOutput { slices: vec![slice(None)], inline: "QUJD".into(), ..TaskOutput::default() };
    let data = StageData::new(vec![inline]).unwrap();
    assert!(matches!(data.piece(0, 0), Err(ShuffleError::Malformed(_))));
}

#[test]
fn malformed_streams_are_errors_and_never_panics() {
    let batch = table(0..100);
    let mut encoder = StreamEncoder::try_new(&batch.schema(), Compression::None).unwrap();
    encoder.write(&batch).unwrap();
    let good = encoder.finish().unwrap();
    for at in (0..good.len().min(2000)).step_by(3) {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x15;
        // Rows may be decoded with other values. The checksum finds that.
        let _ = decode_slice(Bytes::from(bytes), 100);
    }
    for cut in [0, 1, 7, 8, 100, good.len() / 2] {
        assert!(decode_slice(good.slice(..cut), 100).is_err());
    }
}
