//! Slices of the exchange for libFuzzer ([`dunlin_fuzz::slice`]).
#![no_main]

use std::panic::{self, AssertUnwindSafe};

libfuzzer_sys::fuzz_target!(
    init: {
        // The decoder catches the panics of `arrow-ipc`: they are no findings. One that comes out is.
        panic::set_hook(Box::new(|_| ()));
    },
    |input: &[u8]| {
        if panic::catch_unwind(AssertUnwindSafe(|| dunlin_fuzz::slice(input))).is_err() {
            std::process::abort();
        }
    }
);
