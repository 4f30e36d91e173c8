//! How a query would run, for people and for programs.
//!
//! ```text
//!  stages ──┬── steps      what a stage does: scans, joins, aggregates, …       ┐
//!           ├── moves      where its rows go, how, and why                      ├──> StageView ──> text, JSON, drawings
//!           ├── operators  the engine's operators, with files counted           ┘
//!           └── full       all that the engine prints: EXPLAIN VERBOSE
//! ```

mod asked;
mod draw;
mod full;
mod moves;
mod operators;
mod steps;
mod text;
mod view;

pub use asked::ExplainFormat;
pub(crate) use asked::asked;
pub(crate) use full::distributed;
pub use moves::Moved;
pub use steps::Step;
pub(crate) use steps::TableNames;
pub use view::{Reads, StageView, TasksView};

use dunlin_manifest::records::Route;
use serde::Serialize;

use crate::route::RouteReason;
use crate::stages::Stage;

/// How a query would run.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// Where it runs.
    pub route: Route,
    /// The reason for the route.
    pub route_reason: RouteReason,
    /// The stages, producers first.
    pub stages: Vec<StageView>,
}

impl Explained {
    /// What is told of `stages`. Partitions are added to a task until it has `task_bytes`.
    pub(crate) fn of(
        route: Route,
        reason: &RouteReason,
        stages: &[Stage],
        task_bytes: u64,
        tables: &TableNames,
    ) -> Self {
        let view = |stage| StageView::of(stage, stages, route, task_bytes, tables);
        Self { route, route_reason: reason.clone(), stages: stages.iter().map(view).collect() }
    }

    /// As text: a paragraph for each stage, the last stage first, because a plan is read from its end.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// As a drawing of Graphviz.
    #[must_use]
    pub fn graphviz(&self) -> String {
        draw::graphviz(self)
    }

    /// As a drawing of Mermaid.
    #[must_use]
    pub fn mermaid(&self) -> String {
        draw::mermaid(self)
    }
}
