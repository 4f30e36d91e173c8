//! The types of Postgres that values have on the wire, and which Arrow types become which.
//!
//! ```text
//!   Int8, UInt8 ─> int2      UInt16 ─> int4      UInt32 ─> int8      UInt64, Decimal ─> numeric
//!   List<T> ─> T[]           Struct ─> record    Map ─> record[]     Dictionary<K, V> ─> V
//! ```
//! Every value of an Arrow type fits into its type of Postgres, with one exception: times finer than a microsecond are cut
//! to microseconds, because Postgres has no finer ones.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

use super::failure::{Failure, state};

/// Field metadata by which catalog tables mark columns that hold object identifiers.
const OID_MARK: &str = "pg.oid_alias";

/// A type of Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    /// Only of parameters: a text for the engine, with a binary form of its own.
    Uuid,
    /// As [`Kind::Uuid`].
    Jsonb,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Oid,
    /// Fields without names.
    Record(Vec<Kind>),
    /// An array of any number of dimensions.
    Array(Box<Kind>),
}

impl Kind {
    /// The type that a column of a field has.
    ///
    /// # Errors
    /// A type that Postgres has not.
    pub(super) fn of(field: &Field) -> Result<Self, Failure> {
        if *field.data_type() == DataType::Int32 && field.metadata().contains_key(OID_MARK) {
            return Ok(Self::Oid);
        }
        Self::of_type(field.data_type())
    }

    /// The type that values of an Arrow type have.
    pub(super) fn of_type(kind: &DataType) -> Result<Self, Failure> {
        Ok(match kind {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64
            | DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _) => Self::Numeric,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::Text
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Date32 => Self::Date,
            DataType::Date64 | DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => match Self::of_type(item.data_type())? {
                // Postgres has one type for arrays of any number of dimensions.
                inner @ Self::Array(_) => inner,
                inner => Self::Array(Box::new(inner)),
            },
            DataType::Map(entries, _) => Self::Array(Box::new(Self::of_type(entries.data_type())?)),
            DataType::Struct(fields) => {
                let kinds = fields.iter().map(|field| Self::of_type(field.data_type()));
                Self::Record(kinds.collect::<Result<_, _>>()?)
            }
            DataType::Dictionary(_, values) => Self::of_type(values)?,
            DataType::RunEndEncoded(_, values) => Self::of_type(values.data_type())?,
            DataType::Union(_, _) => {
                return Err(Failure::error(
                    state::FEATURE_NOT_SUPPORTED,
                    format!("values of type {kind} have no form in Postgres; cast them to text"),
                ));
            }
        })
    }

    /// The type that a client names for a parameter; none for one that it leaves open.
    ///
    /// # Errors
    /// A type whose values are not read.
    pub(super) fn of_oid(oid: u32) -> Result<Option<Self>, Failure> {
        let array = |kind| Ok(Some(Self::Array(Box::new(kind))));
        Ok(Some(match oid {
            // 0 and 705: the client leaves the type open.
            0 | 705 => return Ok(None),
            16 => Self::Bool,
            17 => Self::Bytea,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            26 | 24 | 2205 | 2206 | 4089 => Self::Oid,
            // "char", name, text, json, xml, bpchar, varchar: read as their text.
            18 | 19 | 25 | 114 | 142 | 1042 | 1043 => Self::Text,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1186 => Self::Interval,
            1700 => Self::Numeric,
            1000 => return array(Self::Bool),
            1005 => return array(Self::Int2),
            1007 => return array(Self::Int4),
            1016 => return array(Self::Int8),
            1021 => return array(Self::Float4),
            1022 => return array(Self::Float8),
            1028 => return array(Self::Oid),
            1002 | 1003 | 1009 | 1014 | 1015 => return array(Self::Text),
            1182 => return array(Self::Date),
            1115 => return array(Self::Timestamp),
            1185 => return array(Self::TimestampTz),
            1231 => return array(Self::Numeric),
            other => {
                return Err(Failure::error(
                    state::FEATURE_NOT_SUPPORTED,
                    format!("parameters of the type with oid {other} are not supported"),
                )
                .hint("leave the type open, or cast the parameter in the statement"));
            }
        }))
    }

    /// The Arrow type of a parameter of this type.
    pub(super) fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            // The value brings its own digits; this is for a parameter that has no value yet.
            Self::Numeric => DataType::Decimal128(38, 10),
            Self::Text | Self::Uuid | Self::Jsonb | Self::Record(_) => DataType::Utf8,
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Self::Interval => {
                DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano)
            }
            Self::Array(kind) => DataType::new_list(kind.arrow(), true),
        }
    }

    /// Its object identifier.
    pub(super) fn oid(&self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Bytea => 17,
            Self::Int8 => 20,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Text => 25,
            Self::Uuid => 2950,
            Self::Jsonb => 3802,
            Self::Oid => 26,
            Self::Float4 => 700,
            Self::Float8 => 701,
            Self::Date => 1082,
            Self::Time => 1083,
            Self::Timestamp => 1114,
            Self::TimestampTz => 1184,
            Self::Interval => 1186,
            Self::Numeric => 1700,
            Self::Record(_) => 2249,
            Self::Array(kind) => match kind.as_ref() {
                Self::Bool => 1000,
                Self::Bytea => 1001,
                Self::Int8 => 1016,
                Self::Int2 => 1005,
                Self::Int4 => 1007,
                Self::Text => 1009,
                Self::Uuid => 2951,
                Self::Jsonb => 3807,
                Self::Oid => 1028,
                Self::Float4 => 1021,
                Self::Float8 => 1022,
                Self::Date => 1182,
                Self::Time => 1183,
                Self::Timestamp => 1115,
                Self::TimestampTz => 1185,
                Self::Interval => 1187,
                Self::Numeric => 1231,
                Self::Record(_) | Self::Array(_) => 2287,
            },
        }
    }

    /// Bytes of each value, or -1 if they differ.
    pub(super) fn size(&self) -> i16 {
        match self {
            Self::Bool => 1,
            Self::Int2 => 2,
            Self::Int4 | Self::Float4 | Self::Date | Self::Oid => 4,
            Self::Int8 | Self::Float8 | Self::Time | Self::Timestamp | Self::TimestampTz => 8,
            Self::Interval | Self::Uuid => 16,
            Self::Numeric
            | Self::Text
            | Self::Jsonb
            | Self::Bytea
            | Self::Record(_)
            | Self::Array(_) => -1,
        }
    }

    /// What is known of a value beside its type: digits of a numeric. -1: nothing.
    pub(super) fn modifier(kind: &DataType) -> i32 {
        let (precision, scale) = match kind {
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => (*precision, *scale),
            _ => return -1,
        };
        match u8::try_from(scale) {
            Ok(scale) => ((i32::from(precision) << 16) | i32::from(scale)) + 4,
            Err(_) => -1,
        }
    }

    /// Its name in messages, and as `information_schema` shows it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Bool => "boolean".to_owned(),
            Self::Int2 => "smallint".to_owned(),
            Self::Int4 => "integer".to_owned(),
            Self::Int8 => "bigint".to_owned(),
            Self::Float4 => "real".to_owned(),
            Self::Float8 => "double precision".to_owned(),
            Self::Numeric => "numeric".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Jsonb => "jsonb".to_owned(),
            Self::Bytea => "bytea".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time => "time without time zone".to_owned(),
            Self::Timestamp => "timestamp without time zone".to_owned(),
            Self::TimestampTz => "timestamp with time zone".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Oid => "oid".to_owned(),
            Self::Record(_) => "record".to_owned(),
            Self::Array(kind) => format!("{}[]", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn no_type_loses_values_and_lists_of_lists_are_one_type() {
        let kind = |of: &DataType| Kind::of_type(of).unwrap();
        assert_eq!(kind(&DataType::UInt32), Kind::Int8);
        assert_eq!(kind(&DataType::UInt64), Kind::Numeric);
        let list = DataType::new_list(DataType::new_list(DataType::Int32, true), true);
        assert_eq!((kind(&list), kind(&list).oid()), (Kind::Array(Box::new(Kind::Int4)), 1007));
        let entries = DataType::Struct(
            vec![Field::new("k", DataType::Utf8, false), Field::new("v", DataType::Int64, true)]
                .into(),
        );
        let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
        assert_eq!(kind(&map).oid(), 2287);
        let words = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        assert_eq!(kind(&words), Kind::Text);
    }

    #[test]
    fn a_numeric_tells_its_digits() {
        assert_eq!(Kind::modifier(&DataType::Decimal128(15, 2)), (15 << 16) + 2 + 4);
        assert_eq!(Kind::modifier(&DataType::Decimal128(15, -2)), -1);
        assert_eq!(Kind::modifier(&DataType::Int64), -1);
    }

    #[test]
    fn a_column_of_identifiers_is_told_by_its_mark() {
        let plain = Field::new("a", DataType::Int32, true);
        let marked = plain.clone().with_metadata([(OID_MARK.to_owned(), "oid".to_owned())].into());
        assert_eq!(Kind::of(&plain).unwrap(), Kind::Int4);
        assert_eq!(Kind::of(&marked).unwrap(), Kind::Oid);
    }
}
