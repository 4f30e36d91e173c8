//! The priority of threads that run plans.

/// The `nice` value of threads that run plans, so that planning, serving, heartbeats and store requests come first
/// when there are too few cores. Five steps of `nice` give a thread about a third of the time of a thread with normal
/// priority.
pub const NICE: i32 = 5;

/// Lowers the priority of this thread by `nice` steps, and of the threads that it starts later. If the system does
/// not allow it, the priority stays as it is.
pub fn stand_back(nice: i32) {
    if nice > 0
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}
