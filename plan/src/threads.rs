//! Threads end by being joined.
//!
//! A handle of a thread that is dropped detaches the thread. If the thread ends in the same moment, and its stack is too
//! large for glibc to keep, `pthread_detach` reads memory that is gone, and the process dies (bug 19951 of glibc, met with
//! 2.36). Threads that compute have such stacks. A runtime of tokio that is shut down in the background detaches all its
//! threads while they end.
//!
//! ```text
//!   a query ends ──its runtime, the handle of its thread──> one thread of the process, which joins what has ended
//! ```

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;

/// How long a runtime has for its threads to end. What still runs then may run for hours, and does not end in the moment
/// in which it is given up.
const MOMENT: Duration = Duration::from_millis(250);

/// How often threads that have ended are looked for while some have not.
const LOOK: Duration = Duration::from_millis(500);

/// Ends a runtime before the process ends. What still runs after a moment is left.
pub fn end(runtime: Runtime) {
    runtime.shutdown_timeout(MOMENT);
}

/// The runtime ends, and the caller does not wait for it. It may be in a task of another runtime.
pub fn leave(runtime: Runtime) {
    hand_over(Left::Runtime(Box::new(runtime)));
}

/// The thread goes on, and nobody waits for it.
pub fn let_go(thread: JoinHandle<()>) {
    hand_over(Left::Thread(thread));
}

enum Left {
    Runtime(Box<Runtime>),
    Thread(JoinHandle<()>),
}

fn hand_over(left: Left) {
    /// The way to the thread that joins; `None` if the system gave none.
    static JOINER: LazyLock<Option<Mutex<Sender<Left>>>> = LazyLock::new(|| {
        let (send, receive) = channel();
        let thread = std::thread::Builder::new().name("dunlin-join".to_owned());
        thread.spawn(move || join(&receive)).ok().map(|_| Mutex::new(send))
    });
    let Some(joiner) = JOINER.as_ref() else { return left.now() };
    let sent = joiner.lock().unwrap_or_else(PoisonError::into_inner).send(left);
    if let Err(unsent) = sent {
        unsent.0.now();
    }
}

impl Left {
    /// Without a thread that joins.
    fn now(self) {
        match self {
            Self::Runtime(runtime) => runtime.shutdown_background(),
            Self::Thread(thread) => drop(thread),
        }
    }
}

fn join(left: &Receiver<Left>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let next = match threads.is_empty() {
            true => left.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => left.recv_timeout(LOOK),
        };
        match next {
            Ok(Left::Runtime(runtime)) => end(*runtime),
            Ok(Left::Thread(thread)) => threads.push(thread),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let (ended, running): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(JoinHandle::is_finished);
        // Its panic was told of by itself.
        ended.into_iter().for_each(|thread| drop(thread.join()));
        threads = running;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use super::*;

    const STACK: usize = 64 << 20;

    fn runtime() -> Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_stack_size(STACK).build().unwrap()
    }

    #[test]
    fn what_is_left_ends_and_nobody_waits_for_what_does_not() {
        let (send, ended) = channel();
        let (go, wait) = channel::<()>();
        let builder = std::thread::Builder::new().stack_size(STACK);
        let slow = send.clone();
        let stuck = builder.spawn(move || {
            let _ = wait.recv();
            slow.send("slow").unwrap();
        });
        let began = Instant::now();
        let_go(stuck.unwrap());
        for _ in 0..20 {
            let send = send.clone();
            let builder = std::thread::Builder::new().stack_size(STACK);
            let_go(builder.spawn(move || send.send("quick").unwrap()).unwrap());
            let runtime = runtime();
            runtime.spawn(async {});
            leave(runtime);
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        let patience = Duration::from_secs(60);
        for _ in 0..20 {
            assert_eq!(ended.recv_timeout(patience).unwrap(), "quick");
        }
        drop(go);
        assert_eq!(ended.recv_timeout(patience).unwrap(), "slow");
        // A task that never pauses is left.
        let runtime = runtime();
        let (stop, stopped) = channel::<()>();
        runtime.spawn_blocking(move || stopped.recv().is_ok());
        end(runtime);
        drop(stop);
    }
}
