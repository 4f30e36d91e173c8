//! Whole systems: real `dunlin` processes over a folder, memory or an S3 server. One binary, because each
//! binary links the engine.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod apart;
mod bad_days;
mod bad_input;
mod budget;
mod chains;
mod chaos;
mod clocks;
mod common;
mod configuration;
mod door;
mod far;
mod footers;
mod front;
mod functions;
mod fuzz;
mod keeping;
mod listing;
mod mistakes;
mod monsters;
mod named;
mod older;
mod operations;
mod oracle;
mod oracle_s3;
mod permissions;
mod plans;
mod runaways;
mod sick;
mod sql;
mod starts;
mod survival;
mod vouched;
mod wire;
mod writing;
