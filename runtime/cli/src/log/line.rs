//! A line of the log.

use super::{Format, PROCESS};
use serde_json::json;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// What is to be said.
#[derive(Default)]
pub(super) struct Said {
    level: Option<Level>,
    target: String,
    message: String,
    /// What it comes from, outermost first, where the message does not have it.
    cause: String,
}

impl Said {
    pub(super) fn of(metadata: &Metadata<'_>, event: &Event<'_>) -> Self {
        let mut said =
            Self { level: Some(*metadata.level()), target: metadata.target().to_owned(), ..Self::default() };
        event.record(&mut said);
        said
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "cause" => value.clone_into(&mut self.cause),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name if name.starts_with("log.") => Ok(()), // where in a library's source
            name => write!(self.message, " {name}={value:?}"),
        };
    }
}

/// The time now, UTC, as RFC 3339 writes it.
pub fn now() -> String {
    let mut text = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Writes one line.
pub(super) fn write(format: Format, said: &Said, mut to: Writer<'_>) -> std::fmt::Result {
    let Said { level, target, message, cause } = said;
    let level = level.unwrap_or(Level::INFO);
    match format {
        // As it always was: what ends a process has its name in front, and of causes the message has what people need.
        Format::Human if target == PROCESS => return writeln!(to, "{target}: {}", Plain(message, false)),
        Format::Human => return writeln!(to, "{}", Plain(message, false)),
        Format::Json => {
            let mut line = json!({
                "time": now(), "level": level.as_str().to_ascii_lowercase(), "target": target, "message": message,
            });
            if !cause.is_empty() {
                line["cause"] = cause.as_str().into();
            }
            return writeln!(to, "{line}");
        }
        Format::Text => write!(to, "{} {level} {target}: ", now())?,
        Format::Journal => write!(to, "<{}>{target}: ", priority(level))?,
    }
    write!(to, "{}", Plain(message, true))?;
    if !cause.is_empty() {
        write!(to, ": {}", Plain(cause, true))?;
    }
    writeln!(to)
}

/// The level as sd-daemon(3) numbers it.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Text in which nothing steers a terminal or, on `one_line`, begins a line of its own: parts of it come from other machines.
struct Plain<'a>(&'a str, bool);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(text, one_line) = *self;
        text.chars().try_for_each(|c| match c {
            '\n' if one_line => f.write_str(" | "),
            '\n' | '\t' => f.write_char(c),
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, said: &Said) -> String {
        let mut text = String::new();
        write(format, said, Writer::new(&mut text)).unwrap();
        text
    }

    fn said(level: Level, target: &str, message: &str, cause: &str) -> Said {
        let owned = str::to_owned;
        Said { level: Some(level), target: owned(target), message: owned(message), cause: owned(cause) }
    }

    #[test]
    fn each_format_has_what_its_reader_needs() {
        let lost = said(Level::WARN, "link", "connection lost", "broken pipe");
        assert_eq!(written(Format::Human, &lost), "connection lost\n");
        assert_eq!(written(Format::Journal, &lost), "<4>link: connection lost: broken pipe\n");
        let text = written(Format::Text, &lost);
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(rest, "WARN link: connection lost: broken pipe\n");
        assert!(time.len() >= 20 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json, &lost)).unwrap();
        assert_eq!((&json["level"], &json["target"]), (&"warn".into(), &"link".into()));
        assert_eq!((&json["message"], &json["cause"]), (&"connection lost".into(), &"broken pipe".into()));
        assert!(json["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_word_from_elsewhere_begins_no_line_and_steers_no_terminal() {
        let forged = said(Level::INFO, "coordinator", "board \u{1b}[2Jx\n<3>sprig: burnt", "");
        assert_eq!(
            written(Format::Journal, &forged),
            "<6>coordinator: board \\u{1b}[2Jx | <3>sprig: burnt\n"
        );
        assert!(!written(Format::Human, &forged).contains('\u{1b}'));
    }

    #[test]
    fn what_ends_a_process_says_so_as_ever_on_a_terminal() {
        let failure = said(Level::ERROR, PROCESS, "cannot read x", "no such file");
        assert_eq!(written(Format::Human, &failure), "sprig: cannot read x\n");
        assert_eq!(written(Format::Journal, &failure), "<3>sprig: cannot read x: no such file\n");
    }
}
