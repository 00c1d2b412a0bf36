//! Where rows come from: a file, packed with gzip or not, or what is in memory.

use super::error::{DataError, Problem};
use flate2::bufread::MultiGzDecoder;
use sprig_ground::PathError;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

/// Longest record read, in bytes: no record of a few thousand tokens comes near it, and a file that holds no records at all
/// ends here instead of filling the memory.
pub const MAX_LINE: usize = 1 << 20;

/// Bytes of a buffer that stay for the next record.
pub(super) const KEPT: usize = 8 << 10;

/// Bytes that unpacking holds: gzip's window of 32 KiB, as much again for the tables and state of the decoder, and the two
/// buffers before and behind it.
const UNPACKING: usize = 96 << 10;

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1F, 0x8B];

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a record may be refused for, besides what is in it.
pub(super) enum RowError {
    /// The file cannot be read, or the record is no text.
    Data(DataError),
    /// The record alone takes more than was allowed.
    Room {
        /// Its line.
        line: u64,
    },
}

impl From<DataError> for RowError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// Bytes of a file, and where in it they stand.
pub(super) struct Input<'p> {
    /// What errors call it.
    pub(super) path: &'p Path,
    /// The line under way, from 1.
    pub(super) line: u64,
    reader: Box<dyn BufRead + 'p>,
    held: usize,
}

impl<'p> Input<'p> {
    /// Opens a file, and goes past a byte order mark.
    pub(super) fn open(path: &'p Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(PathError::at("open", path))?;
        let mut reader = BufReader::new(file);
        let begins = reader.fill_buf().map_err(PathError::at("read", path))?;
        if begins.starts_with(&GZIP) {
            let unpacked = BufReader::new(MultiGzDecoder::new(reader));
            return Self::begin(path, Box::new(unpacked), UNPACKING);
        }
        Self::begin(path, Box::new(reader), 0)
    }

    /// The same of what is in memory.
    pub(super) fn read(path: &'p Path, bytes: &'p [u8]) -> Result<Self, DataError> {
        Self::begin(path, Box::new(bytes), 0)
    }

    fn begin(path: &'p Path, reader: Box<dyn BufRead + 'p>, held: usize) -> Result<Self, DataError> {
        let mut input = Self { path, line: 1, reader, held };
        let begins = input.fill()?;
        let order = match begins {
            [0xFF, 0xFE, ..] => Some("low"),
            [0xFE, 0xFF, ..] => Some("high"),
            _ => None,
        };
        if let Some(order) = order {
            let found = format!("the file is UTF-16, the {order} byte first");
            return Err(Problem::new(found, "save it as UTF-8").at(path, 1));
        }
        if begins.starts_with(BOM) {
            input.take(BOM.len());
        }
        Ok(input)
    }

    /// Bytes held, the plain buffer excepted.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// What there is to read, nothing at the end.
    pub(super) fn fill(&mut self) -> Result<&[u8], DataError> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(PathError::at("read", self.path)(e).into()),
            }
        }
        // Of a reader that has something in its buffer, this is that.
        Ok(self.reader.fill_buf().unwrap_or_default())
    }

    /// Goes past so many of the bytes that [`fill`](Self::fill) gave, and counts their lines.
    pub(super) fn take(&mut self, bytes: usize) {
        let taken = self.reader.fill_buf().unwrap_or_default();
        self.line += taken[..bytes].iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.reader.consume(bytes);
    }

    /// The next byte that `is_blank` does not hold for, which stays.
    pub(super) fn skip(&mut self, is_blank: impl Fn(u8) -> bool) -> Result<Option<u8>, DataError> {
        loop {
            let available = self.fill()?;
            let blank = available.iter().take_while(|&&byte| is_blank(byte)).count();
            let (found, over) = (available.get(blank).copied(), available.is_empty());
            self.take(blank);
            if over || found.is_some() {
                return Ok(found);
            }
        }
    }

    /// That something is wrong with the record that begins in `line`.
    pub(super) fn wrong(&self, line: u64, found: impl Into<String>, remedy: impl Into<String>) -> RowError {
        Problem::new(found, remedy).at(self.path, line).into()
    }

    /// That the record that begins in `line` is longer than `room` or than any.
    pub(super) fn too_long(&self, line: u64, room: usize, remedy: &str) -> RowError {
        if room < MAX_LINE {
            return RowError::Room { line };
        }
        self.wrong(line, format!("the record is longer than {MAX_LINE} bytes"), remedy)
    }
}

/// Adds to a buffer, which grows by an eighth at a time up to `limit`: doubling would hold three times the record.
pub(super) fn append(buffer: &mut Vec<u8>, part: &[u8], limit: usize) {
    if buffer.capacity() - buffer.len() < part.len() {
        buffer.reserve_exact(part.len().max(buffer.len() / 8).min(limit - buffer.len()));
    }
    buffer.extend_from_slice(part);
}
