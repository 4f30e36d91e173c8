//! Tests of the workspace as a whole: which crates see which, and whether every operator of the engine has been
//! judged.
#![allow(clippy::unwrap_used)]

mod judged;
mod metadata;
mod walls;
