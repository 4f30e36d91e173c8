//! What every handler works with: the parts of the core, and the body of a request.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;

use super::about::About;
use super::answer::{Envelope, answer};
use super::format::Format;
use super::problem::ApiError;
use crate::metrics::Metrics;
use crate::query::hub::Hub;
use crate::query::intake::Intake;
use crate::query::queries::Queries;

pub(super) type BodyBytes = Result<Bytes, BytesRejection>;

/// The parts of the core that HTTP uses.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    pub(crate) intake: Arc<Intake>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Arc<Metrics>,
    /// What this gateway is, and what it allows.
    pub(crate) about: Arc<About>,
    /// Most bytes of an answer that are held before its headers are sent.
    pub(crate) answer_buffer: usize,
}

impl Face {
    pub(super) async fn respond(
        &self,
        format: Format,
        envelope: Envelope,
    ) -> Result<Response, ApiError> {
        answer(self.queries.env(), self.queries.tariff(), format, self.answer_buffer, envelope)
            .await
    }
}

/// The bytes of a request's body.
pub(super) fn read(body: BodyBytes) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::BodyTooLarge
        } else {
            ApiError::invalid_request(format!("the body cannot be read: {}", rejection.body_text()))
        }
    })
}
