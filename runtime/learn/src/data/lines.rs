//! A JSON object a line.

use super::input::{Input, KEPT, MAX_LINE, RowError, append};

/// Reads a file line by line.
pub(super) struct Lines<'p> {
    input: Input<'p>,
    buffer: Vec<u8>,
}

impl<'p> Lines<'p> {
    pub(super) fn new(input: Input<'p>) -> Self {
        Self { input, buffer: Vec::new() }
    }

    /// The next line that is not blank, with its number from 1; `None` at the end of the file. `\r` before the end of a line
    /// is taken off. No more than `room` bytes are held.
    pub(super) fn next(&mut self, room: usize) -> Result<Option<(u64, &str)>, RowError> {
        let line = loop {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
            let line = self.input.line;
            if !self.fill(line, room)? {
                return Ok(None);
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break line;
            }
        };
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((line, text.trim_ascii()))),
            Err(e) => {
                let found = format!("byte {} of the line is not UTF-8", e.valid_up_to() + 1);
                Err(self.input.wrong(line, found, "save the file as UTF-8"))
            }
        }
    }

    /// Reads up to the end of a line, which is not kept; false where the file is over.
    fn fill(&mut self, line: u64, room: usize) -> Result<bool, RowError> {
        let (limit, mut begun) = (room.min(MAX_LINE), false);
        loop {
            let available = self.input.fill()?;
            if available.is_empty() {
                return Ok(begun);
            }
            begun = true;
            let end = available.iter().position(|&b| b == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let taken = part.len() + usize::from(end.is_some());
            if self.buffer.len() + part.len() > limit {
                let remedy = "write one JSON object a line and split long records";
                return Err(self.input.too_long(line, room, remedy));
            }
            append(&mut self.buffer, part, limit);
            self.input.take(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}
