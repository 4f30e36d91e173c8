//! One file on its way to a store: one PUT if it is small, and parts otherwise.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, Result, WriteMultipart};

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
}

impl Upload {
    /// A file at `path`. Nothing is sent yet.
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { store, path, waiting: Vec::new(), sent: None, bytes: 0 }
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
        let Self { store, path, waiting, sent, bytes } = self;
        match sent {
            None => {
                store.put(&path, PutPayload::from(waiting)).await?;
            }
            Some(mut upload) => {
                upload.put(Bytes::from(waiting));
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
