//! What the engine writes about a wrong statement where it has no type for the mistake.

use datafusion::error::DataFusionError;
use dunlin_plan::words::{between, plain, with_sql_types};

use super::{Found, Mistake, Scene, calls, names};

/// A text of the engine's planner.
pub(super) fn plan(text: &str, error: &DataFusionError, scene: &Scene<'_>) -> Found {
    of_names(text, scene)
        .or_else(|| groups(text))
        .or_else(|| types(text))
        .or_else(|| calls::told(text, scene))
        .or_else(|| width(text, error))
        .or_else(|| fixed(text))
        .unwrap_or_else(|| Found::new(Mistake::Other, plain(text)))
}

fn of_names(text: &str, scene: &Scene<'_>) -> Option<Found> {
    let quoted = |before: &str, after: &str| {
        text.starts_with(before).then(|| between(text, before, after))?
    };
    if let Some(name) = quoted("table '", "' not found") {
        return Some(names::table(name, scene));
    }
    if let Some(name) = text.strip_prefix("Table not found: ") {
        return Some(names::table(name, scene));
    }
    if let Some(name) = quoted("table function '", "' not found")
        .or_else(|| quoted("Table function '", "' not found"))
    {
        return Some(names::table_function(name, scene));
    }
    if let Some(name) = text.strip_prefix("failed to resolve schema: ") {
        return Some(names::schema_of_table("schema", name, scene));
    }
    if let Some(name) = text.strip_prefix("failed to resolve catalog: ") {
        return Some(names::schema_of_table("catalog", name, scene));
    }
    Some(names::function(quoted("Invalid function '", "'")?, scene))
}

/// Columns that are neither grouped nor aggregated, and aggregates where none may stand.
fn groups(text: &str) -> Option<Found> {
    let found = |message: String| Some(Found::new(Mistake::Groups, message));
    if let Some(column) = between(text, "column \"", "\" must appear in the GROUP BY clause") {
        let column = with_sql_types(column);
        let clause = between(text, "Column in ", " must be").unwrap_or("SELECT");
        let short = column.rsplit('.').next().unwrap_or(&column).to_owned();
        let known = between(text, "currently only \"", "\" appears").map(with_sql_types);
        let known = known.filter(|known| !known.is_empty());
        let known = known.map_or_else(String::new, |known| format!(" (there are {known})"));
        return found(format!(
            "'{column}' in {clause} is neither in GROUP BY nor in an aggregate function{known}; add it to GROUP BY, or write min({short})"
        ));
    }
    if let Some(column) =
        between(text, "HAVING clause references: ", " must appear in the GROUP BY")
    {
        return found(format!(
            "'{}' in HAVING is neither in GROUP BY nor in an aggregate function; use WHERE for conditions on single rows",
            with_sql_types(column)
        ));
    }
    if text.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        return found(
            "WHERE is computed before groups are made, so it cannot hold an aggregate function; use HAVING".to_owned(),
        );
    }
    if text.contains("calls cannot be nested")
        || text.contains("cannot contain window function calls")
    {
        return found(format!("{}; compute the inner one in a subquery", plain(text)));
    }
    None
}

/// Types that do not fit.
fn types(text: &str) -> Option<Found> {
    const DO: &str = "convert one side, for example with CAST(… AS …)";
    let found = |message: String| Some(Found::new(Mistake::Types, message));
    let told = with_sql_types(text);
    const OPERATIONS: &[(&str, &str)] = &[
        (
            "Cannot infer common argument type for comparison operation ",
            "these types cannot be compared",
        ),
        (
            "Cannot infer common argument type for logical boolean operation ",
            "AND and OR need conditions",
        ),
        (
            "Cannot infer common argument type for regex operation ",
            "a pattern is matched with texts only",
        ),
        (
            "Cannot infer common type for bitwise operation ",
            "bits are combined of whole numbers only",
        ),
        (
            "Cannot infer common string type for string concat operation ",
            "these types cannot be concatenated",
        ),
        ("Cannot infer common argument type for operation ", "this operation needs other types"),
        ("Cannot coerce arithmetic expression ", "these types cannot be computed with each other"),
        (
            "Cannot get result type for arithmetic operation ",
            "these types cannot be computed with each other",
        ),
        (
            "Cannot get result type for temporal operation ",
            "these types cannot be computed with each other",
        ),
        (
            "Cannot get result type for decimal operation ",
            "these types cannot be computed with each other",
        ),
    ];
    for (before, what) in OPERATIONS {
        if let Some(operation) = told.strip_prefix(before) {
            let operation = operation.split(" to valid types").next().unwrap_or(operation);
            let operation = operation.split(": ").next().unwrap_or(operation);
            return found(format!("{what}: {operation}; {DO}"));
        }
    }
    if let Some(predicate) = between(&told, "non-boolean predicate '", "' returning ") {
        let of = told.rsplit("' returning ").next().unwrap_or_default();
        return found(format!(
            "WHERE, HAVING and ON need a condition, and '{predicate}' is {of}; compare it with a value"
        ));
    }
    let is_of_types = [
        "coerce",
        "cannot automatically convert",
        "can't cast",
        "requires a boolean",
        "only supports",
        "boolean type",
        "to be an integer",
        "compatible types",
        "different type",
        "Unary operator",
    ];
    let small = told.to_lowercase();
    // What functions take is told with how they are called.
    let of_function = small.contains("function");
    if !of_function && is_of_types.iter().any(|word| small.contains(&word.to_lowercase())) {
        return found(format!("{}; convert it with CAST(… AS …)", plain(text)));
    }
    None
}

/// Lists that have different numbers of columns.
fn width(text: &str, error: &DataFusionError) -> Option<Found> {
    let found = |message: String| Some(Found::new(Mistake::Width, message));
    if text.contains("queries have different number of columns") {
        let operation = text.split_whitespace().next().unwrap_or("UNION");
        let notes = error.diagnostic().map_or(&[][..], |marked| &marked.notes);
        let sides: Vec<&str> = notes
            .iter()
            .filter_map(|note| between(&note.message, "this side has ", " fields"))
            .collect();
        return found(match sides[..] {
            [left, right] => format!(
                "the queries on both sides of {operation} must have as many columns, and they have {left} and {right}"
            ),
            _ => format!("the queries on both sides of {operation} must have as many columns"),
        });
    }
    if text.contains("query must have the same number of columns") {
        return found(plain(text));
    }
    if text.starts_with("Inconsistent data length across values list") {
        let numbers: Vec<&str> =
            text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()).collect();
        return found(match numbers[..] {
            [got, row, expected] => {
                let row = row.parse::<u64>().map_or(0, |row| row + 1);
                format!("row {row} of VALUES has {got} values, and the first row has {expected}")
            }
            _ => plain(text),
        });
    }
    if text.contains("should only return one column") {
        let columns = text.rsplit(": ").next().map(with_sql_types).unwrap_or_default();
        return found(format!(
            "a subquery that is used as a value must have one column, and it has {columns}"
        ));
    }
    if let Some(numbers) = text.strip_prefix("Order by column out of bounds, specified: ") {
        let (got, most) = numbers.split_once(", max: ").unwrap_or((numbers, "?"));
        return found(format!("ORDER BY {got} names no column of the result, which has {most}"));
    }
    if let Some(numbers) = text.strip_prefix("Cannot find column with position ") {
        let got = numbers.split_whitespace().next().unwrap_or_default();
        let most = numbers.rsplit(" to ").next().unwrap_or_default();
        return found(format!("GROUP BY {got} names no column of the result, which has {most}"));
    }
    None
}

/// Sentences of the engine that have others here.
fn fixed(text: &str) -> Option<Found> {
    const SENTENCES: &[(&str, &str)] = &[
        (
            "SELECT * with no tables specified",
            "SELECT * needs a FROM: name the table that it reads",
        ),
        ("Order by index starts at 1", "ORDER BY counts columns from 1"),
        (
            "Correlated scalar subquery must be aggregated",
            "a subquery that is used as a value and depends on the row around it must be an aggregate, such as max(…), so that it has one row",
        ),
        ("Nested EXPLAINs are not supported", "EXPLAIN cannot explain EXPLAIN"),
        (
            "Recursive query",
            "a recursive query needs a first part that does not name itself, UNION [ALL], and a second part that does",
        ),
        ("No SQL statements were provided", "there is no statement in the text"),
    ];
    if let Some((_, sentence)) = SENTENCES.iter().find(|(begin, _)| text.starts_with(begin)) {
        return Some(Found::new(Mistake::Other, (*sentence).to_owned()));
    }
    if let Some(name) = between(text, "WITH query name \"", "\" specified more than once") {
        return Some(Found::new(
            Mistake::Ambiguous,
            format!("WITH defines '{name}' twice; give one of them another name"),
        ));
    }
    if text.contains("require unique expression names") {
        let name = between(text, "expression \"", "\"").map(with_sql_types).unwrap_or_default();
        let name = name.rsplit(" AS ").next().unwrap_or_default();
        return Some(Found::new(
            Mistake::Ambiguous,
            format!(
                "two columns of a result have the name '{name}'; give one of them another name with AS"
            ),
        ));
    }
    let of_parameter = text.contains("laceholder") || text.contains("No value found for");
    of_parameter.then(|| {
        Found::new(
            Mistake::Value,
            format!(
                "{}; parameters are $1, $2, … and the request must have a value for each",
                plain(text)
            ),
        )
    })
}

/// What the engine does not do: its name, and what is known of the reason.
pub(super) fn not_implemented(reason: &str) -> (String, String) {
    if reason.contains("single SQL statement") {
        return ("more than one statement".to_owned(), "send one at a time".to_owned());
    }
    let told = plain(reason);
    let told = told.strip_prefix("unsupported ").unwrap_or(&told);
    let told = [
        " is not supported yet",
        " not supported yet",
        " is not supported",
        " not implemented yet",
        " not implemented",
        " yet",
    ]
    .iter()
    .find_map(|end| told.strip_suffix(end))
    .unwrap_or(told);
    let reason = match told {
        _ if told.starts_with("ast node") => {
            "it has an expression that Dunlin does not know".to_owned()
        }
        told => told.to_owned(),
    };
    ("this statement".to_owned(), reason)
}
