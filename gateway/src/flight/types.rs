//! The types of SQL, as CommandGetXdbcTypeInfo tells them to JDBC and ODBC clients.

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

/// A number: name, type, digits, their base, whether it has no sign.
type Number = (&'static str, XdbcDataType, i32, i32, bool);

const NUMBERS: [Number; 11] = [
    ("TINYINT", XdbcDataType::XdbcTinyint, 8, 2, false),
    ("SMALLINT", XdbcDataType::XdbcSmallint, 16, 2, false),
    ("INTEGER", XdbcDataType::XdbcInteger, 32, 2, false),
    ("BIGINT", XdbcDataType::XdbcBigint, 64, 2, false),
    ("TINYINT UNSIGNED", XdbcDataType::XdbcTinyint, 8, 2, true),
    ("SMALLINT UNSIGNED", XdbcDataType::XdbcSmallint, 16, 2, true),
    ("INTEGER UNSIGNED", XdbcDataType::XdbcInteger, 32, 2, true),
    ("BIGINT UNSIGNED", XdbcDataType::XdbcBigint, 64, 2, true),
    ("REAL", XdbcDataType::XdbcReal, 24, 2, false),
    ("DOUBLE", XdbcDataType::XdbcDouble, 53, 2, false),
    ("DECIMAL", XdbcDataType::XdbcDecimal, 76, 10, false),
];

/// What is true of every type.
fn of(name: &str, kind: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type: kind,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: kind,
        ..XdbcTypeInfo::default()
    }
}

fn number((name, kind, digits, base, is_unsigned): Number) -> XdbcTypeInfo {
    let is_decimal = kind == XdbcDataType::XdbcDecimal;
    XdbcTypeInfo {
        column_size: Some(digits),
        create_params: is_decimal.then(|| vec!["precision".to_owned(), "scale".to_owned()]),
        unsigned_attribute: Some(is_unsigned),
        auto_increment: Some(false),
        minimum_scale: is_decimal.then_some(0),
        maximum_scale: is_decimal.then_some(76),
        num_prec_radix: Some(base),
        ..of(name, kind)
    }
}

fn quoted(name: &str, kind: XdbcDataType, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(format!("{prefix}'")),
        literal_suffix: Some("'".to_owned()),
        case_sensitive: true,
        ..of(name, kind)
    }
}

fn moment(
    name: &str,
    kind: XdbcDataType,
    (subcode, digits): (XdbcDatetimeSubcode, i32),
) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(digits),
        case_sensitive: false,
        // ODBC has one type for all of them, and tells them apart by their code.
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..quoted(name, kind, &format!("{name} "))
    }
}

/// All types.
pub(super) fn types() -> Result<XdbcTypeInfoData, FlightError> {
    use XdbcDatetimeSubcode as Subcode;
    let mut types = XdbcTypeInfoDataBuilder::new();
    types.append(XdbcTypeInfo { column_size: Some(1), ..of("BOOLEAN", XdbcDataType::XdbcBit) });
    for kind in NUMBERS {
        types.append(number(kind));
    }
    types.append(quoted("VARCHAR", XdbcDataType::XdbcVarchar, ""));
    types.append(quoted("BINARY", XdbcDataType::XdbcVarbinary, "X"));
    let date = (Subcode::XdbcSubcodeYear, 10);
    types.append(moment("DATE", XdbcDataType::XdbcDate, date));
    types.append(moment("TIME", XdbcDataType::XdbcTime, (Subcode::XdbcSubcodeTime, 18)));
    let timestamp = (Subcode::XdbcSubcodeTimestamp, 29);
    types.append(moment("TIMESTAMP", XdbcDataType::XdbcTimestamp, timestamp));
    types.append(quoted("INTERVAL", XdbcDataType::XdbcInterval, "INTERVAL "));
    types.build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_type_or_all_are_told() {
        let types = types().unwrap();
        assert_eq!(types.record_batch(None).unwrap().num_rows(), 18);
        let decimal = XdbcDataType::XdbcDecimal as i32;
        assert_eq!(types.record_batch(decimal).unwrap().num_rows(), 1);
    }
}
