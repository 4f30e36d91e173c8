//! Names of tables, columns and functions that are not there, or that are there more than once.

use datafusion::common::{Column, SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::scene::{did_you_mean, nearest, one_of};
use super::{Found, Mistake, Scene, place, span_of};
use crate::snapshots::SYSTEM_SCHEMA;

/// The most columns or tables that are listed.
const LISTED: usize = 16;
/// Names that the engine puts before a table's when nothing else is said.
const DEFAULT_SCHEMA: &str = "datafusion.public.";
const DEFAULT_CATALOG: &str = "datafusion.";

/// A table that does not exist.
pub(super) fn table(full: &str, scene: &Scene<'_>) -> Found {
    let name = full.strip_prefix(DEFAULT_SCHEMA).unwrap_or(full);
    let name = name.strip_prefix(DEFAULT_CATALOG).unwrap_or(name);
    let last = scene
        .named
        .iter()
        .find(|named| named.to_string() == name)
        .map_or_else(|| name.rsplit('.').next().unwrap_or(name), TableReference::table);
    let known = || scene.tables.iter().map(String::as_str);
    let mut message = format!("there is no table '{name}'");
    if let Some(hint) = of_system(name, last, scene) {
        message = format!("{message}; {hint}");
    } else if let Some(hint) = did_you_mean(&nearest(last, known())) {
        message = format!("{message}; {hint}");
    } else if scene.tables.is_empty() {
        message.push_str("; the configuration has no tables ([[tables]])");
    } else if scene.tables.len() <= LISTED {
        message = format!("{message}; there are {}", scene.tables.join(", "));
    } else {
        message = format!("{message}; SHOW TABLES lists the {} that there are", scene.tables.len());
    }
    Found::new(Mistake::Table, message).at(place::of_name(scene.sql, last))
}

/// What was meant by the name of a table that is in the schema of the system, or that has the name of one there.
fn of_system(name: &str, last: &str, scene: &Scene<'_>) -> Option<String> {
    let known = || scene.snapshots.iter().map(|table| table.name);
    let is_named = name.starts_with(&format!("{SYSTEM_SCHEMA}."));
    let near = if is_named {
        nearest(last, known())
    } else {
        known().filter(|known| *known == last && !name.contains('.')).collect()
    };
    let full: Vec<String> = near.iter().map(|table| format!("{SYSTEM_SCHEMA}.{table}")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    let all = || {
        let all: Vec<&str> = known().collect();
        (is_named && !all.is_empty()).then(|| format!("{SYSTEM_SCHEMA} has {}", all.join(", ")))
    };
    did_you_mean(&full).or_else(all)
}

/// A catalog or schema that does not exist.
pub(super) fn schema_of_table(kind: &str, name: &str, scene: &Scene<'_>) -> Found {
    let message = format!(
        "there is no {kind} '{name}'; tables of the configuration are named without one, or as public.TABLE"
    );
    Found::new(Mistake::Table, message).at(place::of_name(scene.sql, name))
}

/// A function that does not exist.
pub(super) fn function(name: &str, scene: &Scene<'_>) -> Found {
    let mut message = format!("there is no function '{name}'");
    match did_you_mean(&nearest(name, scene.functions())) {
        Some(hint) => message = format!("{message}; {hint}"),
        None => message.push_str("; SHOW FUNCTIONS lists those that there are"),
    }
    Found::new(Mistake::Function, message).at(place::of_call(scene.sql, name))
}

/// A function of FROM that does not exist.
pub(super) fn table_function(name: &str, scene: &Scene<'_>) -> Found {
    let mut known: Vec<&str> = scene
        .state
        .into_iter()
        .flat_map(|state| state.table_functions().keys())
        .map(String::as_str)
        .collect();
    known.sort_unstable();
    let hint = did_you_mean(&nearest(name, known.iter().copied()))
        .unwrap_or_else(|| format!("there are {}", known.join(", ")));
    let message = format!("there is no table function '{name}'; {hint}");
    Found::new(Mistake::Function, message).at(place::of_call(scene.sql, name))
}

/// A mistake about columns.
pub(super) fn schema(cause: &SchemaError, error: &DataFusionError, scene: &Scene<'_>) -> Found {
    match cause {
        SchemaError::FieldNotFound { field, valid_fields } => {
            column(field, valid_fields, error, scene)
        }
        SchemaError::AmbiguousReference { field } => ambiguous(field, error, scene),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!(
                "two columns of one result have the name '{name}'; give one of them another name with AS"
            );
            Found::new(Mistake::Ambiguous, message).at(place::of_name(scene.sql, name))
        }
    }
}

fn column(field: &Column, valid: &[Column], error: &DataFusionError, scene: &Scene<'_>) -> Found {
    let name = field.name();
    let marked = field.spans().first().map(|span| (span.start.line, span.start.column));
    let position = span_of(error).or(marked).or_else(|| place::of_name(scene.sql, name));
    let found = |message| Found::new(Mistake::Column, message).at(position);
    if let Some(relation) = &field.relation
        && !valid.is_empty()
        && !valid
            .iter()
            .any(|other| other.relation.as_ref().is_some_and(|other| other.resolved_eq(relation)))
    {
        return found(no_relation(name, relation, valid));
    }
    // The columns of the table that is named, else of all.
    let of_relation = |other: &&Column| match (&field.relation, &other.relation) {
        (Some(wanted), Some(relation)) => relation.resolved_eq(wanted),
        _ => true,
    };
    let valid: Vec<&Column> = valid.iter().filter(of_relation).collect();
    let names: Vec<&str> = valid.iter().map(|column| column.name()).collect();
    let place =
        field.relation.as_ref().map_or_else(String::new, |relation| format!(" in {relation}"));
    let mut message = format!("there is no column '{name}'{place}");
    let small = |other: &&&str| other.eq_ignore_ascii_case(name) && **other != name;
    if let Some(other) = names.iter().find(small) {
        return found(format!(
            "{message}; there is \"{other}\": in double quotes capital and small letters differ, without them all are small"
        ));
    }
    if is_quoted(scene.sql, position, name) && nearest(name, names.iter().copied()).is_empty() {
        message = format!("{message}; a text stands in single quotes: '{name}'");
    } else if let Some(hint) = did_you_mean(&nearest(name, names.iter().copied())) {
        message = format!("{message}; {hint}");
    }
    if names.is_empty() {
        message.push_str("; nothing here has columns: is a FROM missing?");
    } else if names.len() <= LISTED {
        message = format!("{message} (columns: {})", listed(&valid, field.relation.is_some()));
    }
    found(message)
}

/// The name before the dot is no table of the query.
fn no_relation(name: &str, relation: &TableReference, valid: &[Column]) -> String {
    let mut known: Vec<String> = valid
        .iter()
        .filter_map(|column| column.relation.as_ref())
        .map(ToString::to_string)
        .collect();
    known.dedup();
    known.sort();
    known.dedup();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = did_you_mean(&nearest(relation.table(), known.iter().copied()))
        .or_else(|| Some(format!("it reads {}", one_of(&known)?)));
    match hint {
        Some(hint) => {
            format!("the query has no table or alias '{relation}' for '{relation}.{name}'; {hint}")
        }
        None => format!("the query has no table or alias '{relation}' for '{relation}.{name}'"),
    }
}

/// The columns by name; with their tables where several have the same.
fn listed(columns: &[&Column], bare: bool) -> String {
    let is_twice = |name: &str| columns.iter().filter(|other| other.name() == name).count() > 1;
    let name = |column: &&Column| match &column.relation {
        Some(relation) if !bare && is_twice(column.name()) => {
            format!("{relation}.{}", column.name())
        }
        _ => column.name().to_owned(),
    };
    let mut names: Vec<String> = columns.iter().map(name).collect();
    names.dedup();
    names.join(", ")
}

/// Whether the name stands in double quotes.
fn is_quoted(sql: &str, position: Option<(u64, u64)>, name: &str) -> bool {
    place::tokens(sql).iter().any(|token| {
        let here = (token.span.start.line, token.span.start.column);
        position.is_none_or(|position| position == here)
            && matches!(&token.token, Token::Word(word) if word.value == name && word.quote_style.is_some())
    })
}

fn ambiguous(field: &Column, error: &DataFusionError, scene: &Scene<'_>) -> Found {
    let name = field.name();
    let notes = error.diagnostic().map_or(&[][..], |marked| &marked.notes);
    let candidates: Vec<&str> =
        notes.iter().filter_map(|note| note.message.strip_prefix("possible column ")).collect();
    let message = match one_of(&candidates) {
        Some(candidates) => format!("the column '{name}' is ambiguous: write {candidates}"),
        None if field.relation.is_some() => {
            format!(
                "two columns have the name '{}'; give one of them another name with AS",
                field.flat_name()
            )
        }
        None => format!(
            "the column '{name}' is ambiguous, several tables of the query have it: write TABLE.{name}"
        ),
    };
    Found::new(Mistake::Ambiguous, message).at(place::of_name(scene.sql, name))
}
