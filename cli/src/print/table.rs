//! Tables for people.
//!
//! ```text
//!  l_returnflag │      n
//! ──────────────┼────────
//!  A            │ 147790
//! ```
//!
//! A table is printed in parts. Its widths are those of the first part; where a later part is wider, the head is printed
//! again. What is wider than the terminal goes to the pager, or is printed as records if there is none.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::grid::{Grid, Head, NULL, heads, null, pad, width};
use super::out::Out;
use super::records;
use super::screen::Screen;
use super::sink::Sink;

/// Lines of a terminal that are not for rows: head, rule, footer, prompt.
const OTHER_LINES: usize = 4;

/// Whether rows are printed as records, one value in each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expanded {
    /// Never.
    Off,
    /// Always.
    On,
    /// Where a table is wider than the terminal and there is no pager.
    #[default]
    Auto,
}

/// How the rows are laid out, once the first part is known.
#[derive(Debug)]
enum Layout {
    Columns(Vec<usize>),
    Records { next: u64 },
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<Head>,
    screen: Screen,
    expanded: Expanded,
    grid: Grid,
    layout: Option<Layout>,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, screen: Screen, expanded: Expanded) -> Self {
        Self { heads: heads(schema), screen, expanded, grid: Grid::default(), layout: None }
    }

    /// Prints the rows that wait. `more` may follow.
    fn print(&mut self, more: bool, out: &mut Out) -> Result<()> {
        let rows = self.grid.take();
        let widths = self.widths(&rows);
        if self.layout.is_none() {
            self.layout = Some(self.choose(&rows, &widths, more, out));
        }
        let mut text = String::new();
        match &mut self.layout {
            Some(Layout::Records { next }) => {
                for row in &rows {
                    records::record(&mut text, *next, &self.heads, row, &self.screen);
                    *next += 1;
                }
            }
            Some(Layout::Columns(known)) => {
                let first = known.is_empty();
                if first || known.iter().zip(&widths).any(|(known, width)| known < width) {
                    if first {
                        *known = widths;
                    } else {
                        known.iter_mut().zip(widths).for_each(|(k, w)| *k = (*k).max(w));
                        text.push('\n');
                    }
                    head(&mut text, &self.heads, known);
                }
                for row in &rows {
                    line(&mut text, &self.heads, known, row, self.screen.colours);
                }
            }
            None => {}
        }
        out.write_all(text.as_bytes())?;
        Ok(())
    }

    fn widths(&self, rows: &[Vec<Option<String>>]) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| width(&head.name)).collect();
        for row in rows {
            for (most, cell) in widths.iter_mut().zip(row) {
                *most = (*most).max(cell.as_deref().map_or(NULL.len(), width));
            }
        }
        widths
    }

    /// How to lay out an answer that begins with `rows`. Starts the pager if the answer is for it.
    fn choose(
        &self,
        rows: &[Vec<Option<String>>],
        widths: &[usize],
        more: bool,
        out: &mut Out,
    ) -> Layout {
        let columns = Layout::Columns(Vec::new());
        let records = Layout::Records { next: 1 };
        // One space on each side, and a line between two columns.
        let needed = widths.iter().map(|width| width + 3).sum::<usize>().saturating_sub(1);
        let shown = self.screen.is_terminal && !out.is_file();
        let is_wide = shown && needed > self.screen.columns;
        let as_records = match self.expanded {
            Expanded::On => true,
            Expanded::Off => false,
            Expanded::Auto => is_wide && self.screen.pager.is_none() && !rows.is_empty(),
        };
        let height = if as_records { rows.len() * (widths.len() + 1) } else { rows.len() };
        let is_long = shown && (more || height + OTHER_LINES > self.screen.rows);
        if let Some(pager) = &self.screen.pager
            && (is_long || (is_wide && !as_records))
        {
            out.page(pager);
        }
        if as_records { records } else { columns }
    }
}

impl Sink for Table {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            if self.grid.is_full() {
                self.print(true, out)?;
            }
            from = self.grid.fill(batch, from)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Out) -> Result<()> {
        if self.layout.is_none() || !self.grid.is_empty() {
            self.print(false, out)?;
        }
        Ok(())
    }
}

fn head(text: &mut String, heads: &[Head], widths: &[usize]) {
    let names: Vec<Option<String>> = heads.iter().map(|head| Some(head.name.clone())).collect();
    line(text, heads, widths, &names, false);
    for (column, width) in widths.iter().enumerate() {
        text.push_str(if column == 0 { "" } else { "┼" });
        text.extend(std::iter::repeat_n('─', width + 2));
    }
    text.push('\n');
}

fn line(
    text: &mut String,
    heads: &[Head],
    widths: &[usize],
    row: &[Option<String>],
    colours: bool,
) {
    let last = row.len().saturating_sub(1);
    for (column, cell) in row.iter().enumerate() {
        text.push_str(if column == 0 { " " } else { " │ " });
        let right = heads[column].is_number;
        // Nothing follows the last column, so it needs no space after it.
        let to = if column == last && !right { 0 } else { widths[column] };
        match cell {
            Some(cell) => pad(text, cell, to, right),
            None => {
                let start = text.len();
                pad(text, NULL, to, right);
                if colours {
                    let at = start + text[start..].find(NULL).unwrap_or_default();
                    text.replace_range(at..at + NULL.len(), null(true));
                }
            }
        }
    }
    text.push('\n');
}
