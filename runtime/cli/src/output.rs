//! What a run says while it goes: one JSON object a line, or a progress line for people.

use crate::exit::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::time::Duration;

/// Writes the line that a command was asked for. A reader that left after what it wanted (`| head -1`) is no error.
pub fn line(text: impl Display) -> Result<(), Failure> {
    match writeln!(stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io("write to", Path::new("standard output"), e))
        }
        _ => Ok(()),
    }
}

/// Where events go.
pub struct Output {
    json: bool,
    bar: ProgressBar,
}

impl Output {
    /// JSON lines on standard output, or text with progress on standard error.
    pub fn new(json: bool) -> Self {
        Self { json, bar: ProgressBar::hidden() }
    }

    /// An event; `text` is what people see instead, if anything. That nobody can be told is no reason to stop.
    pub fn event(&self, event: Value, text: impl FnOnce() -> Option<String>) {
        if self.json {
            let _ = line(event);
        } else if let Some(text) = text() {
            let _ = self.bar.suspend(|| line(text));
        }
    }

    /// Starts a progress line of `total` units.
    pub fn begin(&mut self, what: &str, total: u64, done: u64) {
        if self.json {
            return;
        }
        self.bar = ProgressBar::new(total).with_position(done).with_message(what.to_owned());
        self.bar.reset_eta();
        let template = "{msg}  {bar:24} {pos}/{len}  {elapsed} gone, {eta} left";
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.bar.enable_steady_tick(Duration::from_secs(1));
    }

    /// Moves the progress line.
    pub fn at(&self, done: u64, message: impl FnOnce() -> String) {
        if !self.json && !self.bar.is_hidden() {
            self.bar.set_message(message());
        }
        self.bar.set_position(done);
    }

    /// Ends the progress line.
    pub fn end(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }
}
