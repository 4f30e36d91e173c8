//! Rows as records, one value in each line, for answers that are wider than the terminal.

use std::fmt::Write;

use super::grid::{Head, null, pad, width};
use super::screen::Screen;

/// Columns of a rule where the width of the terminal is not known.
const RULE: usize = 40;

/// Writes a row.
pub(super) fn record(
    text: &mut String,
    number: u64,
    heads: &[Head],
    row: &[Option<String>],
    screen: &Screen,
) {
    let widest = heads.iter().map(|head| width(&head.name)).max().unwrap_or_default();
    let mut rule = format!("─[ row {number} ]");
    let to = if screen.is_terminal { screen.columns.min(RULE * 2) } else { RULE };
    rule.extend(std::iter::repeat_n('─', to.saturating_sub(width(&rule))));
    let _ = writeln!(text, "{rule}");
    for (head, cell) in heads.iter().zip(row) {
        text.push(' ');
        pad(text, &head.name, widest, false);
        text.push_str(" │ ");
        text.push_str(cell.as_deref().unwrap_or(null(screen.colours)));
        text.push('\n');
    }
}
