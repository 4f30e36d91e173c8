//! The parts of a task's output on their way to the store.
//!
//! ```text
//!   part 0 ─> PUT ────────────┐
//!   rows of part 1 … ─> part 1 waits for it ─> PUT …      one part is under way, while the next one fills
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::env::Env;
use dunlin_manifest::records::{DataObject, Slice};
use dunlin_manifest::store::below;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::buckets::EncodedSlice;
use crate::format::SLICE_ALIGN;
use crate::jobs::{Job, Jobs};
use crate::{Result, ShuffleError};

/// Tries of a PUT. The store's client may retry each of them. The key belongs to this attempt only, so repeating the
/// PUT does no harm.
const PUT_ATTEMPTS: u32 = 3;
const PADDING: [u8; SLICE_ALIGN] = [0; SLICE_ALIGN];

/// Names the key of part `n`, below the state's prefix. No other process may write this key.
pub type KeyOf = Arc<dyn Fn(u32) -> String + Send + Sync>;

/// Resolves when parts may be written, or with the reason why they may not. A part is garbage if it is written by an
/// attempt that does not have its claim, so nothing is written before the claim is won.
pub type Ready = Shared<BoxFuture<'static, std::result::Result<(), String>>>;

/// Parts may be written at once.
pub fn at_once() -> Ready {
    std::future::ready(Ok(())).boxed().shared()
}

/// Where parts are written.
#[derive(Clone)]
pub struct DataTarget {
    /// Store.
    pub store: Arc<dyn ObjectStore>,
    /// The state's prefix in the store.
    pub prefix: Path,
    /// Keys of the parts.
    pub key_of: KeyOf,
    /// Before it resolves, no part is written.
    pub ready: Ready,
    /// Where the PUTs go on while the plan computes.
    pub jobs: Jobs,
}

impl fmt::Debug for DataTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataTarget").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The parts of one attempt.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(crate) target: DataTarget,
    env: Env,
    objects: Vec<DataObject>,
    pub(crate) slices: Vec<Slice>,
    /// The part that is on its way.
    current: Option<Upload>,
}

#[derive(Debug)]
struct Upload {
    object: DataObject,
    job: Job<Result<()>>,
}

impl Uploads {
    /// Nothing is on its way.
    pub(crate) fn new(target: DataTarget, env: Env) -> Self {
        Self { target, env, objects: Vec::new(), slices: Vec::new(), current: None }
    }

    /// Bytes that are on their way.
    pub(crate) fn held(&self) -> usize {
        let current = self.current.as_ref().filter(|upload| !upload.job.is_done());
        current.map_or(0, |upload| usize::try_from(upload.object.len).unwrap_or(usize::MAX))
    }

    /// Parts that were begun.
    pub(crate) fn begun(&self) -> usize {
        self.objects.len() + usize::from(self.current.is_some())
    }

    /// Begins to write a part, after the one before it is written.
    pub(crate) async fn start(&mut self, encoded: &[EncodedSlice]) -> Result<()> {
        self.wait().await?;
        let number = u32::try_from(self.begun())
            .map_err(|_| ShuffleError::Malformed("too many parts".to_string()))?;
        let key = (self.target.key_of)(number);
        let (chunks, slices, len) = layout(encoded, Some(number));
        let payload = PutPayload::from_iter(chunks);
        let put = put(self.target.clone(), self.env.clone(), key.clone(), payload);
        let object = DataObject { key, len };
        self.current = Some(Upload { object, job: self.target.jobs.spawn(put) });
        self.slices.extend(slices);
        Ok(())
    }

    /// Waits until nothing is on its way.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        let Some(upload) = &mut self.current else { return Ok(()) };
        upload.job.join().await.ok_or(ShuffleError::Lost("a PUT"))??;
        self.objects.extend(self.current.take().map(|upload| upload.object));
        Ok(())
    }

    /// Waits until everything is written, and says where it is.
    pub(crate) async fn finish(mut self) -> Result<(Vec<DataObject>, Vec<Slice>)> {
        self.wait().await?;
        Ok((self.objects, self.slices))
    }

    /// Tries to delete what was written, and what may have been.
    pub(crate) async fn abort(mut self) {
        if let Some(upload) = self.current.take() {
            self.objects.push(upload.object);
        }
        for object in &self.objects {
            let path = below(&self.target.prefix, object.key.as_str());
            // Garbage collection finds what remains, by the claim's nonce.
            if let Err(error) = self.target.store.delete(&path).await {
                tracing::debug!(key = %object.key, %error, "part of an aborted attempt stays");
            }
        }
    }
}

/// Writes a part as soon as parts may be written.
async fn put(target: DataTarget, env: Env, key: String, payload: PutPayload) -> Result<()> {
    target.ready.clone().await.map_err(ShuffleError::NotReady)?;
    let path = below(&target.prefix, key.as_str());
    let mut attempt = 1;
    while let Err(source) = target.store.put(&path, payload.clone()).await {
        if attempt == PUT_ATTEMPTS {
            return Err(ShuffleError::Write { key, source });
        }
        let pause = env.jitter(Duration::from_millis(100 << attempt));
        tracing::warn!(%key, attempt, error = %source, "part was not written, trying again");
        env.clock.sleep(pause).await;
        attempt += 1;
    }
    Ok(())
}

/// The chunks of an object that holds `encoded` one after the other, and the position of each.
fn layout(encoded: &[EncodedSlice], object: Option<u32>) -> (Vec<Bytes>, Vec<Slice>, u64) {
    let mut chunks = Vec::with_capacity(encoded.len() * 2);
    let mut slices = Vec::with_capacity(encoded.len());
    let mut end = 0usize;
    for slice in encoded {
        let offset = end.next_multiple_of(SLICE_ALIGN);
        if offset > end {
            chunks.push(Bytes::copy_from_slice(&PADDING[..offset - end]));
        }
        chunks.push(slice.bytes.clone());
        slices.push(Slice {
            bucket: slice.bucket,
            object,
            offset: offset as u64,
            len: slice.bytes.len() as u64,
            rows: slice.rows,
            xxh3: slice.xxh3.clone(),
        });
        end = offset + slice.bytes.len();
    }
    (chunks, slices, end as u64)
}

/// The bytes of a small output, and where its slices are in it.
pub(crate) fn concat(encoded: &[EncodedSlice]) -> (Vec<u8>, Vec<Slice>) {
    let (chunks, slices, _) = layout(encoded, None);
    (chunks.concat(), slices)
}

/// The length of an object that holds `encoded`.
pub(crate) fn padded_len(encoded: &[EncodedSlice]) -> usize {
    encoded
        .iter()
        .fold(0, |end: usize, slice| end.next_multiple_of(SLICE_ALIGN) + slice.bytes.len())
}
