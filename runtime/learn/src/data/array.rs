//! A JSON array of objects, one element at a time: the file is never held whole.

use super::input::{Input, KEPT, MAX_LINE, RowError, append};

/// Reads the elements of an array.
pub(super) struct Array<'p> {
    input: Input<'p>,
    state: State,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the bracket.
    Before,
    /// Behind it: an element or the end follows.
    First,
    /// Behind an element: a comma or the end follows.
    Behind,
    /// Behind a comma: an element follows.
    Next,
    /// Behind the closing bracket.
    Over,
}

/// Where a scan of an element stands.
#[derive(Default)]
struct Scan {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl<'p> Array<'p> {
    /// Of a file that begins with a bracket.
    pub(super) fn new(input: Input<'p>) -> Self {
        Self { input, state: State::Before, buffer: Vec::new() }
    }

    /// The text of the next element, with the line that it begins in.
    pub(super) fn next(&mut self, room: usize) -> Result<Option<(u64, &str)>, RowError> {
        while self.between()? {}
        if self.state == State::Over {
            return Ok(None);
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        let line = self.input.line;
        self.element(line, room)?;
        self.state = State::Behind;
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((line, text))),
            Err(e) => {
                let found = format!("byte {} of the record is not UTF-8", e.valid_up_to() + 1);
                Err(self.input.wrong(line, found, "save the file as UTF-8"))
            }
        }
    }

    /// Goes past what stands between two elements; false where one begins or all is over.
    fn between(&mut self) -> Result<bool, RowError> {
        let found = self.input.skip(|byte| byte.is_ascii_whitespace())?;
        let wrong =
            |found: &str, remedy: &str| Err(self.input.wrong(self.input.line, found, remedy.to_owned()));
        self.state = match (self.state, found) {
            (State::Over, None) => return Ok(false),
            (_, None) => return wrong("the array has no end", "close it with ]; the file may be cut off"),
            (State::Before, Some(_)) => State::First,
            (State::First | State::Behind, Some(b']')) => State::Over,
            (State::Behind, Some(b',')) => State::Next,
            (State::Behind, _) => {
                return wrong("no comma between two records", "write one, or close the array");
            }
            (State::Over, _) => {
                return wrong("text behind the end of the array", "put all records into one array");
            }
            (State::First | State::Next, Some(b',' | b']')) => {
                return wrong("a comma without a record", "take it out");
            }
            (State::First | State::Next, _) => return Ok(false),
        };
        self.input.take(1);
        Ok(true)
    }

    /// Takes one element into the buffer, of at most `room` bytes. What is in it is for others to judge: here count its
    /// brackets and quotes alone.
    fn element(&mut self, line: u64, room: usize) -> Result<(), RowError> {
        let (limit, mut scan) = (room.min(MAX_LINE), Scan::default());
        loop {
            let available = self.input.fill()?;
            if available.is_empty() {
                let remedy = "close its brackets and quotes; the file may be cut off";
                return Err(self.input.wrong(line, "the record that begins here has no end", remedy));
            }
            let end = available.iter().position(|&byte| scan.ends(byte));
            let part = &available[..end.unwrap_or(available.len())];
            let taken = part.len();
            if self.buffer.len() + taken > limit {
                return Err(self.input.too_long(line, room, "split long records"));
            }
            append(&mut self.buffer, part, limit);
            self.input.take(taken);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

impl Scan {
    /// Whether the element ended before this byte.
    fn ends(&mut self, byte: u8) -> bool {
        if self.quoted {
            self.quoted = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.quoted = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => self.depth -= 1,
            b',' | b']' | b'}' => return self.depth == 0,
            _ => {}
        }
        false
    }
}
