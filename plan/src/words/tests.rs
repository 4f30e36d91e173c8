#![allow(clippy::unwrap_used)]

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;

use super::*;

fn of(error: ArrowError) -> String {
    sentence(&DataFusionError::from(error))
}

#[test]
fn types_and_constants_are_those_of_sql() {
    for (engine, sql) in [
        ("Int64", "BIGINT"),
        ("Utf8View", "VARCHAR"),
        ("Decimal128(15, 2)", "DECIMAL(15, 2)"),
        ("Timestamp(ns)", "TIMESTAMP"),
        ("Timestamp(ns, \"UTC\")", "TIMESTAMP WITH TIME ZONE"),
        ("Dictionary(Int32, Utf8)", "VARCHAR"),
        ("List(Int64)", "LIST(BIGINT)"),
        ("Time64(ns)", "TIME"),
        ("a + Int64(1)", "a + 1"),
        ("a = Utf8(\"x) y\")", "a = 'x) y'"),
        ("a < Date32(\"1995-03-15\")", "a < DATE '1995-03-15'"),
        ("Decimal128(Some(-5),15,2)", "-0.05"),
        ("Int64(NULL)", "NULL"),
        ("MyInt64 and Int64x", "MyInt64 and Int64x"),
    ] {
        assert_eq!(with_sql_types(engine), sql);
    }
    let stamp = DataType::Timestamp(TimeUnit::Nanosecond, None);
    assert_eq!(sql_type(&stamp), "TIMESTAMP");
}

#[test]
fn what_is_not_for_people_is_taken_out() {
    let text =
        "type_coercion\ncaused by\nError during planning: Cannot do Int64.\n\nbacktrace:    0: x";
    assert_eq!(plain(text), "cannot do BIGINT");
    assert_eq!(plain("Unsupported Value 'Number(Some(1))'"), "unsupported Value 'Number");
    assert_eq!(plain("UNION queries differ"), "UNION queries differ");
    let defect = DataFusionError::Internal("no such thing".to_owned());
    assert_eq!(
        sentence(&defect),
        "the engine met a defect: no such thing; please report it with the statement"
    );
}

#[test]
fn a_value_is_named_with_what_to_do() {
    let quoted =
        ArrowError::CastError("Cannot cast string 'x y' to value of Int32 type".to_owned());
    assert_eq!(
        of(quoted),
        "the text 'x y' cannot be converted to INT; correct the value, or use TRY_CAST, which gives NULL for it"
    );
    let value = ArrowError::CastError("Can't cast value 300 to type Int8".to_owned());
    assert!(of(value).starts_with("the value 300 does not fit into TINYINT; "));
    let range = ArrowError::CastError("value of 300.5 is out of range Int8".to_owned());
    assert!(of(range).starts_with("the value 300.5 does not fit into TINYINT; "));
    let over = ArrowError::ArithmeticOverflow("Overflow happened on: 9 + 1".to_owned());
    assert!(of(over).starts_with("a result is too large for its type: 9 + 1; "));
    assert!(of(ArrowError::DivideByZero).starts_with("division by zero; "));
    let time = "Error parsing timestamp from 'soon': error parsing date".to_owned();
    assert!(of(ArrowError::ParseError(time)).starts_with("the text 'soon' is no timestamp; "));
    // Wrapped in many ways, the cause is the same.
    let nested = DataFusionError::from(ArrowError::DivideByZero).context("somewhere");
    let nested = DataFusionError::Shared(std::sync::Arc::new(nested));
    assert!(sentence(&nested).starts_with("division by zero; "));
}

#[test]
fn memory_is_told_with_who_wanted_it() {
    let text = "Additional allocation failed for HashJoinInput with top memory consumers (across reservations) as:\n  HashJoinInput#3(can spill: false) consumed 10.0 MB.\nError: Failed to allocate additional 5.0 MB for HashJoinInput with 10.0 MB already allocated for this reservation";
    assert_eq!(
        sentence(&DataFusionError::ResourcesExhausted(text.to_owned())),
        "the query needs more memory than it may have: HashJoinInput has 10.0 MB, and wanted 5.0 MB more"
    );
    let other = DataFusionError::ResourcesExhausted("no more".to_owned());
    assert_eq!(sentence(&other), "the query needs more memory than it may have: no more");
}

#[test]
fn a_file_is_named_with_its_line() {
    let read = ["t/a.csv".to_owned()];
    let width = "incorrect number of fields for line 3, expected 2 got 1".to_owned();
    let width = DataFusionError::from(ArrowError::CsvError(width));
    assert_eq!(
        sentence_in(&width, &read),
        "line 3 of the CSV file t/a.csv has 1 values, and the table has 2 columns; correct the line, or take the file out of the table"
    );
    let value = "Error while parsing value '4.x' as type 'Float64' for column 1 at line 4. Row data: '[4,4.x]'";
    let value = DataFusionError::from(ArrowError::ParseError(value.to_owned()));
    assert!(
        sentence_in(&value, &[]).starts_with(
            "record 4 after the header of a CSV file has '4.x' in column 2, which is no DOUBLE; "
        ),
        "{}",
        sentence_in(&value, &[])
    );
    let inferred = "Encountered unequal lengths between records on CSV file whilst inferring schema. Expected 2 fields, found 1 fields at record 2";
    let inferred = DataFusionError::Execution(inferred.to_owned());
    assert_eq!(
        sentence_in(&inferred, &read),
        "record 2 after the header of the CSV file t/a.csv has 1 values, and the first has 2; correct it, or take the file out of the table"
    );
    let corrupt = DataFusionError::from(ParquetError::General(
        "Invalid Parquet file. Corrupt footer".to_owned(),
    ));
    assert_eq!(
        sentence_in(&corrupt, &read),
        "the Parquet file t/a.csv cannot be read: it does not begin and end as such a file does; write it again, or take it out of the table"
    );
    let many: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    assert_eq!(file_of("CSV", &many[..2]), "one of the CSV files a, b");
    assert_eq!(file_of("CSV", &many), "one of the CSV files a, b, c and 2 others");
}

#[test]
fn a_store_is_quoted_in_short_with_what_it_means() {
    let answer = "Server returned non-2xx status code: 404 Not Found: <?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message><Resource>/b</Resource></Error>";
    let error = datafusion::object_store::Error::Generic { store: "S3", source: answer.into() };
    assert_eq!(
        of_store(&error),
        "the bucket does not exist: make it, or mend the location (S3 error: Server returned non-2xx status code: 404 Not Found: NoSuchBucket: The specified bucket does not exist)"
    );
    assert_eq!(explained(&error), of_store(&error));
    let unknown = datafusion::object_store::Error::Generic { store: "S3", source: "odd".into() };
    assert_eq!(explained(&unknown), "S3 error: odd");
    let gone =
        datafusion::object_store::Error::NotFound { path: "t/a".to_owned(), source: "x".into() };
    assert_eq!(of_store(&gone), "t/a is not there: it was deleted, or the location is wrong");
    let full =
        DataFusionError::IoError(std::io::Error::other("No space left on device (os error 28)"));
    assert!(sentence(&full).starts_with("the local disk for spills is full: "));
    let source = Box::new(std::io::Error::from_raw_os_error(28));
    let full = datafusion::object_store::Error::Generic { store: "LocalFileSystem", source };
    assert!(of_store(&full).starts_with("the volume is full: free room ("));
}

#[test]
fn numbers_have_the_figures_that_count() {
    assert_eq!(
        [999, 1_000, 61_400, 999_600].map(bytes),
        ["999 B", "1.00 kB", "61.4 kB", "1.00 MB"]
    );
    assert_eq!(grouped(1_000_000), "1,000,000");
    assert_eq!(grouped(100), "100");
}
