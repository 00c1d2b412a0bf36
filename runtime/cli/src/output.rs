//! What a run says while it goes: one JSON object a line, or a progress line for people; a line now and then where there
//! is no terminal.

use crate::exit::Failure;
use crate::log::{self, Level, Target};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use serde_json::Value;
use std::fmt::{self, Display};
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two progress lines that stay: what nobody watches need not be told often.
const PAUSE: Duration = Duration::from_secs(10);

/// And the least that is done between them, as a part of the whole.
const PARTS: u64 = 20;

/// Writes the line that a command was asked for. A reader that left after what it wanted (`| head -1`) is no error.
pub fn line(text: impl Display) -> Result<(), Failure> {
    match writeln!(stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io("write to", Path::new("standard output"), e))
        }
        _ => Ok(()),
    }
}

/// Writes a line on standard error. Where that is gone with its terminal, there is nobody to tell.
pub fn problem(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// Says on standard error, every [`PAUSE`], how many records of long data are read.
pub fn reading(records: usize) {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_with(Instant::now).elapsed() >= PAUSE {
        *said = Some(Instant::now());
        problem(format_args!("reading data: {records} records so far"));
    }
}

/// Where events go.
pub struct Output {
    json: bool,
    bar: ProgressBar,
    /// Instead of the bar, where standard error is no terminal.
    log: Mutex<Option<Log>>,
}

impl Output {
    /// JSON lines on standard output, or text with progress on standard error.
    pub fn new(json: bool) -> Self {
        Self { json, bar: ProgressBar::hidden(), log: Mutex::new(None) }
    }

    /// An event; `text` is what people see instead, if anything. That nobody can be told is no reason to stop.
    pub fn event(&self, event: Value, text: impl FnOnce() -> Option<String>) {
        if self.json {
            let _ = line(event);
        } else if let Some(text) = text() {
            let _ = self.bar.suspend(|| line(text));
        }
    }

    /// An event of a command that runs for long: with its time and level for scripts, and logged for people.
    pub fn log(&self, level: Level, target: Target, mut event: Value, text: impl FnOnce() -> Option<String>) {
        if self.json {
            event["time"] = log::now().into();
            event["level"] = level.name().into();
            let _ = line(event);
        }
        if let Some(text) = text() {
            log::event(level, target, text);
        }
    }

    /// Starts a progress line of `total` units.
    pub fn begin(&mut self, what: &str, total: u64, done: u64) {
        if self.json {
            return;
        }
        self.bar = ProgressBar::new(total).with_position(done).with_message(what.to_owned());
        if self.bar.is_hidden() {
            self.log = Mutex::new(Some(Log::new(what, total, done)));
            return;
        }
        self.bar.reset_eta();
        let template = "{msg}  {bar:12} {pos}/{len}  {elapsed} gone{left}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style.with_key("left", move |state: &ProgressState, to: &mut dyn fmt::Write| {
            // Nothing is known of how long it takes until a unit is done.
            if state.pos() > done {
                let _ = write!(to, ", {:#} left", HumanDuration(state.eta()));
            }
        }));
        self.bar.enable_steady_tick(Duration::from_secs(1));
    }

    /// Moves the progress line.
    pub fn at(&self, done: u64, message: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_message(message());
            return self.bar.set_position(done);
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = log.as_mut().and_then(|log| log.line(log.began.elapsed(), done, message)) {
            problem(text);
        }
    }

    /// Moves a progress line whose `total` is known only as it goes.
    #[cfg(feature = "coordinator")]
    pub fn of(&self, done: u64, total: u64, message: impl FnOnce() -> String) {
        self.bar.set_length(total);
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            log.total = total;
        }
        self.at(done, message);
    }

    /// Ends the progress line.
    pub fn end(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
        self.log = Mutex::new(None);
    }
}

/// Progress as lines that stay: in a file, a journal.
struct Log {
    what: String,
    total: u64,
    /// Units that were done when it began.
    first: u64,
    began: Instant,
    /// Time and units of the line before.
    told: Option<(Duration, u64)>,
}

impl Log {
    fn new(what: &str, total: u64, done: u64) -> Self {
        Self { what: what.to_owned(), total, first: done, began: Instant::now(), told: None }
    }

    /// The line for `done` units after `gone`, if one is due: the first after [`PAUSE`], another where both a pause has
    /// gone by and a part was done.
    fn line(&mut self, gone: Duration, done: u64, message: impl FnOnce() -> String) -> Option<String> {
        let due = match self.told {
            None => gone >= PAUSE,
            Some((then, step)) => {
                gone.saturating_sub(then) >= PAUSE && done.saturating_sub(step) >= self.total.div_ceil(PARTS)
            }
        };
        if !due {
            return None;
        }
        self.told = Some((gone, done));
        let (what, total) = (&self.what, self.total);
        let message = message();
        let message = message.strip_prefix(what.as_str()).unwrap_or(&message).trim_start_matches([',', ' ']);
        let comma = if message.is_empty() { "" } else { ", " };
        let rate = done.saturating_sub(self.first) as f64 / gone.as_secs_f64();
        let left = (rate > 0.0).then(|| total.saturating_sub(done) as f64 / rate);
        let left = left.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let left = left.map_or_else(String::new, |left| format!(", {:#} left", HumanDuration(left)));
        Some(format!("{what}: {done} of {total}{comma}{message}, {:#} gone{left}", HumanDuration(gone)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stay_come_after_a_pause_and_a_part() {
        let mut log = Log::new("training", 400, 100);
        let mut at = |seconds, done| log.line(Duration::from_secs(seconds), done, || "loss 0.5".to_owned());
        assert_eq!(at(9, 103), None);
        assert_eq!(at(10, 110).unwrap(), "training: 110 of 400, loss 0.5, 10s gone, 5m left");
        assert_eq!((at(12, 399), at(60, 129)), (None, None));
        assert!(at(60, 130).is_some());
        let mut log = Log::new("evaluating", 12, 0);
        let line = log.line(Duration::from_secs(20), 6, || "evaluating".to_owned());
        assert_eq!(line.unwrap(), "evaluating: 6 of 12, 20s gone, 20s left");
    }
}
