//! Each format against what it must be, byte by byte.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, Int64Builder, ListBuilder, NullArray, RecordBatch, StringArray,
};
use arrow::datatypes::Int32Type;

use super::*;

/// What is printed of `batches` to a file that is no terminal.
fn printed(format: Format, expanded: Expanded, batches: &[RecordBatch]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer");
    let out = Out::file(&path).unwrap();
    let mut printer = Printer { out, asked: Some(format), screen: Screen::default(), expanded };
    let mut showing = printer.begin(&batches[0].schema()).unwrap();
    for batch in batches {
        showing.batch(batch).unwrap();
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(showing.end().unwrap(), rows as u64);
    assert!(!path.exists(), "it appears when it is complete");
    printer.out.close().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    std::fs::read(path).unwrap()
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(printed(format, Expanded::Auto, batches)).unwrap()
}

/// Columns in no alphabetical order, with what formats must not confuse.
fn mixed() -> RecordBatch {
    let mut list = ListBuilder::new(Int64Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    list.append_value([]);
    RecordBatch::try_from_iter_with_nullable(vec![
        ("z", Arc::new(Int64Array::from(vec![Some(1), None, Some(-20)])) as ArrayRef, true),
        ("name", Arc::new(StringArray::from(vec![Some("a, \"b\""), Some(""), None])) as _, true),
        ("日", Arc::new(StringArray::from(vec!["語", "x\ty\\", "1\n2|3"])) as _, true),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![Some(150), None, Some(7)])
                    .with_precision_and_scale(5, 2)
                    .unwrap(),
            ) as _,
            true,
        ),
        ("list", Arc::new(list.finish()) as _, true),
    ])
    .unwrap()
}

fn numbers(values: &[i64]) -> RecordBatch {
    let column = Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

#[test]
fn a_table_aligns_numbers_shows_nulls_and_knows_wide_letters() {
    assert_eq!(
        text(Format::Table, &[mixed()]),
        concat!(
            "    z │ name   │ 日     │ price │ list\n",
            "──────┼────────┼────────┼───────┼──────────\n",
            "    1 │ a, \"b\" │ 語     │  1.50 │ [1,null]\n",
            " NULL │        │ x\\ty\\  │  NULL │ NULL\n",
            "  -20 │ NULL   │ 1\\n2|3 │  0.07 │ []\n",
        )
    );
}

#[test]
fn an_answer_without_rows_has_its_columns() {
    let none = numbers(&[]);
    assert_eq!(text(Format::Table, std::slice::from_ref(&none)), " n\n───\n");
    assert_eq!(text(Format::Csv, std::slice::from_ref(&none)), "n\n");
    assert_eq!(text(Format::Tsv, std::slice::from_ref(&none)), "n\n");
    assert_eq!(text(Format::Json, std::slice::from_ref(&none)), "[\n]\n");
    assert_eq!(text(Format::Jsonl, std::slice::from_ref(&none)), "");
    assert_eq!(text(Format::Markdown, std::slice::from_ref(&none)), "| n |\n| ---: |\n");
}

#[test]
fn a_wider_part_of_a_table_has_its_own_head() {
    let first: Vec<i64> = (0..1_000).collect();
    let all = text(Format::Table, &[numbers(&first), numbers(&[7]), numbers(&[1_000_000])]);
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(&lines[..3], ["   n", "─────", "   0"]);
    assert_eq!(&lines[1_002..], ["", "       n", "─────────", "       7", " 1000000"]);
}

#[test]
fn records_have_a_value_in_each_line() {
    let all = printed(Format::Table, Expanded::On, &[mixed().slice(0, 2)]);
    assert_eq!(
        String::from_utf8(all).unwrap(),
        concat!(
            "─[ row 1 ]──────────────────────────────\n",
            " z     │ 1\n name  │ a, \"b\"\n 日    │ 語\n price │ 1.50\n list  │ [1,null]\n",
            "─[ row 2 ]──────────────────────────────\n",
            " z     │ NULL\n name  │ \n 日    │ x\\ty\\\n price │ NULL\n list  │ NULL\n",
        )
    );
}

#[test]
fn csv_tells_a_null_from_an_empty_text() {
    assert_eq!(
        text(Format::Csv, &[mixed()]),
        concat!(
            "z,name,日,price,list\n",
            "1,\"a, \"\"b\"\"\",語,1.50,\"[1,null]\"\n",
            ",\"\",x\ty\\,,\n",
            "-20,,\"1\n2|3\",0.07,[]\n",
        )
    );
    let one = StringArray::from(vec![None, Some("")]);
    let one = RecordBatch::try_from_iter_with_nullable([("s", Arc::new(one) as ArrayRef, true)]);
    assert_eq!(text(Format::Csv, &[one.unwrap()]), "s\n\"\"\n\"\"\n");
}

#[test]
fn tsv_has_one_line_a_row_whatever_is_in_it() {
    assert_eq!(
        text(Format::Tsv, &[mixed()]),
        concat!(
            "z\tname\t日\tprice\tlist\n",
            "1\ta, \"b\"\t語\t1.50\t[1,null]\n",
            "\\N\t\tx\\ty\\\\\t\\N\t\\N\n",
            "-20\t\\N\t1\\n2|3\t0.07\t[]\n",
        )
    );
}

#[test]
fn json_keeps_the_order_of_the_columns() {
    let lines = [
        r#"{"z":1,"name":"a, \"b\"","日":"語","price":1.50,"list":[1,null]}"#,
        r#"{"z":null,"name":"","日":"x\ty\\","price":null,"list":null}"#,
        r#"{"z":-20,"name":null,"日":"1\n2|3","price":0.07,"list":[]}"#,
    ];
    assert_eq!(text(Format::Jsonl, &[mixed()]), format!("{}\n", lines.join("\n")));
    let halves = [mixed().slice(0, 1), mixed().slice(1, 0), mixed().slice(1, 2)];
    assert_eq!(text(Format::Json, &halves), format!("[\n{}\n]\n", lines.join(",\n")));
}

#[test]
fn markdown_escapes_what_would_end_a_cell() {
    assert_eq!(
        text(Format::Markdown, &[mixed()]),
        concat!(
            "| z | name | 日 | price | list |\n",
            "| ---: | --- | --- | ---: | --- |\n",
            "| 1 | a, \"b\" | 語 | 1.50 | [1,null] |\n",
            "| NULL |  | x\ty\\\\ | NULL | NULL |\n",
            "| -20 | NULL | 1<br>2\\|3 | 0.07 | [] |\n",
        )
    );
}

#[test]
fn arrow_and_parquet_give_back_what_they_were_given() {
    let batches = [mixed(), mixed().slice(1, 2)];
    let bytes = printed(Format::Arrow, Expanded::Auto, &batches);
    let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), batches);

    let bytes = bytes::Bytes::from(printed(Format::Parquet, Expanded::Auto, &batches));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 100);
    let read: Vec<RecordBatch> = reader.unwrap().map(Result::unwrap).collect();
    let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(
        arrow::compute::concat_batches(&read[0].schema(), &read).unwrap().columns(),
        all.columns()
    );
}

#[test]
fn every_kind_of_null_and_value_has_a_text() {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None].into_iter().collect();
    let batch = RecordBatch::try_from_iter_with_nullable(vec![
        ("none", Arc::new(NullArray::new(2)) as ArrayRef, true),
        ("kind", Arc::new(dictionary) as _, true),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None])) as _, true),
        ("day", Arc::new(Date32Array::from(vec![Some(0), None])) as _, true),
        ("x", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1e300)])) as _, true),
    ])
    .unwrap();
    assert_eq!(
        text(Format::Tsv, &[batch]),
        "none\tkind\tyes\tday\tx\n\\N\ta\ttrue\t1970-01-01\tNaN\n\\N\t\\N\t\\N\t\\N\t1e300\n"
    );
}

#[test]
fn a_terminal_is_not_told_what_to_do_by_values() {
    let evil = StringArray::from(vec!["\u{1b}[2Jx\u{202e}y\u{7}\r"]);
    let batch = RecordBatch::try_from_iter([("s", Arc::new(evil) as ArrayRef)]).unwrap();
    let all = text(Format::Table, &[batch]);
    assert_eq!(all.lines().last(), Some(" \\u{1b}[2Jx\\u{202e}y\\u{7}\\r"));
}

#[test]
fn plans_are_text_for_people_and_rows_for_programs() {
    let batch = RecordBatch::try_from_iter([
        (
            "plan_type",
            Arc::new(StringArray::from(vec!["analyzed_plan", "route", "json"])) as ArrayRef,
        ),
        (
            "plan",
            Arc::new(StringArray::from(vec!["stage 0: x\n    A\n", "inline: x", "{\n}"])) as _,
        ),
    ])
    .unwrap();
    let batches = [batch];
    assert_eq!(
        text(Format::Table, &batches),
        "analyzed_plan:\nstage 0: x\n    A\n\nroute: inline: x\n{\n}\n"
    );
    assert!(text(Format::Jsonl, &batches).starts_with(r#"{"plan_type":"analyzed_plan","#));
}

#[test]
fn an_answer_that_is_not_complete_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.csv");
    std::fs::write(&path, "before").unwrap();
    let out = Out::file(&path).unwrap();
    let screen = Screen::default();
    let mut printer = Printer { out, asked: None, screen, expanded: Expanded::Auto };
    printer.begin(&numbers(&[]).schema()).unwrap().batch(&numbers(&[1])).unwrap();
    drop(printer);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
