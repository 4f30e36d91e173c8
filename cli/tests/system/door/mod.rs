//! The front door as clients meet it, through real processes: keys, certificates, and clients that are slow or too
//! many.

mod groups;
mod keys;
mod limits;
mod pools;
mod shares;
pub(crate) mod site;
mod tls;
mod tokens;
