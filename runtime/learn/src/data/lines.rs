//! A file line by line, in bounded memory.

use super::error::{DataError, Problem};
use sprig_ground::PathError;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

/// Longest line read, in bytes, its end not counted: no record of a few thousand tokens comes near it, and a file
/// that is no JSONL at all ends here instead of filling the memory.
pub const MAX_LINE: usize = 1 << 20;

/// Bytes of the buffer that stay for the next line.
pub(super) const KEPT: usize = 8 << 10;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a line may be refused for, besides what is in it.
pub(super) enum LineError {
    /// The file cannot be read, or the line is no text.
    Data(DataError),
    /// The line alone takes more than was allowed.
    Room {
        /// Its number.
        line: u64,
    },
}

/// Reads a file line by line in bounded memory.
pub(super) struct Lines<'p, R = BufReader<File>> {
    path: &'p Path,
    reader: R,
    line: u64,
    buffer: Vec<u8>,
}

impl<'p> Lines<'p> {
    pub(super) fn open(path: &'p Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(PathError::at("open", path))?;
        Ok(Self::new(path, BufReader::new(file)))
    }
}

impl<'p, R: BufRead> Lines<'p, R> {
    pub(super) fn new(path: &'p Path, reader: R) -> Self {
        Self { path, reader, line: 0, buffer: Vec::new() }
    }

    /// What errors call the file.
    pub(super) fn path(&self) -> &'p Path {
        self.path
    }

    /// The next line that is not blank, with its number from 1; `None` at the end of the file. A byte order mark
    /// at the beginning and `\r` before the end of a line are taken off. No more than `room` bytes are held.
    pub(super) fn next(&mut self, room: usize) -> Result<Option<(u64, &str)>, LineError> {
        loop {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
            let read = self.fill(room.min(MAX_LINE));
            let read =
                read.map_err(PathError::at("read", self.path)).map_err(|e| LineError::Data(e.into()))?;
            match read {
                Filled::End => return Ok(None),
                Filled::Line => self.line += 1,
                Filled::TooLong if room < MAX_LINE => return Err(LineError::Room { line: self.line + 1 }),
                Filled::TooLong => {
                    self.line += 1;
                    let found = format!("the line is longer than {MAX_LINE} bytes");
                    return Err(self.wrong(found, "write one JSON object a line and split long records"));
                }
            }
            if self.line == 1 && self.buffer.starts_with(BOM) {
                self.buffer.drain(..BOM.len());
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((self.line, text.trim_ascii()))),
            Err(e) => Err(self.wrong(
                format!("byte {} of the line is not UTF-8", e.valid_up_to() + 1),
                "save the file as UTF-8",
            )),
        }
    }

    /// Reads up to the end of a line, which is not kept, of at most `limit` bytes. The buffer grows by an eighth at a
    /// time: doubling would hold three times the line.
    fn fill(&mut self, limit: usize) -> std::io::Result<Filled> {
        let mut begun = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if available.is_empty() {
                return Ok(if begun { Filled::Line } else { Filled::End });
            }
            begun = true;
            let end = available.iter().position(|&b| b == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.buffer.len() + part.len() > limit {
                return Ok(Filled::TooLong);
            }
            if self.buffer.capacity() - self.buffer.len() < part.len() {
                self.buffer
                    .reserve_exact(part.len().max(self.buffer.len() / 8).min(limit - self.buffer.len()));
            }
            self.buffer.extend_from_slice(part);
            let taken = part.len() + usize::from(end.is_some());
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(Filled::Line);
            }
        }
    }

    fn wrong(&self, found: impl Into<String>, remedy: &str) -> LineError {
        LineError::Data(Problem::new(found, remedy).at(self.path, self.line))
    }
}

/// What reading up to the end of a line came to.
enum Filled {
    Line,
    TooLong,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, String)>, String> {
        let mut lines = Lines::new(Path::new("d.jsonl"), bytes);
        let mut out = Vec::new();
        while let Some((line, text)) = lines.next(usize::MAX).map_err(told)? {
            out.push((line, text.to_owned()));
        }
        Ok(out)
    }

    fn told(error: LineError) -> String {
        match error {
            LineError::Data(error) => error.to_string(),
            LineError::Room { line } => format!("no room for line {line}"),
        }
    }

    #[test]
    fn ends_blank_lines_and_a_byte_order_mark_are_handled() {
        let want = vec![(1, "a".to_owned()), (4, "b c".to_owned()), (5, "é".to_owned())];
        assert_eq!(read(b"\xEF\xBB\xBFa\r\n\n \t\r\n b c \n\xC3\xA9").unwrap(), want);
        assert_eq!(read(b"").unwrap(), []);
        assert_eq!(read(b"\n\r\n \n").unwrap(), []);
    }

    #[test]
    fn broken_text_is_named_by_line_and_byte() {
        let message = read(b"ok\nab\xFF").unwrap_err();
        assert!(message.starts_with("d.jsonl:2: byte 3 of the line is not UTF-8"), "{message}");
        assert!(read(b"\xFF\xFEa\0").unwrap_err().contains("d.jsonl:1: byte 1"));
    }

    #[test]
    fn a_line_may_have_the_limit_and_no_byte_more() {
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.push(b'\n');
        assert_eq!(read(&bytes).unwrap()[0].1.len(), MAX_LINE);
        bytes.insert(0, b'x');
        assert!(read(&bytes).unwrap_err().contains("longer than 1048576 bytes"));
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let text = ["x".repeat(100), "y".repeat(10_000), "z".repeat(50)].join("\n");
        let mut lines = Lines::new(Path::new("d.jsonl"), text.as_bytes());
        assert_eq!(lines.next(5_000).map_err(told).unwrap().unwrap().1.len(), 100);
        assert_eq!(lines.next(5_000).map_err(told).unwrap_err(), "no room for line 2");
        assert!(lines.buffer.capacity() <= 5_000, "{}", lines.buffer.capacity());
        let mut lines = Lines::new(Path::new("d.jsonl"), BufReader::with_capacity(64, text.as_bytes()));
        while let Some((_, text)) = lines.next(10_000).map_err(told).unwrap() {
            assert!(text.len() >= 50);
        }
        assert!(lines.buffer.capacity() <= 10_000, "{}", lines.buffer.capacity());
    }
}
