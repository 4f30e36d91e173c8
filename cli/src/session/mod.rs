//! One person's talk with one gateway: runs statements, waits, prints, and says what it took.

mod footer;
mod home;
mod interrupts;
mod meter;
mod talk;

pub(crate) use footer::duration;
pub(crate) use home::Home;
pub(crate) use interrupts::Interrupts;
pub(crate) use talk::{Options, Session};
