//! An analysis, made from records or from a run in this process.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dunlin_manifest::records::Summary;

use crate::query::error::CoreError;

/// How detailed an analysis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// One line for each stage.
    Stages,
    /// Also one line for each task. For an inline run: the metrics of every partition.
    Tasks,
}

impl Detail {
    pub(crate) fn of(verbose: bool) -> Self {
        if verbose { Self::Tasks } else { Self::Stages }
    }

    /// As tokens of clients have it; 0 is none.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Stages => 1,
            Self::Tasks => 2,
        }
    }

    /// The one with this number.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        [Self::Stages, Self::Tasks].into_iter().find(|detail| detail.number() == number)
    }
}

/// An analysis: texts by kind, and the totals for `Dunlin-Summary`.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    pub(super) sections: Vec<(&'static str, String)>,
    pub(crate) totals: Summary,
}

impl Analysis {
    /// Adds a section at the end.
    pub(crate) fn add(&mut self, kind: &'static str, text: String) {
        self.sections.push((kind, text));
    }

    /// The rows, with the columns `plan_type` and `plan`.
    pub(crate) fn rows(&self) -> Result<SendableRecordBatchStream, CoreError> {
        plan_stream(&self.sections)
    }

    /// The same content as one text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (kind, section) in &self.sections {
            let _ = match *kind {
                ANALYZED_PLAN => write!(text, "{section}"),
                kind => writeln!(text, "{}: {section}", kind.replace('_', " ")),
            };
        }
        text
    }
}

pub(super) const ANALYZED_PLAN: &str = "analyzed_plan";

/// The answer to EXPLAIN, for any kind of explanation.
pub(crate) fn plan_stream<T: AsRef<str>>(
    rows: &[(&'static str, T)],
) -> Result<SendableRecordBatchStream, CoreError> {
    let batch = plan_rows(rows).map_err(CoreError::internal)?;
    let schema = batch.schema();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)]))))
}

pub(super) fn plan_rows<T: AsRef<str>>(
    rows: &[(&'static str, T)],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]));
    RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(kind, _)| kind))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, plan)| plan.as_ref()))),
        ],
    )
}
