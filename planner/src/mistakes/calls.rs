//! Functions that are called with wrong arguments.

use dunlin_plan::words::{between, with_sql_types};

use super::{Found, Mistake, Scene, place};

/// The most ways to call a function that are listed.
const LISTED: usize = 4;

/// `… No function matches the given name and argument types 'round(Utf8)'. … Candidate functions: …`; nothing if the
/// text tells of something else.
pub(super) fn told(text: &str, scene: &Scene<'_>) -> Option<Found> {
    let call = between(text, "No function matches the given name and argument types '", "'.");
    let (name, given) = match call.and_then(|call| call.strip_suffix(')')?.split_once('(')) {
        Some((name, given)) => (name, Some(with_sql_types(given))),
        None => (named(text)?, None),
    };
    let wrong = match given.as_deref() {
        Some("") => "needs arguments".to_owned(),
        Some(given) => format!("does not take ({given})"),
        None => "does not take these arguments".to_owned(),
    };
    let message = format!("{name} {wrong}; {}", usage(name, text, scene));
    Some(Found::new(Mistake::Arguments, message).at(place::of_call(scene.sql, name)))
}

/// The function that a text is about where the engine lists no candidates.
fn named(text: &str) -> Option<&str> {
    let of = |before: &str| between(text, before, "'");
    if !text.contains("argument") && !text.contains("coerce") && !text.contains("expects") {
        return None;
    }
    of("The function '")
        .or_else(|| of("Function '"))
        .or_else(|| of("function '"))
        .or_else(|| of("a call to '"))
}

/// How the function is called.
fn usage(name: &str, text: &str, scene: &Scene<'_>) -> String {
    if let Some(example) = scene.state.and_then(|state| {
        let scalar =
            state.scalar_functions().get(name).and_then(|function| function.documentation());
        let aggregate = || state.aggregate_functions().get(name)?.documentation();
        let window = || state.window_functions().get(name)?.documentation();
        let of = scalar.or_else(aggregate).or_else(window)?;
        Some(of.syntax_example.split_whitespace().collect::<Vec<_>>().join(" "))
    }) && example.contains('(')
    {
        return format!("it is called as {example}");
    }
    let candidates: Vec<String> = text
        .split("Candidate functions:")
        .nth(1)
        .into_iter()
        .flat_map(str::lines)
        .map(str::trim)
        .filter(|line| line.starts_with(name) && !line.contains("UserDefined"))
        .map(with_sql_types)
        .take(LISTED)
        .collect();
    match candidates.is_empty() {
        true => "convert the arguments with CAST(… AS …), or see the SQL reference".to_owned(),
        false => format!("it is called as {}", candidates.join(" or ")),
    }
}
