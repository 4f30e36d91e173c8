//! Holds no code. Cargo resolves features per build: `cargo test -p dunlin-shuffle` alone would build
//! DataFusion once more with other features than `cargo build` did (a quarter of an hour on two cores).
//! Every crate therefore names this one among its dev-dependencies.
