//! ClickBench's shape: one wide table of what visitors of web sites did, and 43 statements that count, group by texts and
//! numbers of many values, look for parts of texts, and show the first of many rows.
//!
//! The rows are made here, from their numbers alone. As in the original, they lie in the order of `counter_id`, most texts
//! are empty or frequent, and the numbers of users, addresses and phrases grow with the rows.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::array::{
    ArrayRef, Date32Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// The one table.
pub const TABLES: [&str; 1] = ["hits"];
/// Rows of the table at scale 1.
const ROWS: f64 = 1e6;
/// Rows of a batch.
const BATCH: u64 = 8192;
/// Sites that have a counter.
const COUNTERS: u64 = 600;
/// The 1st of July 2013, in days since 1970. All is of this month.
const FIRST_DAY: i32 = 15_887;
/// A page and a site before it that statements ask for.
const KNOWN_PAGE: i64 = 2_868_770_270_353_813_622;
const KNOWN_SITE: i64 = 3_594_120_000_172_545_465;

const WORDS: [&str; 16] = [
    "купить",
    "cheap",
    "новости",
    "weather",
    "отзывы",
    "phone",
    "москва",
    "video",
    "рецепт",
    "car",
    "работа",
    "tickets",
    "фото",
    "music",
    "ремонт",
    "online",
];
const MODELS: [&str; 8] =
    ["iPad", "iPhone", "Galaxy", "Lumia", "Xperia", "One", "Nexus 7", "Ascend"];
const WIDTHS: [i16; 8] = [1368, 1638, 1996, 1087, 1917, 1440, 1280, 0];

/// What a column holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A number of 64 bits that no other row has.
    Unique,
    /// A visitor: some six rows have the same.
    User,
    /// The number of the site.
    Counter,
    /// An address.
    Address,
    Day,
    Time,
    /// 1 in so many rows of a hundred, and 0 in the others.
    Flag(u64),
    /// One of so many numbers, small ones more often.
    Few(u64),
    /// The same, but 0 in so many rows of a hundred.
    Mostly(u64, u64),
    Width,
    /// A page, the one before it, and what a page is called.
    Page,
    Before,
    Title,
    /// What was searched for; mostly nothing.
    Phrase,
    Model,
    /// A short text, one of so many; with 0, none.
    Tag(u64),
    /// The hash of a page, or of a site.
    Hash(i64),
}

use Kind::{
    Address, Before, Counter, Day, Few, Flag, Hash, Model, Mostly, Page, Phrase, Tag, Time, Title,
    Unique, User, Width,
};

#[rustfmt::skip]
const COLUMNS: [(&str, Kind); 105] = [
    ("watch_id", Unique), ("java_enable", Flag(80)), ("title", Title), ("good_event", Flag(100)), ("event_time", Time),
    ("event_date", Day), ("counter_id", Counter), ("client_ip", Address), ("region_id", Few(9_000)), ("user_id", User),
    ("counter_class", Few(2)), ("os", Few(80)), ("user_agent", Few(80)), ("url", Page), ("referer", Before),
    ("is_refresh", Flag(12)), ("referer_category_id", Mostly(60, 20)), ("referer_region_id", Mostly(60, 5_000)),
    ("url_category_id", Mostly(40, 20)), ("url_region_id", Mostly(40, 1_000)), ("resolution_width", Width),
    ("resolution_height", Few(1_200)), ("resolution_depth", Few(32)), ("flash_major", Few(12)), ("flash_minor", Few(10)),
    ("flash_minor2", Tag(30)), ("net_major", Mostly(95, 4)), ("net_minor", Mostly(95, 4)), ("user_agent_major", Few(60)),
    ("user_agent_minor", Tag(60)), ("cookie_enable", Flag(99)), ("javascript_enable", Flag(99)), ("is_mobile", Flag(5)),
    ("mobile_phone", Mostly(90, 40)), ("mobile_phone_model", Model), ("params", Tag(0)), ("ip_network_id", Few(6_000)),
    ("traffic_source_id", Few(10)), ("search_engine_id", Mostly(85, 40)), ("search_phrase", Phrase),
    ("adv_engine_id", Mostly(99, 20)), ("is_artifical", Flag(1)), ("window_client_width", Few(2_000)),
    ("window_client_height", Few(1_200)), ("client_time_zone", Few(12)), ("client_event_time", Time),
    ("silverlight_version1", Few(6)), ("silverlight_version2", Few(2)), ("silverlight_version3", Few(60_000)),
    ("silverlight_version4", Few(2)), ("page_charset", Tag(3)), ("code_version", Few(2_000)), ("is_link", Flag(10)),
    ("is_download", Flag(1)), ("is_not_bounce", Flag(50)), ("fuid", User), ("original_url", Tag(0)), ("hid", Address),
    ("is_old_counter", Flag(1)), ("is_event", Flag(10)), ("is_parameter", Flag(10)), ("dont_count_hits", Flag(10)),
    ("with_hash", Flag(20)), ("hit_color", Tag(4)), ("local_event_time", Time), ("age", Mostly(60, 60)), ("sex", Few(3)),
    ("income", Few(4)), ("interests", Few(16_000)), ("robotness", Mostly(90, 6)), ("remote_ip", Address),
    ("window_name", Few(40)), ("opener_name", Few(40)), ("history_length", Few(60)), ("browser_language", Tag(20)),
    ("browser_country", Tag(60)), ("social_network", Tag(0)), ("social_action", Tag(0)), ("http_error", Mostly(99, 500)),
    ("send_timing", Mostly(50, 2_000)), ("dns_timing", Mostly(50, 500)), ("connect_timing", Mostly(50, 500)),
    ("response_start_timing", Mostly(50, 5_000)), ("response_end_timing", Mostly(50, 9_000)),
    ("fetch_timing", Mostly(50, 9_000)), ("social_source_network_id", Mostly(99, 5)), ("social_source_page", Tag(0)),
    ("param_price", Mostly(99, 9_000)), ("param_order_id", Tag(0)), ("param_currency", Tag(2)),
    ("param_currency_id", Few(2)), ("openstat_service_name", Tag(0)), ("openstat_campaign_id", Tag(0)),
    ("openstat_ad_id", Tag(0)), ("openstat_source_id", Tag(0)), ("utm_source", Tag(0)), ("utm_medium", Tag(0)),
    ("utm_campaign", Tag(0)), ("utm_content", Tag(0)), ("utm_term", Tag(0)), ("from_tag", Tag(0)), ("has_gclid", Flag(1)),
    ("referer_hash", Hash(KNOWN_SITE)), ("url_hash", Hash(KNOWN_PAGE)), ("clid", Mostly(99, 9_000)),
];

/// The statements, in order.
#[must_use]
pub fn queries() -> Vec<&'static str> {
    let text = include_str!("queries.sql");
    let lines = text.split_once('\n').map_or(text, |(_, statements)| statements);
    lines.split(";\n").map(str::trim).filter(|sql| !sql.is_empty()).collect()
}

/// Writes the table below `folder`, in so many Parquet files: a million rows times the scale.
///
/// # Errors
/// A folder that cannot be written.
pub fn generate(folder: &Path, scale: f64, files: usize) -> Result<()> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as many rows as fit a disk
    let total = (ROWS * scale).max(1.0) as u64;
    let folder = folder.join(TABLES[0]);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let files = files as u64;
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8) as u64;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let folder = &folder;
                scope.spawn(move || {
                    (thread..files).step_by(threads as usize).try_for_each(|file| {
                        let path = folder.join(format!("part-{file:04}.parquet"));
                        write_file(&path, total * file / files..total * (file + 1) / files, total)
                    })
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().map_err(|_| anyhow!("a generator thread panicked"))?
        })
    })
}

fn write_file(path: &Path, rows: std::ops::Range<u64>, total: u64) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let out = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let schema = batch(rows.start..rows.start, total)?.schema();
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties))?;
    for from in rows.clone().step_by(BATCH as usize) {
        writer.write(&batch(from..(from + BATCH).min(rows.end), total)?)?;
    }
    writer.close()?;
    Ok(())
}

fn batch(rows: std::ops::Range<u64>, total: u64) -> Result<RecordBatch> {
    let columns = (0u64..).zip(COLUMNS).map(|(column, (name, kind))| {
        (name, values(kind, rows.clone().map(|row| Cell { row, column, total })))
    });
    Ok(RecordBatch::try_from_iter(columns)?)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // numbers that fit, or any number at all
fn values(kind: Kind, cells: impl Iterator<Item = Cell>) -> ArrayRef {
    let texts = |texts: &mut dyn Iterator<Item = String>| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(texts))
    };
    let small = |numbers: &mut dyn Iterator<Item = u64>| -> ArrayRef {
        Arc::new(Int16Array::from_iter_values(numbers.map(|number| number as i16)))
    };
    match kind {
        Unique => Arc::new(Int64Array::from_iter_values(cells.map(|cell| cell.random(0) as i64))),
        User => {
            let users = cells.map(|cell| mixed(cell.skewed(1, cell.total / 6), 77) as i64);
            Arc::new(Int64Array::from_iter_values(users))
        }
        Hash(known) => Arc::new(Int64Array::from_iter_values(cells.map(|cell| {
            let is_known = cell.random(2).is_multiple_of(500);
            if is_known { known } else { mixed(cell.page(), 78) as i64 }
        }))),
        Counter => Arc::new(Int32Array::from_iter_values(cells.map(|cell| cell.counter() as i32))),
        Address => {
            let addresses = cells.map(|cell| mixed(cell.skewed(3, cell.total / 10), 79) as i32);
            Arc::new(Int32Array::from_iter_values(addresses))
        }
        Day => Arc::new(Date32Array::from_iter_values(cells.map(|cell| cell.day()))),
        Time => Arc::new(TimestampMicrosecondArray::from_iter_values(cells.map(|cell| {
            (i64::from(cell.day()) * 86_400 + cell.below(4, 86_400) as i64) * 1_000_000
        }))),
        Flag(percent) => small(&mut cells.map(|cell| u64::from(cell.below(5, 100) < percent))),
        Few(count) => small(&mut cells.map(|cell| cell.skewed(6, count))),
        Mostly(percent, count) => {
            small(&mut cells.map(|cell| match cell.below(5, 100) < percent {
                true => 0,
                false => 1 + cell.skewed(6, count),
            }))
        }
        Width => Arc::new(Int16Array::from_iter_values(
            cells.map(|cell| WIDTHS[cell.skewed(6, WIDTHS.len() as u64) as usize]),
        )),
        Page => texts(&mut cells.map(|cell| address_of(cell.page(), cell.counter()))),
        Before => texts(&mut cells.map(|cell| match cell.below(5, 100) < 20 {
            true => String::new(),
            false => address_of(cell.skewed(8, cell.total / 6), cell.skewed(9, COUNTERS)),
        })),
        Title => texts(&mut cells.map(|cell| {
            let page = cell.page();
            let owner = if page.is_multiple_of(3_001) { "Google" } else { "Site" };
            format!("{} - {owner} {}", words(page), page % 1_000)
        })),
        Phrase => texts(&mut cells.map(|cell| match cell.below(5, 100) < 87 {
            true => String::new(),
            false => words(cell.skewed(7, cell.total / 16)),
        })),
        Model => texts(&mut cells.map(|cell| match cell.below(5, 100) < 94 {
            true => String::new(),
            false => format!("{} {}", MODELS[cell.below(6, 8) as usize], cell.skewed(7, 20)),
        })),
        Tag(count) => texts(&mut cells.map(|cell| match cell.skewed(6, count) {
            0 => String::new(),
            tag => format!("t{tag}"),
        })),
    }
}

/// A value to make.
#[derive(Clone, Copy, Debug)]
struct Cell {
    row: u64,
    column: u64,
    total: u64,
}

impl Cell {
    fn random(self, salt: u64) -> u64 {
        mixed(self.row, salt * 1_000 + self.column)
    }

    fn below(self, salt: u64, count: u64) -> u64 {
        ((self.random(salt) >> 32) * count) >> 32
    }

    /// A number below `count`, small ones more often.
    fn skewed(self, salt: u64, count: u64) -> u64 {
        let random = self.random(salt);
        let share = ((random >> 32) * (random & 0xffff_ffff)) >> 32;
        (share * count) >> 32
    }

    /// Columns that tell of the same page have the same number.
    fn page(self) -> u64 {
        Self { column: 0, ..self }.skewed(10, self.total / 5)
    }

    /// Rows lie in the order of the sites, and some sites have many more than others.
    fn counter(self) -> u64 {
        let share = (self.row << 32) / self.total;
        let cube = (((share * share) >> 32) * share) >> 32;
        (cube * COUNTERS) >> 32
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // below 31
    fn day(self) -> i32 {
        FIRST_DAY + Self { column: 0, ..self }.below(11, 31) as i32
    }
}

/// A number that looks random (the finaliser of SplitMix64).
fn mixed(number: u64, salt: u64) -> u64 {
    let mut z = number
        .wrapping_add(salt.wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn address_of(page: u64, site: u64) -> String {
    let owner = if page.is_multiple_of(2_003) { "google." } else { "" };
    format!("http://www.site{site}.{owner}ru/{:x}/view?id={page}", mixed(page, 80) & 0xffff_ffff)
}

fn words(number: u64) -> String {
    let bits = mixed(number, 81);
    let word = |shift: u32| WORDS[(bits >> shift & 15) as usize];
    format!("{} {} {} {number}", word(0), word(4), word(8))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_are_43_statements_and_each_row_is_always_the_same() {
        assert_eq!(queries().len(), 43);
        assert!(queries().iter().all(|sql| sql.starts_with("select")));
        let (all, some) = (batch(0..100, 1_000).unwrap(), batch(40..60, 1_000).unwrap());
        assert_eq!(all.slice(40, 20), some);
    }
}
