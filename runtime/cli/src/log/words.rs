//! What is said about logs on the command line.

use sprig_ground::names;

/// How bad it is, or how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The process ends by it.
    Error,
    /// Somebody may have to act.
    Warn,
    /// What an operator wants to read.
    Info,
    /// What is of use when something is looked for.
    Debug,
}

names!(Level, "level", [Error = "error", Warn = "warn", Info = "info", Debug = "debug"]);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text alone.
    Human,
    /// Time, level, target, text.
    Text,
    /// The same, as an object.
    Json,
    /// Priority, target, text: the journal has a time of its own.
    Journal,
}

names!(Format, "log format", [Human = "human", Text = "text", Json = "json", Journal = "journal"]);
