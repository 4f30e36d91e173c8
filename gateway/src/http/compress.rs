//! Compresses answers, if the client asks for it: zstd or gzip, by `Accept-Encoding`.
//!
//! ```text
//!   body ──at most 64 KiB at a time──> encoder ──> compressed frames
//!            nothing to read: what is held is flushed, so that a slow answer is not delayed
//! ```
//! The work of one step is short, so it is done where the body is polled. Nothing is held but the encoder's own window.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::format::{Format, quality};

/// The type of a body that is compressed inside, and is no file.
pub(crate) const OPAQUE: &str = "application/octet-stream";

/// Shorter bodies are sent as they are: they fit into a packet.
const LEAST: u64 = 1_024;
/// Bytes that are compressed in one step.
const STEP: usize = 64 << 10;
/// Fast levels: an answer is read once.
const ZSTD_LEVEL: i32 = 1;
const GZIP_LEVEL: u32 = 4;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding that a client likes best; of two that it likes equally, zstd.
    fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        let entries =
            values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        for entry in entries {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next().unwrap_or("").to_ascii_lowercase();
            let name = if name == "x-gzip" { "gzip" } else { name.as_str() };
            let Some(coding) = Self::ALL.into_iter().find(|coding| coding.name() == name) else {
                continue;
            };
            let weight = quality(parts);
            let is_better = best.is_none_or(|(known, most)| {
                weight > most || (weight >= most && known == Self::Gzip)
            });
            if weight > 0.0 && is_better {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }
}

/// Compresses the answer to a request whose client asks for it.
pub(super) async fn compress(request: Request, next: Next) -> Response {
    let coding = Coding::negotiate(request.headers());
    let mut response = next.run(request).await;
    if !is_worth_it(&response) {
        return response;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(encoder) = coding.and_then(Encoder::new) else { return response };
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    response.map(|body| Body::new(Compressed::new(body, encoder)))
}

/// Whether an answer gets smaller, and nobody waits for each of its lines.
fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let has_body = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    );
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_packed = kind == Format::Parquet.content_type() || kind == OPAQUE;
    let is_fit = !kind.starts_with("text/event-stream") && !is_packed;
    let length = response.body().size_hint().exact();
    has_body
        && is_fit
        && !headers.contains_key(CONTENT_ENCODING)
        && length.is_none_or(|length| length >= LEAST)
}

enum Encoder {
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// None if there is no memory for it: then the answer is sent as it is.
    fn new(coding: Coding) -> Option<Self> {
        match coding {
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).ok()?;
                Some(Self::Zstd(Box::new(encoder)))
            }
            Coding::Gzip => {
                let encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
                Some(Self::Gzip(Box::new(encoder)))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Bytes> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes)?,
            Self::Gzip(encoder) => encoder.write_all(bytes)?,
        }
        Ok(self.take())
    }

    fn flush(&mut self) -> std::io::Result<Bytes> {
        match self {
            Self::Zstd(encoder) => encoder.flush()?,
            Self::Gzip(encoder) => encoder.flush()?,
        }
        Ok(self.take())
    }

    fn finish(&mut self) -> std::io::Result<Bytes> {
        match self {
            Self::Zstd(encoder) => encoder.do_finish()?,
            Self::Gzip(encoder) => encoder.try_finish()?,
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Bytes {
        let out = match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        std::mem::take(out).into()
    }
}

/// A body, compressed.
struct Compressed {
    body: Body,
    /// None when the end is written.
    encoder: Option<Encoder>,
    /// The rest of the frame that is being compressed.
    rest: Bytes,
    /// Whether the encoder may hold bytes that it has not given.
    holds: bool,
    /// Trailers that come after the end.
    trailers: Option<Frame<Bytes>>,
}

impl Compressed {
    fn new(body: Body, encoder: Encoder) -> Self {
        Self { body, encoder: Some(encoder), rest: Bytes::new(), holds: false, trailers: None }
    }

    /// The next compressed bytes of what was read; empty if there are none yet.
    fn step(&mut self) -> std::io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        let part = self.rest.split_to(self.rest.len().min(STEP));
        self.holds = true;
        encoder.write(&part)
    }

    fn end(&mut self) -> Option<std::io::Result<Bytes>> {
        self.encoder.take().map(|mut encoder| encoder.finish())
    }
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let framed = |bytes: std::io::Result<Bytes>| {
            Poll::Ready(Some(bytes.map(Frame::data).map_err(axum::Error::new)))
        };
        loop {
            if !self.rest.is_empty() {
                match self.step() {
                    Ok(bytes) if bytes.is_empty() => continue,
                    bytes => return framed(bytes),
                }
            }
            if self.encoder.is_none() {
                return Poll::Ready(self.trailers.take().map(Ok));
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    Err(trailers) => {
                        self.trailers = Some(trailers);
                        if let Some(end) = self.end() {
                            return framed(end);
                        }
                    }
                },
                // The body has broken off, and so does what is compressed: no end makes it look whole.
                Poll::Ready(Some(Err(error))) => {
                    self.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    if let Some(end) = self.end() {
                        return framed(end);
                    }
                }
                Poll::Pending => {
                    // Nobody knows when more comes, so the client gets what there is.
                    let holds = std::mem::take(&mut self.holds);
                    return match self.encoder.as_mut().filter(|_| holds).map(Encoder::flush) {
                        Some(Ok(bytes)) if bytes.is_empty() => Poll::Pending,
                        Some(bytes) => framed(bytes),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use futures::StreamExt;

    use super::*;

    fn accepting(text: &str) -> Option<Coding> {
        let value = HeaderValue::from_str(text).unwrap();
        Coding::negotiate(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]))
    }

    fn read(coding: Coding, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match coding {
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut out)?,
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)?,
        };
        Ok(out)
    }

    fn compressed(body: Body, coding: Coding) -> Body {
        Body::new(Compressed::new(body, Encoder::new(coding).unwrap()))
    }

    #[test]
    fn the_client_chooses_the_coding() {
        assert_eq!(accepting("gzip, deflate, br, zstd"), Some(Coding::Zstd));
        assert_eq!(accepting("zstd, gzip"), Some(Coding::Zstd));
        assert_eq!(accepting("gzip"), Some(Coding::Gzip));
        assert_eq!(accepting("X-GZIP;q=0.5"), Some(Coding::Gzip));
        assert_eq!(accepting("zstd;q=0.1, gzip;q=0.9"), Some(Coding::Gzip));
        assert_eq!(accepting("zstd;q=0, gzip;q=0"), None);
        assert_eq!(accepting("br, identity, *"), None);
        assert_eq!(Coding::negotiate(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn any_body_is_the_same_after_both_ways() {
        let long: Vec<u8> = (0..5 * STEP + 3).map(|n| (n * n % 251) as u8).collect();
        for coding in Coding::ALL {
            for parts in [vec![], vec![&b""[..]], vec![b"a", b"", b"bc"], vec![&long, b"x", &long]]
            {
                let whole: Vec<u8> = parts.concat();
                let items = parts.iter().map(|part| Ok::<_, std::io::Error>(part.to_vec()));
                let items: Vec<_> = items.collect();
                let body = compressed(Body::from_stream(futures::stream::iter(items)), coding);
                let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                assert_eq!(read(coding, &bytes).unwrap(), whole, "{coding:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_does_not_look_whole() {
        for coding in Coding::ALL {
            let items = [Ok("some text"), Err(std::io::Error::other("gone"))];
            let body = compressed(Body::from_stream(futures::stream::iter(items)), coding);
            let mut got = Vec::new();
            let mut broke = false;
            let mut frames = body.into_data_stream();
            while let Some(frame) = frames.next().await {
                match frame {
                    Ok(frame) => got.extend_from_slice(&frame),
                    Err(_) => broke = true,
                }
            }
            assert!(broke && read(coding, &got).is_err(), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn what_is_there_is_sent_while_the_rest_is_awaited() {
        for coding in Coding::ALL {
            let first = futures::stream::iter([Ok::<_, std::io::Error>("the first line\n")]);
            let body =
                compressed(Body::from_stream(first.chain(futures::stream::pending())), coding);
            let mut frames = body.into_data_stream();
            let mut got = Vec::new();
            // It comes in one or two frames: a head, and what was flushed.
            let text = loop {
                got.extend_from_slice(&frames.next().await.unwrap().unwrap());
                let mut out = vec![0; 64];
                let mut reader: Box<dyn Read> = match coding {
                    Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(&got[..]).unwrap()),
                    Coding::Gzip => Box::new(flate2::read::GzDecoder::new(&got[..])),
                };
                if let Ok(length @ 1..) = reader.read(&mut out) {
                    break String::from_utf8(out[..length].to_vec()).unwrap();
                }
            };
            assert_eq!(text, "the first line\n");
        }
    }
}
