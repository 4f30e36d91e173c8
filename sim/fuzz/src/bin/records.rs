//! Records for libFuzzer ([`dunlin_fuzz::record`]).
#![no_main]

use std::sync::LazyLock;

use datafusion::prelude::SessionContext;

static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);

libfuzzer_sys::fuzz_target!(|input: &[u8]| dunlin_fuzz::record(input, &CONTEXT));
