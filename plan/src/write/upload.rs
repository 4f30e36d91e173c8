//! One file on its way to a store: one PUT if it is small, and parts otherwise.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, Result, WriteMultipart,
};

/// Bytes of a part. S3 takes at most 10,000, so files may have 160 GB.
const PART: usize = 16 << 20;
/// Parts that are sent at the same time.
const AT_ONCE: usize = 2;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    waiting: Vec<u8>,
    sent: Option<WriteMultipart>,
    bytes: u64,
    /// Nothing may be there, as far as the store can tell.
    is_new: bool,
}

impl Upload {
    /// A file at `path`. Nothing is sent yet. If `is_new`, a file that is there stays.
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, is_new: bool) -> Self {
        Self { store, path, waiting: Vec::new(), sent: None, bytes: 0, is_new }
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.waiting.len() + if self.sent.is_some() { AT_ONCE * PART } else { 0 }
    }

    /// Adds bytes, and sends whole parts.
    pub(super) async fn add(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if self.waiting.is_empty() {
            std::mem::swap(&mut self.waiting, bytes);
        } else {
            self.waiting.append(bytes);
        }
        bytes.clear();
        if self.waiting.len() < PART {
            return Ok(());
        }
        let upload = match &mut self.sent {
            Some(upload) => upload,
            none => {
                let upload = self.store.put_multipart(&self.path).await?;
                none.insert(WriteMultipart::new_with_chunk_size(upload, PART))
            }
        };
        upload.wait_for_capacity(AT_ONCE).await?;
        upload.put(Bytes::from(std::mem::take(&mut self.waiting)));
        Ok(())
    }

    /// Sends the rest. Before this returns, the file is not there. Returns its length.
    pub(super) async fn finish(self) -> Result<u64> {
        let Self { store, path, waiting, sent, bytes, is_new } = self;
        match sent {
            None if is_new => create(&store, &path, waiting).await?,
            None => {
                store.put(&path, PutPayload::from(waiting)).await?;
            }
            Some(mut upload) => {
                upload.put(Bytes::from(waiting));
                // Not every store completes an upload in parts on a condition.
                if is_new && store.head(&path).await.is_ok() {
                    let _ = upload.abort().await;
                    return Err(taken(&path));
                }
                upload.finish().await?;
            }
        }
        Ok(bytes)
    }

    /// Gives up. Parts that were sent are forgotten by the store, if it answers.
    pub(super) async fn abort(self) {
        if let Some(upload) = self.sent {
            // The store's own rule deletes what is left.
            let _ = upload.abort().await;
        }
    }
}

/// Creates an object. One with the same bytes is as good: an attempt that was lost may have made it.
async fn create(store: &Arc<dyn ObjectStore>, path: &Path, bytes: Vec<u8>) -> Result<()> {
    let bytes = Bytes::from(bytes);
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(path, PutPayload::from(bytes.clone()), options).await {
        Ok(_) => Ok(()),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
            let found = store.get(path).await?.bytes().await?;
            if found == bytes { Ok(()) } else { Err(taken(path)) }
        }
        Err(error) => Err(error),
    }
}

fn taken(path: &Path) -> Error {
    let source = "it was written meanwhile".into();
    Error::AlreadyExists { path: path.to_string(), source }
}
