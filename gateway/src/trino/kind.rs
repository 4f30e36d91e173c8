//! Trino's types, and which Arrow types become which.
//!
//! ```text
//!   UInt8 ─> smallint   UInt16 ─> integer   UInt32 ─> bigint   UInt64 ─> decimal(20,0)
//!   Struct ─> row       List ─> array       Dictionary<K, V> ─> V
//! ```
//! Every value of an Arrow type fits into its type of Trino. What Trino has no type for comes as text: decimals of more than
//! 38 digits, and intervals that have both months and days. One exception: a duration is cut to milliseconds, as Trino's
//! intervals are.

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use serde_json::{Value, json};

use super::failure::Failure;

/// The most digits of a decimal.
const MOST_DIGITS: u8 = 38;
/// The length that stands for a text of any length.
const ANY_LENGTH: u32 = 2_147_483_647;
/// Metadata of a field that holds more than its Arrow type tells.
const EXTENSION: &str = "ARROW:extension:name";

/// A type of Trino.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    Boolean,
    Tinyint,
    Smallint,
    Integer,
    Bigint,
    Real,
    Double,
    /// With its digits, and those behind the point.
    Decimal(u8, u8),
    Varchar,
    Varbinary,
    Uuid,
    Date,
    /// With the digits of a second's fraction, as the others.
    Time(u8),
    Timestamp(u8),
    TimestampTz(u8),
    YearToMonth,
    DayToSecond,
    Array(Box<Kind>),
    Map(Box<Kind>, Box<Kind>),
    Row(Vec<(String, Kind)>),
}

/// The digits of a second's fraction.
pub(super) fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

impl Kind {
    /// The type of a column or of a part of one.
    ///
    /// # Errors
    /// A type that Trino has not.
    pub(super) fn of(field: &Field) -> Result<Self, Failure> {
        let is_uuid = field.metadata().get(EXTENSION).is_some_and(|name| name == "arrow.uuid");
        match field.data_type() {
            DataType::FixedSizeBinary(16) if is_uuid => Ok(Self::Uuid),
            kind => Self::of_type(kind),
        }
    }

    /// The type that values of an Arrow type have.
    ///
    /// # Errors
    /// As [`Kind::of`].
    pub(super) fn of_type(kind: &DataType) -> Result<Self, Failure> {
        let boxed = |field: &Field| Self::of(field).map(Box::new);
        Ok(match kind {
            DataType::Null => Self::Unknown,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Tinyint,
            DataType::Int16 | DataType::UInt8 => Self::Smallint,
            DataType::Int32 | DataType::UInt16 => Self::Integer,
            DataType::Int64 | DataType::UInt32 => Self::Bigint,
            DataType::UInt64 => Self::Decimal(20, 0),
            DataType::Float16 | DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => Self::decimal(*precision, *scale),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Varchar,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Varbinary,
            DataType::Date32 => Self::Date,
            DataType::Date64 => Self::Timestamp(3),
            DataType::Time32(unit) | DataType::Time64(unit) => Self::Time(digits(*unit)),
            DataType::Timestamp(unit, None) => Self::Timestamp(digits(*unit)),
            DataType::Timestamp(unit, Some(_)) => Self::TimestampTz(digits(*unit)),
            DataType::Interval(IntervalUnit::YearMonth) => Self::YearToMonth,
            DataType::Interval(IntervalUnit::DayTime) | DataType::Duration(_) => Self::DayToSecond,
            DataType::Interval(IntervalUnit::MonthDayNano) => Self::Varchar,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::Array(boxed(item)?),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    Self::Map(boxed(&fields[0])?, boxed(&fields[1])?)
                }
                other => return Err(Failure::no_type(other)),
            },
            DataType::Struct(fields) => {
                let fields = fields.iter().map(|it| Ok((it.name().clone(), Self::of(it)?)));
                Self::Row(fields.collect::<Result<_, Failure>>()?)
            }
            DataType::Dictionary(_, values) => Self::of_type(values)?,
            DataType::RunEndEncoded(_, values) => Self::of(values)?,
            other @ DataType::Union(_, _) => return Err(Failure::no_type(other)),
        })
    }

    fn decimal(precision: u8, scale: i8) -> Self {
        match u8::try_from(scale) {
            Ok(scale) if precision <= MOST_DIGITS && scale <= precision => {
                Self::Decimal(precision, scale)
            }
            Ok(_) => Self::Varchar,
            // Zeros before the point.
            Err(_) => match precision.checked_add(scale.unsigned_abs()) {
                Some(digits) if digits <= MOST_DIGITS => Self::Decimal(digits, 0),
                _ => Self::Varchar,
            },
        }
    }

    /// The type as a client that knows no digits of fractions has it: fractions of milliseconds.
    pub(super) fn name(&self, has_digits: bool) -> String {
        let timed = |digits: u8| if has_digits { format!("({digits})") } else { String::new() };
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Tinyint => "tinyint".to_owned(),
            Self::Smallint => "smallint".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Bigint => "bigint".to_owned(),
            Self::Real => "real".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Self::Varchar => "varchar".to_owned(),
            Self::Varbinary => "varbinary".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time(digits) => format!("time{}", timed(*digits)),
            Self::Timestamp(digits) => format!("timestamp{}", timed(*digits)),
            Self::TimestampTz(digits) => format!("timestamp{} with time zone", timed(*digits)),
            Self::YearToMonth => "interval year to month".to_owned(),
            Self::DayToSecond => "interval day to second".to_owned(),
            Self::Array(item) => format!("array({})", item.name(has_digits)),
            Self::Map(key, value) => {
                format!("map({}, {})", key.name(has_digits), value.name(has_digits))
            }
            Self::Row(fields) => {
                let field = |(name, kind): &(String, Self)| {
                    format!("\"{}\" {}", name.replace('"', "\"\""), kind.name(has_digits))
                };
                format!("row({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The type in parts, as clients read it.
    pub(super) fn signature(&self, has_digits: bool) -> Value {
        let long = |value: u32| json!({ "kind": "LONG", "value": value });
        let of = |kind: &Self| json!({ "kind": "TYPE", "value": kind.signature(has_digits) });
        let (raw, arguments) = match self {
            Self::Decimal(precision, scale) => {
                ("decimal".to_owned(), vec![long((*precision).into()), long((*scale).into())])
            }
            Self::Varchar => ("varchar".to_owned(), vec![long(ANY_LENGTH)]),
            Self::Time(digits) | Self::Timestamp(digits) | Self::TimestampTz(digits) => {
                let arguments = if has_digits { vec![long((*digits).into())] } else { Vec::new() };
                (self.name(false), arguments)
            }
            Self::Array(item) => ("array".to_owned(), vec![of(item)]),
            Self::Map(key, value) => ("map".to_owned(), vec![of(key), of(value)]),
            Self::Row(fields) => {
                let field = |(name, kind): &(String, Self)| {
                    json!({ "kind": "NAMED_TYPE", "value": {
                        "fieldName": { "name": name },
                        "typeSignature": kind.signature(has_digits),
                    } })
                };
                ("row".to_owned(), fields.iter().map(field).collect())
            }
            other => (other.name(has_digits), Vec::new()),
        };
        json!({ "rawType": raw, "arguments": arguments })
    }

    /// A column of an answer.
    pub(super) fn column(&self, name: &str, has_digits: bool) -> Value {
        json!({
            "name": name,
            "type": self.name(has_digits),
            "typeSignature": self.signature(has_digits),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn kind(of: &DataType) -> Kind {
        Kind::of_type(of).unwrap()
    }

    #[test]
    fn no_type_loses_values() {
        assert_eq!(kind(&DataType::UInt8), Kind::Smallint);
        assert_eq!(kind(&DataType::UInt32), Kind::Bigint);
        assert_eq!(kind(&DataType::UInt64), Kind::Decimal(20, 0));
        assert_eq!(kind(&DataType::Decimal128(38, 10)), Kind::Decimal(38, 10));
        assert_eq!(kind(&DataType::Decimal256(39, 10)), Kind::Varchar);
        assert_eq!(kind(&DataType::Decimal128(10, -2)), Kind::Decimal(12, 0));
        assert_eq!(kind(&DataType::Decimal128(38, -2)), Kind::Varchar);
        assert_eq!(kind(&DataType::Decimal128(2, 4)), Kind::Varchar);
        assert_eq!(kind(&DataType::Timestamp(TimeUnit::Nanosecond, None)), Kind::Timestamp(9));
    }

    #[test]
    fn a_type_is_told_as_text_and_in_parts() {
        let entries = DataType::Struct(
            vec![
                Field::new("k", DataType::Utf8, false),
                Field::new("v", DataType::new_list(DataType::Decimal128(5, 2), true), true),
            ]
            .into(),
        );
        let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
        let utc = Some("+00:00".into());
        let fields = vec![
            Field::new("a", map, true),
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, utc), true),
        ];
        let row = kind(&DataType::Struct(fields.into()));
        assert_eq!(
            row.name(true),
            "row(\"a\" map(varchar, array(decimal(5,2))), \"t\" timestamp(6) with time zone)"
        );
        let signature = row.signature(true);
        assert_eq!(signature["rawType"], "row");
        let second = &signature["arguments"][1]["value"];
        assert_eq!(second["fieldName"]["name"], "t");
        assert_eq!(
            second["typeSignature"],
            json!({"rawType": "timestamp with time zone", "arguments": [{"kind": "LONG", "value": 6}]})
        );
        let first = &signature["arguments"][0]["value"]["typeSignature"];
        assert_eq!(first["arguments"][0]["value"]["arguments"][0]["value"], ANY_LENGTH);
        // Clients that know no digits.
        assert_eq!(Kind::TimestampTz(6).name(false), "timestamp with time zone");
        assert_eq!(
            Kind::Timestamp(6).signature(false),
            json!({"rawType": "timestamp", "arguments": []})
        );
    }

    #[test]
    fn what_trino_has_not_is_refused_by_name() {
        let union = DataType::Union(
            datafusion::arrow::datatypes::UnionFields::empty(),
            datafusion::arrow::datatypes::UnionMode::Sparse,
        );
        assert!(Kind::of_type(&union).unwrap_err().to_string().contains("Union"));
    }
}
