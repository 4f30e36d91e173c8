//! Bodies that are no requests, or hardly.

use super::monster::{Monster, raw};

const JSON: &str = "application/json";

/// Every body of the corpus.
pub fn bodies() -> Vec<Monster> {
    let nested =
        |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let sql = |field: &str, value: &str| format!("{{\"sql\": \"SELECT 1\", \"{field}\": {value}}}");
    vec![
        raw("arrays 100,000 deep", nested("[", "]", 100_000), JSON),
        raw("objects 100,000 deep", nested("{\"a\":", "}", 100_000), JSON),
        raw("parameters 100,000 deep", sql("parameters", &nested("[", "]", 100_000)), JSON),
        raw("parameters 120 deep", sql("parameters", &nested("[", "]", 120)), JSON),
        raw("settings 100,000 deep", sql("settings", &nested("{\"a\":", "1}", 100_000)), JSON),
        raw(
            "settings of many keys",
            sql(
                "settings",
                &format!(
                    "{{{}\"z\":1}}",
                    (0..50_000).map(|n| format!("\"k{n}\":{n},")).collect::<String>()
                ),
            ),
            JSON,
        ),
        raw("huge number", sql("parameters", &format!("[{}]", "9".repeat(1_000_000))), JSON),
        raw("huge exponent", sql("parameters", "[1e999999999999999999]"), JSON),
        raw("100,000 parameters", sql("parameters", &format!("[{}1]", "1,".repeat(100_000))), JSON),
        raw(
            "1 MB parameter",
            format!("{{\"sql\": \"SELECT $1\", \"parameters\": [\"{}\"]}}", "x".repeat(1_000_000)),
            JSON,
        ),
        raw("objects as parameters", sql("parameters", "[{}, [], {\"a\": [1]}]"), JSON),
        raw(
            "parameters of the wrong number",
            "{\"sql\": \"SELECT $1, $2, $7\", \"parameters\": [1]}",
            JSON,
        ),
        raw("duplicate keys", "{\"sql\": \"SELECT 1\", \"sql\": \"SELECT 2\"}", JSON),
        raw("unknown keys", "{\"sql\": \"SELECT 1\", \"surprise\": 1}", JSON),
        raw("sql that is no text", "{\"sql\": 1}", JSON),
        raw("no sql", "{}", JSON),
        raw("partitions", sql("settings", "{\"target_partitions\": 18446744073709551615}"), JSON),
        raw("partitions below zero", sql("settings", "{\"target_partitions\": -1}"), JSON),
        raw(
            "most partitions",
            sql("settings", "{\"target_partitions\": 4096, \"route\": \"fleet\"}"),
            JSON,
        ),
        raw("wait", sql("wait_timeout", "\"99999999999999999999999999s\""), JSON),
        raw("lone surrogate", "{\"sql\": \"SELECT '\\ud800'\"}", JSON),
        raw("NUL escape", "{\"sql\": \"SELECT '\\u0000'\"}", JSON),
        raw("no JSON", "{", JSON),
        raw("a byte order mark", "\u{feff}{\"sql\": \"SELECT 1\"}", JSON),
        raw("bytes that are no text", vec![0xff; 100_000], JSON),
        raw("bytes that are no text, as SQL", vec![0xc3; 100_000], "text/plain"),
        raw("nothing", Vec::new(), JSON),
        raw("2 MB of text", vec![b'x'; (2 << 20) - 1], "text/plain"),
        raw("3 MB of text", vec![b'x'; 3 << 20], "text/plain"),
        raw("white space", vec![b' '; 1_000_000], JSON),
    ]
}
