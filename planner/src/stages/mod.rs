//! From a physical plan to stages: the cut, and what is proved about each stage.
//!
//! ```text
//!   SortPreservingMerge                     stage 2: SortPreservingMerge ← reader(1)      1 partition
//!     Sort                                  stage 1: Sort, AggregateFinal ← reader(0)     N partitions
//!       AggregateFinal            ==>       stage 0: Repartition(hash) AggregatePartial, scan
//!         Repartition(hash)
//!           AggregatePartial
//!             scan
//! ```

mod broadcast;
mod expected;
mod filtered;
mod finish;
mod inputs;
mod names;
mod prove;
mod reader;
mod ride;
mod sink;
mod split;
mod stage;

pub use expected::Expected;
pub use prove::{SHARES_NOTHING, shares_nothing};
pub use split::split;
pub use stage::{BroadcastPlan, SplitOptions, Stage};
