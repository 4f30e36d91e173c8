//! Names of types as SQL has them, in the place of the engine's.

use datafusion::arrow::datatypes::DataType;

/// A type as SQL names it.
#[must_use]
pub fn sql_type(data_type: &DataType) -> String {
    with_sql_types(&data_type.to_string())
}

/// The engine's names of types without parameters, and SQL's.
const NAMES: &[(&str, &str)] = &[
    ("Null", "NULL"),
    ("Boolean", "BOOLEAN"),
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("UInt8", "TINYINT UNSIGNED"),
    ("UInt16", "SMALLINT UNSIGNED"),
    ("UInt32", "INT UNSIGNED"),
    ("UInt64", "BIGINT UNSIGNED"),
    ("Float16", "REAL"),
    ("Float32", "REAL"),
    ("Float64", "DOUBLE"),
    ("Utf8", "VARCHAR"),
    ("LargeUtf8", "VARCHAR"),
    ("Utf8View", "VARCHAR"),
    ("Binary", "BYTEA"),
    ("LargeBinary", "BYTEA"),
    ("BinaryView", "BYTEA"),
    ("FixedSizeBinary", "BYTEA"),
    ("Date32", "DATE"),
    ("Date64", "DATE"),
    ("Time32", "TIME"),
    ("Time64", "TIME"),
    ("Timestamp", "TIMESTAMP"),
    ("TimestampSecond", "TIMESTAMP"),
    ("TimestampMillisecond", "TIMESTAMP"),
    ("TimestampMicrosecond", "TIMESTAMP"),
    ("TimestampNanosecond", "TIMESTAMP"),
    ("Interval", "INTERVAL"),
    ("IntervalYearMonth", "INTERVAL"),
    ("IntervalDayTime", "INTERVAL"),
    ("IntervalMonthDayNano", "INTERVAL"),
    ("Duration", "DURATION"),
    ("Decimal32", "DECIMAL"),
    ("Decimal64", "DECIMAL"),
    ("Decimal128", "DECIMAL"),
    ("Decimal256", "DECIMAL"),
    ("List", "LIST"),
    ("LargeList", "LIST"),
    ("ListView", "LIST"),
    ("LargeListView", "LIST"),
    ("FixedSizeList", "LIST"),
    ("Dictionary", ""),
    ("Struct", "STRUCT"),
    ("Map", "MAP"),
];

/// `text` with SQL's names of types in the place of the engine's, and with constants as SQL writes them: `Int64(1)` is
/// `1`, and `Decimal128(15, 2)` is `DECIMAL(15, 2)`.
#[must_use]
pub fn with_sql_types(text: &str) -> String {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_of_word) {
        told.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        let Some((_, name)) = NAMES.iter().find(|(engine, _)| *engine == word) else {
            told.push_str(word);
            continue;
        };
        match closing(after) {
            Some((inside, behind)) => {
                told.push_str(&with_argument(word, name, inside));
                rest = behind;
            }
            // Words that are also words of a sentence.
            None if matches!(*name, "" | "LIST" | "STRUCT" | "MAP") => told.push_str(word),
            None if after.starts_with(" operator") => told.push_str(word),
            None => told.push_str(name),
        }
    }
    told.push_str(rest);
    told
}

/// A type or a constant that has something in parentheses.
fn with_argument(word: &str, name: &str, inside: &str) -> String {
    let inside = inside.trim();
    let is_number = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.'))
    };
    match name {
        _ if inside == "NULL" || inside.starts_with("None") => "NULL".to_owned(),
        "DECIMAL" => match decimal(inside) {
            Some(constant) => constant,
            None => format!("DECIMAL({inside})"),
        },
        "" => with_sql_types(inside.split_once(',').map_or(inside, |(_, value)| value.trim())),
        "LIST" => format!("LIST({})", with_sql_types(inside)),
        "STRUCT" | "MAP" => format!("{name}({})", with_sql_types(inside)),
        "VARCHAR" | "DATE" | "INTERVAL" if inside.starts_with('"') => {
            let text = inside.trim_matches('"');
            match name {
                "VARCHAR" => format!("'{text}'"),
                _ if text.contains('{') => format!("an {name}"),
                _ => format!("{name} '{text}'"),
            }
        }
        "BOOLEAN" => inside.to_owned(),
        // A constant; what a type has there is a unit.
        _ if is_number(inside) && word != "FixedSizeBinary" => inside.to_owned(),
        "TIMESTAMP" if inside.contains('"') => "TIMESTAMP WITH TIME ZONE".to_owned(),
        _ => name.to_owned(),
    }
}

/// A constant of a decimal type, `Some(123),15,2`, as a number.
fn decimal(inside: &str) -> Option<String> {
    let (digits, type_of) = inside.strip_prefix("Some(")?.split_once(')')?;
    let scale = type_of.rsplit(',').next()?.trim().parse::<usize>().ok()?;
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    if scale == 0 {
        return Some(format!("{sign}{digits}"));
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    Some(format!("{sign}{whole}.{part}"))
}

/// What a parenthesis that begins `text` holds, and what comes after it. Quoted text may hold any parenthesis.
fn closing(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?;
    let (mut depth, mut quoted) = (1, false);
    for (at, c) in inside.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..]));
        }
    }
    None
}
