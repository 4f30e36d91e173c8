//! Encodes full batches, on another thread if they are compressed.
//!
//! ```text
//!   Gather ─ full batches ─> [ Streams, at work elsewhere ] ─> back, with the next batches
//! ```
//! Without compression, encoding is a copy, and the change of threads would cost more.

use arrow_schema::SchemaRef;
use dunlin_manifest::env::Env;

use crate::buckets::{EncodedSlice, Gather, Streams};
use crate::format::Compression;
use crate::jobs::{Job, Jobs};
use crate::{Result, ShuffleError};

/// Full batches are handed over when they have so many bytes.
const HAND_OVER: usize = 1 << 20;
/// Less than this is encoded on the same thread, because a change of threads costs more.
const OFFLOAD_FROM: usize = 256 << 10;
/// With so many bytes of full batches, the task waits for the thread that encodes.
const MOST_WAITING: usize = 8 << 20;

/// The streams of a task, here or at work.
#[derive(Debug)]
pub(crate) struct Encoder {
    env: Env,
    jobs: Jobs,
    is_aside: bool,
    /// `None` while another thread has them, and for ever if that thread did not return them.
    streams: Option<Streams>,
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    job: Job<Option<(Streams, Result<()>)>>,
    /// Bytes of the batches, and of the streams before.
    held: usize,
    encoded: usize,
}

impl Encoder {
    /// Nothing is encoded yet.
    pub(crate) fn new(schema: SchemaRef, compression: Compression, env: Env, jobs: Jobs) -> Self {
        let is_aside = compression != Compression::None;
        let streams = Some(Streams::new(schema, compression));
        Self { env, jobs, is_aside, streams, work: None }
    }

    /// Encoded bytes of a part that would be written now, as far as it is known.
    pub(crate) fn encoded(&self) -> usize {
        let at_work = self.work.as_ref().map_or(0, |work| work.encoded);
        self.streams.as_ref().map_or(at_work, Streams::encoded)
    }

    /// Memory that is held.
    pub(crate) fn held(&self) -> usize {
        let at_work = self.work.as_ref().map_or(0, |work| work.held);
        self.streams.as_ref().map_or(at_work, Streams::held)
    }

    /// Takes full batches, if there are enough.
    pub(crate) async fn feed(&mut self, gather: &mut Gather) -> Result<()> {
        let waiting = gather.full_bytes();
        if !self.is_aside {
            let batches = gather.take_full();
            let streams = self.streams.as_mut().ok_or(ShuffleError::Lost("encoding"))?;
            return streams.encode(batches);
        }
        let is_busy = self.work.as_ref().is_some_and(|work| !work.job.is_done());
        if waiting < HAND_OVER || (is_busy && waiting < MOST_WAITING) {
            return Ok(());
        }
        let mut streams = self.idle().await?;
        let batches = gather.take_full();
        let (held, encoded) = (waiting + streams.held(), streams.encoded());
        let env = self.env.clone();
        let work = async move {
            let encode = move || {
                let encoded = streams.encode(batches);
                (streams, encoded)
            };
            env.offload(encode).await
        };
        self.work = Some(Work { job: self.jobs.spawn(work), held, encoded });
        Ok(())
    }

    /// Encodes the full batches, and ends the slices of a part.
    pub(crate) async fn take(&mut self, gather: &mut Gather) -> Result<Vec<EncodedSlice>> {
        let mut streams = self.idle().await?;
        let bytes = gather.full_bytes() + streams.held();
        let batches = gather.take_full();
        let work = move || {
            let slices = streams.encode(batches).and_then(|()| streams.take());
            (streams, slices)
        };
        let (streams, slices) = match bytes < OFFLOAD_FROM {
            true => work(),
            false => self.env.offload(work).await.ok_or(ShuffleError::Lost("encoding"))?,
        };
        self.streams = Some(streams);
        slices
    }

    /// The streams, when nobody works on them. They must be put back.
    async fn idle(&mut self) -> Result<Streams> {
        if let Some(mut work) = self.work.take() {
            let lost = ShuffleError::Lost("encoding");
            let (streams, encoded) = work.job.join().await.flatten().ok_or(lost)?;
            encoded?;
            return Ok(streams);
        }
        self.streams.take().ok_or(ShuffleError::Lost("encoding"))
    }
}
