//! Replacements for data that DataFusion's test files name and its crate does not contain. They have the same columns
//! as the real files, but other rows. All compared answers are computed here, so the rows only have to be as varied
//! as the real ones.

use std::fmt::Write as _;
use std::path::Path;

use crate::rng::Rng;

/// Writes all files into `folder`.
pub(crate) fn write(folder: &Path) {
    let mut mixed = Rng::new(7);
    let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let (header, rows) = hundred(&mut mixed);
    put("aggregate_test_100.csv", &format!("{header}\n{}\n", rows.join("\n")));
    let mut sorted = rows.clone();
    sorted.sort();
    put("aggregate_test_100_order_by_c1_asc.csv", &format!("{header}\n{}\n", sorted.join("\n")));
    let dated = rows.iter().map(|row| {
        let day = mixed.within(1, 28);
        format!("{row},2021-02-{day:02},2021-02-{day:02}T{:02}:00:00\n", mixed.within(0, 23))
    });
    let dated: String = dated.collect();
    put("aggregate_test_100_with_dates.csv", &format!("{header},c14,c15\n{dated}"));
    put("empty.csv", "c1,c2,c3\n");
    put("aggregate_simple.csv", &simple());
    put("window_1.csv", &window_1(&mut mixed));
    put("window_2.csv", &window_2(&mut mixed));
    put("null_cases.csv", &null_cases(&mut mixed));
    put("aggregate_agg_multi_order.csv", &multi_order(&mut mixed));
    put("timestamps.csv", &timestamps());
    std::fs::create_dir(folder.join("partitioned_csv")).unwrap();
    for part in 0..4 {
        let rows: String = (0..=10).map(|row| format!("{part},{row},{}\n", row % 2 == 0)).collect();
        put(&format!("partitioned_csv/partition-{part}.csv"), &rows);
    }
}

/// Groups of uneven size in `c1` and `c2`, keys without duplicates in `c9` and `c13`.
fn hundred(mixed: &mut Rng) -> (&'static str, Vec<String>) {
    let rows = (0..100).map(|row| {
        let letter = ["a", "b", "c", "d", "e"][usize::try_from(mixed.next() % 5).unwrap()];
        let word: String = (0..28)
            .map(|_| {
                char::from(
                    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789"
                        [usize::try_from(mixed.next() % 46).unwrap()],
                )
            })
            .collect();
        let numbers = [
            mixed.within(1, 5),
            mixed.within(-128, 127),
            mixed.within(-32_768, 32_767),
            mixed.within(i64::from(i32::MIN), i64::from(i32::MAX)),
            mixed.within(i64::MIN / 4, i64::MAX / 4),
            mixed.within(0, 255),
            mixed.within(0, 65_535),
            mixed.within(0, i64::from(u32::MAX)),
        ];
        let numbers = numbers.map(|number| number.to_string()).join(",");
        let large = mixed.next();
        // Thousandths, so that a 32-bit float prints as it was written.
        let (small, double) = (mixed.within(1, 999), mixed.within(1, 999_999_999));
        format!("{letter},{numbers},{large},0.{small:03},0.{double:09},{word}{row:02}")
    });
    ("c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13", rows.collect())
}

/// 15 rows: each value occurs as many times as its number.
fn simple() -> String {
    let mut text = "c1,c2,c3\n".to_owned();
    for value in 1..=5 {
        for _ in 0..value {
            let _ = writeln!(text, "0.0000{value},0.00000000000{value},{}", value % 2 == 1);
        }
    }
    text
}

fn window_1(mixed: &mut Rng) -> String {
    let (mut ts, mut up, mut down) = (264, 1, 100);
    let mut text = "ts,inc_col,desc_col\n".to_owned();
    for _ in 0..100 {
        let _ = writeln!(text, "{ts},{up},{down}");
        ts += mixed.within(0, 9);
        up += mixed.within(1, 8);
        down -= mixed.within(1, 8);
    }
    text
}

/// Sorted by `a`, `b` and `c`, as the test files declare.
fn window_2(mixed: &mut Rng) -> String {
    let mut text = "a0,a,b,c,d\n".to_owned();
    for row in 0..100 {
        let _ = writeln!(text, "1,{},{},{row},{}", row / 50, row / 25, mixed.within(0, 4));
    }
    text
}

fn null_cases(mixed: &mut Rng) -> String {
    let mut text = "c1,c2,c3\n".to_owned();
    for row in 0..100 {
        let mut or_null =
            |value: String| if mixed.next().is_multiple_of(9) { String::new() } else { value };
        let (c1, c2) = (or_null((row * 37 % 100).to_string()), or_null(format!("{}.5", row % 23)));
        let _ = writeln!(text, "{c1},{c2},{row}");
    }
    text
}

fn multi_order(mixed: &mut Rng) -> String {
    let mut text = "c1,c2,c3\n".to_owned();
    for row in 1..=10 {
        let _ = writeln!(text, "{row},{},{}", (row + 4) / 5 * 10, mixed.within(1, 100) * 10 + row);
    }
    text
}

/// Names and times, both descending, as the test files declare.
fn timestamps() -> String {
    let times = ["2018-12-13T12:12:10.011", "2018-11-13T17:11:10.011"];
    let mut text = String::new();
    for (row, name) in ["Jorge", "Andrew"].iter().enumerate() {
        let _ = writeln!(text, "{name},{}", times[row]);
    }
    text
}
