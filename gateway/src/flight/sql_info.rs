//! What the server is and what its SQL knows, as CommandGetSqlInfo tells it.

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions,
    SupportedSqlGrammar,
};

/// The version of Arrow that rows are written with.
const ARROW_VERSION: &str = "59";
/// There is no limit but that of the statement's text.
const NO_LIMIT: i64 = 0;

/// Bits by their numbers.
fn bits(numbers: impl IntoIterator<Item = i32>) -> i32 {
    numbers.into_iter().fold(0, |bits, number| bits | (1 << number))
}

/// All that is told.
pub(super) fn infos() -> Result<SqlInfoData, FlightError> {
    let mut infos = SqlInfoDataBuilder::new();
    server(&mut infos);
    names(&mut infos);
    grammar(&mut infos);
    limits(&mut infos);
    infos.build()
}

/// What the server is, and what of the protocol it has.
fn server(infos: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    infos.append(I::FlightSqlServerName, "Dunlin");
    infos.append(I::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(I::FlightSqlServerArrowVersion, ARROW_VERSION);
    infos.append(I::FlightSqlServerReadOnly, false);
    infos.append(I::FlightSqlServerSql, true);
    infos.append(I::FlightSqlServerSubstrait, false);
    infos.append(I::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(I::FlightSqlServerCancel, true);
    infos.append(I::FlightSqlServerBulkIngestion, false);
    infos.append(I::FlightSqlServerIngestTransactionsSupported, false);
    infos.append(I::FlightSqlServerStatementTimeout, 0i32);
    infos.append(I::FlightSqlServerTransactionTimeout, 0i32);
}

/// Names, words and functions.
fn names(infos: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    for no in [I::SqlDdlCatalog, I::SqlDdlSchema] {
        infos.append(no, false);
    }
    infos.append(I::SqlDdlTable, true);
    infos.append(
        I::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32,
    );
    infos.append(I::SqlIdentifierQuoteChar, "\"");
    // Quoted names are taken as they are written, for which there is no word here.
    infos.append(
        I::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32,
    );
    infos.append(I::SqlAllTablesAreSelectable, true);
    infos.append(I::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    infos.append(I::SqlKeywords, &["ILIKE", "QUALIFY", "UNNEST"][..]);
    infos.append(
        I::SqlNumericFunctions,
        &["abs", "ceil", "floor", "ln", "log", "power", "round"][..],
    );
    infos.append(
        I::SqlStringFunctions,
        &["concat", "lower", "replace", "substr", "trim", "upper"][..],
    );
    infos.append(I::SqlSystemFunctions, &["coalesce", "nullif", "version"][..]);
    infos.append(
        I::SqlDatetimeFunctions,
        &["current_date", "date_bin", "date_part", "date_trunc", "now"][..],
    );
}

/// What statements may say.
fn grammar(infos: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    infos.append(I::SqlSearchStringEscape, "\\");
    infos.append(I::SqlExtraNameCharacters, "");
    for yes in [
        I::SqlSupportsColumnAliasing,
        I::SqlNullPlusNullIsNull,
        I::SqlSupportsTableCorrelationNames,
        I::SqlSupportsExpressionsInOrderBy,
        I::SqlSupportsOrderByUnrelated,
        I::SqlSupportsLikeEscapeClause,
        I::SqlSupportsNonNullableColumns,
        I::SqlCorrelatedSubqueriesSupported,
        I::SqlCatalogAtStart,
    ] {
        infos.append(yes, true);
    }
    for no in [
        I::SqlSupportsDifferentTableCorrelationNames,
        I::SqlSupportsIntegrityEnhancementFacility,
        I::SqlSelectForUpdateSupported,
        I::SqlStoredProceduresSupported,
    ] {
        infos.append(no, false);
    }
    infos.append(
        I::SqlSupportedGroupBy,
        bits([
            SqlSupportedGroupBy::SqlGroupByUnrelated as i32,
            SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32,
        ]),
    );
    infos.append(
        I::SqlSupportedGrammar,
        bits([
            SupportedSqlGrammar::SqlMinimumGrammar as i32,
            SupportedSqlGrammar::SqlCoreGrammar as i32,
        ]),
    );
    infos.append(
        I::SqlOuterJoinsSupportLevel,
        bits([SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32]),
    );
    infos.append(I::SqlSchemaTerm, "schema");
    infos.append(I::SqlCatalogTerm, "catalog");
    infos.append(I::SqlProcedureTerm, "procedure");
    infos.append(
        I::SqlSupportedSubqueries,
        bits([
            SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
            SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
            SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
            SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
        ]),
    );
    infos.append(
        I::SqlSupportedUnions,
        bits([SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32]),
    );
}

/// What has no limit, and what has one.
fn limits(infos: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    for most in [
        I::SqlMaxBinaryLiteralLength,
        I::SqlMaxCharLiteralLength,
        I::SqlMaxColumnNameLength,
        I::SqlMaxColumnsInGroupBy,
        I::SqlMaxColumnsInOrderBy,
        I::SqlMaxColumnsInSelect,
        I::SqlMaxColumnsInTable,
        I::SqlMaxConnections,
        I::SqlDbSchemaNameLength,
        I::SqlMaxCatalogNameLength,
        I::SqlMaxRowSize,
        I::SqlMaxTableNameLength,
        I::SqlMaxTablesInSelect,
        I::SqlMaxStatements,
    ] {
        infos.append(most, NO_LIMIT);
    }
    let longest = i64::try_from(crate::options::MAX_SQL_BYTES).unwrap_or(i64::MAX);
    infos.append(I::SqlMaxStatementLength, longest);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_what_the_server_is_and_what_it_does_not_do() {
        let infos = infos().unwrap();
        let all = infos.record_batch([]).unwrap();
        assert!(all.num_rows() > 60);
        let wanted =
            [SqlInfo::FlightSqlServerName as u32, SqlInfo::FlightSqlServerTransaction as u32];
        assert_eq!(infos.record_batch(wanted).unwrap().num_rows(), 2);
    }
}
