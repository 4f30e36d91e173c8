#![allow(clippy::unwrap_used)]

mod beside;
mod compaction;
mod faults;
mod plan;
mod requests;
mod round_trip;
mod support;
