use super::error::{DataError, Problem};
use sprig_ground::PathError;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Longest line read, in bytes, its end not counted: no record of a few thousand tokens comes near it, and a file
/// that is no JSONL at all ends here instead of filling the memory.
pub const MAX_LINE: usize = 1 << 20;

const BOM: &[u8] = b"\xEF\xBB\xBF";

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
    fn new(path: &'p Path, reader: R) -> Self {
        Self { path, reader, line: 0, buffer: Vec::new() }
    }

    /// The next line that is not blank, with its number from 1; `None` at the end of the file. A byte order mark
    /// at the beginning and `\r` before the end of a line are taken off.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, DataError> {
        loop {
            self.buffer.clear();
            // One byte more than the limit tells a line that is too long from one that just fits.
            let limit = MAX_LINE as u64 + 1;
            let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(PathError::at("read", self.path))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if self.buffer.last() == Some(&b'\n') {
                self.buffer.pop();
            }
            if self.buffer.len() > MAX_LINE {
                let found = format!("the line is longer than {MAX_LINE} bytes");
                return Err(self.wrong(found, "write one JSON object a line and split long records"));
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

    fn wrong(&self, found: impl Into<String>, remedy: &str) -> DataError {
        Problem::new(found, remedy).at(self.path, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, String)>, String> {
        let mut lines = Lines::new(Path::new("d.jsonl"), bytes);
        let mut out = Vec::new();
        while let Some((line, text)) = lines.next().map_err(|e| e.to_string())? {
            out.push((line, text.to_owned()));
        }
        Ok(out)
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
}
