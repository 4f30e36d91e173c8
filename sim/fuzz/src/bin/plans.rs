//! Plans of stages for libFuzzer ([`dunlin_fuzz::plan`]).
#![no_main]

use std::panic::{self, AssertUnwindSafe};
use std::sync::LazyLock;

use datafusion::prelude::SessionContext;

static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);

libfuzzer_sys::fuzz_target!(
    init: {
        // The decoder catches the panics of the engine: they are no findings. One that comes out is.
        panic::set_hook(Box::new(|_| ()));
    },
    |input: &[u8]| {
        let opened = panic::catch_unwind(AssertUnwindSafe(|| dunlin_fuzz::plan(input, &CONTEXT)));
        if opened.is_err() {
            std::process::abort();
        }
    }
);
