//! The access control of a listener, for any protocol: keys, certificates, limits for every client, and the rule that
//! a listener without keys or TLS may listen on loopback only.

mod accept;
mod admit;
mod descriptors;
mod exposure;
mod limits;
mod options;
mod pace;
mod shown;

pub(crate) use accept::{Accept, Accepted, Wire, accept};
pub(crate) use admit::{Admission, Client, Permit, Refused};
pub(crate) use descriptors::make_room;
pub use exposure::Exposed;
pub use limits::DoorLimits;
pub(crate) use options::Door;
pub use options::{DoorError, DoorOptions};
pub(crate) use pace::{Pace, Paced, Phase};
pub(crate) use shown::key_or_password;
