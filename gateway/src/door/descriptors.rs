//! Enough file descriptors for all allowed connections. Many systems give a process 1,024 at first, and more if it
//! asks.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything except client connections: store requests, spills, tables.
const SPARE: u64 = 1_024;

/// Raises the limit so that `connections` and everything else can be open, as far as the system allows.
pub(crate) fn make_room(connections: usize) {
    let wanted = (connections as u64).saturating_add(SPARE);
    let mut limit = getrlimit(Resource::Nofile);
    let Some(now) = limit.current.filter(|now| *now < wanted) else { return };
    let most = limit.maximum.map_or(wanted, |most| most.min(wanted));
    limit.current = Some(most);
    let given = if setrlimit(Resource::Nofile, limit).is_ok() { most } else { now };
    if given < wanted {
        tracing::warn!(
            descriptors = given,
            connections,
            "the system allows fewer file descriptors than [gateway.limits] connections may need"
        );
    }
}
