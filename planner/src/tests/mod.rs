//! Tests of the workspace as a whole: which crates may use which, and whether every operator of the engine is in a
//! list.
#![allow(clippy::unwrap_used)]

mod judged;
mod metadata;
mod walls;
