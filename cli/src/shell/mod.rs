//! The shell of `dunlin sql`: statements and commands, from a person or from a script.

mod catalog;
mod colours;
mod command;
mod complete;
mod editor;
mod history;
mod keywords;
mod run;

pub(crate) use run::Shell;
