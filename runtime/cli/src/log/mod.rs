//! What commands that run for long log: a line for each thing that happened, with its level and where it comes from.
//!
//! Lines go to standard output; beside `--json`, whose events are there, to standard error. What ends the process always goes to
//! standard error.

mod line;
mod stream;
mod words;

use crate::exit::Failure;
pub use line::now;
use std::fmt::Display;
use stream::Streams;
use tracing::level_filters::LevelFilter;
use tracing_log::log::LevelFilter as LibraryFilter;
use tracing_subscriber::fmt;
pub use words::{Format, Level};

/// Where something comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A device's part in a fleet.
    Agent,
    /// The fleet's rounds and devices.
    #[cfg_attr(not(feature = "coordinator"), allow(dead_code))] // a board coordinates nothing
    Coordinator,
    /// The connection to the broker.
    Link,
    /// Answers.
    Serve,
    /// This process.
    Process,
}

/// The name of [`Target::Process`], whose lines go to standard error.
const PROCESS: &str = "sprig";

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// Logs from now on, in the format and from the level that were asked for, beside the events of `--json` where `json` is set.
pub fn begin((format, least): (Option<Format>, Option<Level>), json: bool) {
    let least = least.unwrap_or(if json { Level::Error } else { Level::Info });
    let streams = Streams::new(format, json);
    let subscriber = fmt()
        .with_max_level(least.filter())
        .log_internal_errors(false) // nobody is left to be told of a stream that is gone
        .event_format(streams)
        .with_writer(streams)
        .finish();
    // Both fail only where somebody logs already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    // What libraries say below that is for those who write them.
    let libraries = if least == Level::Error { LibraryFilter::Error } else { LibraryFilter::Warn };
    let _ = tracing_log::LogTracer::builder().with_max_level(libraries).init();
}

/// Whether [`begin`] was called.
pub fn has_begun() -> bool {
    tracing::dispatcher::has_been_set()
}

/// Logs what ends the process, with what it comes from.
pub fn failure(failure: &Failure) {
    say(Level::Error, Target::Process, failure, &failure.causes().join(": "));
}

/// Logs one thing.
pub fn event(level: Level, target: Target, text: impl Display) {
    say(level, target, text, "");
}

/// An event's target is a constant of the place that makes it.
macro_rules! say {
    ($target:expr, $level:expr, $text:expr, $cause:expr) => {
        match $level {
            Level::Error => tracing::error!(target: $target, cause = $cause, "{}", $text),
            Level::Warn => tracing::warn!(target: $target, cause = $cause, "{}", $text),
            Level::Info => tracing::info!(target: $target, cause = $cause, "{}", $text),
            Level::Debug => tracing::debug!(target: $target, cause = $cause, "{}", $text),
        }
    };
}

fn say(level: Level, target: Target, text: impl Display, cause: &str) {
    match target {
        Target::Agent => say!("agent", level, text, cause),
        Target::Coordinator => say!("coordinator", level, text, cause),
        Target::Link => say!("link", level, text, cause),
        Target::Serve => say!("serve", level, text, cause),
        Target::Process => say!(PROCESS, level, text, cause),
    }
}
