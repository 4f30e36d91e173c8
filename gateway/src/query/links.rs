//! Links to the objects that hold an answer, for answers that are larger than a response may be: a client fetches them from
//! the store itself, many at a time, and without a gateway.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::query::{Blocks, QueryHandle};
use dunlin_manifest::records::{Seal, SealedTask};
use object_store::path::Path;
use serde::Serialize;

use super::error::CoreError;
use crate::options::LinkMaker;

/// The longest time that a link works. Credentials of a role end earlier than a longer one would.
pub(crate) const LONGEST: Duration = Duration::from_secs(3_600);
/// How long a link works unless the request says otherwise.
pub(crate) const USUAL: Duration = Duration::from_secs(900);

/// An answer as links. Its rows are those of the parts, in their order.
#[derive(Debug, Serialize)]
pub(crate) struct Links {
    /// The schema: base64 of an Arrow IPC schema message.
    schema: String,
    /// Rows of the answer.
    rows: u64,
    /// Bytes of all parts.
    bytes: u64,
    /// How long the links work.
    expires_in_s: u64,
    parts: Vec<Part>,
}

/// Rows of the answer: one complete Arrow IPC stream.
#[derive(Debug, Serialize)]
struct Part {
    rows: u64,
    bytes: u64,
    /// Where the stream is: bytes `offset` to `offset + bytes` of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// The stream itself in base64, if it is so short that it is in the records.
    #[serde(skip_serializing_if = "Option::is_none")]
    inline: Option<String>,
}

/// Links to the answer of a query whose last stage has this `seal`.
pub(crate) async fn links(
    handle: &QueryHandle,
    seal: &Arc<Seal>,
    maker: &Arc<dyn LinkMaker>,
    time: Duration,
) -> Result<Links, CoreError> {
    let tasks = match Blocks::of(handle.store(), &handle.query, seal) {
        Some(blocks) => blocks.winners().await?,
        None => seal.tasks.clone(),
    };
    let mut parts = Vec::new();
    for task in &tasks {
        for part in parts_of(handle, task, maker, time).await? {
            parts.push(part);
        }
    }
    // Partition after partition, and in each of them task after task, as the rows of the answer are.
    parts.sort_by_key(|(bucket, task, _)| (*bucket, *task));
    let parts: Vec<Part> = parts.into_iter().map(|(_, _, part)| part).collect();
    Ok(Links {
        schema: handle.root.result.schema.clone(),
        rows: seal.rows,
        bytes: parts.iter().map(|part| part.bytes).sum(),
        expires_in_s: time.as_secs(),
        parts,
    })
}

/// The slices of one task, each with its bucket and task.
async fn parts_of(
    handle: &QueryHandle,
    task: &SealedTask,
    maker: &Arc<dyn LinkMaker>,
    time: Duration,
) -> Result<Vec<(u32, u32, Part)>, CoreError> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut urls = Vec::new();
    for object in &task.output.objects {
        let path = Path::from(format!("{}/{}", handle.store().data_prefix(), object.key));
        let url = maker.link(&path, time).await.map_err(CoreError::internal)?;
        urls.push(url);
    }
    let inline = STANDARD.decode(&task.output.inline).map_err(CoreError::internal)?;
    let mut parts = Vec::new();
    for slice in &task.output.slices {
        let (rows, bytes) = (slice.rows, slice.len);
        let part = match slice.object {
            Some(object) => {
                let url = urls.get(object as usize).map(ToString::to_string);
                Part { rows, bytes, url, offset: Some(slice.offset), inline: None }
            }
            None => {
                let from = usize::try_from(slice.offset).unwrap_or(usize::MAX);
                let to = from.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
                let stream = inline
                    .get(from..to)
                    .ok_or_else(|| CoreError::internal("a slice lies outside of its commit"))?;
                let inline = Some(STANDARD.encode(stream));
                Part { rows, bytes, url: None, offset: None, inline }
            }
        };
        parts.push((slice.bucket, task.task, part));
    }
    Ok(parts)
}
