//! One file on its way to a store: one PUT if it is small, and parts otherwise.
//!
//! A file that must not replace another one is created on a condition:
//!
//! ```text
//!  small            PUT, if nothing is there
//!  parts, S3        parts, and completed if nothing is there
//!  parts, others    parts beside its place, and then a copy to its place, if nothing is there
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, Result, WriteMultipart,
};

use crate::stores::OnlyNew;

/// Bytes of a part. S3 takes at most 10,000, so files may have 160 GB.
const PART: usize = 16 << 20;
/// Parts that are sent at the same time.
const AT_ONCE: usize = 2;
/// What an object says of itself: the query that wrote it.
const QUERY: Attribute = Attribute::Metadata(Cow::Borrowed("dunlin-query"));

/// What is done about a file that is there.
#[derive(Clone, Debug)]
pub(super) enum Onto {
    /// It is replaced, or there is none because the name is unique.
    Anything,
    /// It stays.
    Nothing(Author),
}

/// Who writes a file.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub(super) query: String,
    /// Unique to the attempt.
    pub(super) attempt: String,
    /// The store is S3.
    pub(super) on_s3: bool,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    waiting: Vec<u8>,
    sent: Option<Parts>,
    bytes: u64,
    onto: Onto,
}

/// Parts that were sent.
#[derive(Debug)]
struct Parts {
    upload: WriteMultipart,
    place: Place,
}

/// Where parts become a file.
#[derive(Debug)]
enum Place {
    /// In its place, whatever is there.
    Own,
    /// In its place, if nothing is there. The mark lasts as long as the upload.
    New(#[expect(dead_code, reason = "held, and not read")] OnlyNew),
    /// Beside its place.
    Beside(Path),
}

impl Upload {
    /// A file at `path`. Nothing is sent yet.
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, onto: Onto) -> Self {
        Self { store, path, waiting: Vec::new(), sent: None, bytes: 0, onto }
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
        let parts = match &mut self.sent {
            Some(parts) => parts,
            none => none.insert(begin(&self.store, &self.path, &self.onto).await?),
        };
        parts.upload.wait_for_capacity(AT_ONCE).await?;
        parts.upload.put(Bytes::from(std::mem::take(&mut self.waiting)));
        Ok(())
    }

    /// Sends the rest. Before this returns, the file is not there. Returns its length.
    pub(super) async fn finish(self) -> Result<u64> {
        let Self { store, path, waiting, sent, bytes, onto } = self;
        let Some(Parts { mut upload, place }) = sent else {
            match onto {
                Onto::Anything => store.put(&path, PutPayload::from(waiting)).await.map(|_| ())?,
                Onto::Nothing(_) => create(&store, &path, waiting).await?,
            }
            return Ok(bytes);
        };
        upload.put(Bytes::from(waiting));
        let Onto::Nothing(author) = onto else {
            upload.finish().await?;
            return Ok(bytes);
        };
        // For servers that know no condition where parts are completed.
        if matches!(place, Place::New(_)) && store.head(&path).await.is_ok() {
            let _ = upload.abort().await;
            return found(&store, &path, &author).await;
        }
        match upload.finish().await {
            Err(error) if is_taken(&error) => return found(&store, &path, &author).await,
            finished => finished?,
        };
        if let Place::Beside(beside) = &place {
            let copied = store.copy_if_not_exists(beside, &path).await;
            let same = match &copied {
                Err(error) if is_taken(error) => has_same_bytes(&store, beside, &path).await?,
                _ => false,
            };
            if let Err(error) = store.delete(beside).await {
                tracing::warn!(%beside, %error, "a file that was copied to its place stays beside it");
            }
            match copied {
                Err(error) if is_taken(&error) && !same => return Err(taken(&path)),
                Err(error) if !same => return Err(error),
                _ => {}
            }
        }
        Ok(bytes)
    }

    /// Gives up. Parts that were sent are forgotten by the store, if it answers.
    pub(super) async fn abort(self) {
        if let Some(parts) = self.sent {
            // The store's own rule deletes what is left.
            let _ = parts.upload.abort().await;
        }
    }
}

async fn begin(store: &Arc<dyn ObjectStore>, path: &Path, onto: &Onto) -> Result<Parts> {
    let mut options = PutMultipartOptions::default();
    let (at, place) = match onto {
        Onto::Anything => (path.clone(), Place::Own),
        Onto::Nothing(Author { query, on_s3: true, .. }) => {
            options.attributes.insert(QUERY, query.clone().into());
            let mark = OnlyNew::default();
            mark.mark(&mut options);
            (path.clone(), Place::New(mark))
        }
        Onto::Nothing(Author { query, attempt, .. }) => {
            let beside = beside(path, query, attempt);
            (beside.clone(), Place::Beside(beside))
        }
    };
    let upload = store.put_multipart_opts(&at, options).await?;
    Ok(Parts { upload: WriteMultipart::new_with_chunk_size(upload, PART), place })
}

/// A name that no reader takes for a file of a table.
fn beside(path: &Path, query: &str, attempt: &str) -> Path {
    let name = path.filename().unwrap_or_default();
    let hidden = format!(".{name}.{query}-{attempt}.part");
    let count = path.parts().count();
    path.parts().take(count.saturating_sub(1)).chain([hidden.into()]).collect()
}

/// Creates an object. One with the same bytes is as good: an attempt that was lost may have made it.
async fn create(store: &Arc<dyn ObjectStore>, path: &Path, bytes: Vec<u8>) -> Result<()> {
    let bytes = Bytes::from(bytes);
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(path, PutPayload::from(bytes.clone()), options).await {
        Err(error) if is_taken(&error) => {
            let found = store.get(path).await?.bytes().await?;
            if found == bytes { Ok(()) } else { Err(taken(path)) }
        }
        created => created.map(|_| ()),
    }
}

/// The length of a file that is there, if an attempt of the same query has written it: this one, whose answer was lost, or
/// another one.
async fn found(store: &Arc<dyn ObjectStore>, path: &Path, author: &Author) -> Result<u64> {
    let options = GetOptions { head: true, ..GetOptions::default() };
    let found = store.get_opts(path, options).await?;
    let is_own = found.attributes.get(&QUERY).is_some_and(|of| **of == *author.query);
    if is_own { Ok(found.meta.size) } else { Err(taken(path)) }
}

async fn has_same_bytes(store: &Arc<dyn ObjectStore>, one: &Path, other: &Path) -> Result<bool> {
    let (one, other) = (store.get(one).await?, store.get(other).await?);
    if one.meta.size != other.meta.size {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (Bytes::new(), Bytes::new());
    let (mut one, mut other) = (one.into_stream().fuse(), other.into_stream().fuse());
    loop {
        if ours.is_empty() {
            ours = one.try_next().await?.unwrap_or_default();
        }
        if theirs.is_empty() {
            theirs = other.try_next().await?.unwrap_or_default();
        }
        let both = ours.len().min(theirs.len());
        if both == 0 {
            return Ok(ours.len() == theirs.len());
        }
        if ours.split_to(both) != theirs.split_to(both) {
            return Ok(false);
        }
    }
}

fn is_taken(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. })
}

fn taken(path: &Path) -> Error {
    let source = "it was written meanwhile".into();
    Error::AlreadyExists { path: path.to_string(), source }
}
