//! A checked little-endian reader: nothing is taken that is not there, and every refusal names the
//! byte at which it happened.

use super::GgufError;
use std::fmt;

/// Longest string the reader accepts in bytes: chat templates reach tens of kilobytes, so 16 MiB is ample.
pub const MAX_STRING: u64 = 16 << 20;

#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begins in the file.
    base: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Byte of the file that is read next.
    pub(crate) fn offset(&self) -> u64 {
        (self.base + self.at) as u64
    }

    pub(crate) fn remain(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// The next `n` bytes. `thing` names them in the error.
    pub(crate) fn take(&mut self, n: u64, thing: fmt::Arguments<'_>) -> Result<&'a [u8], GgufError> {
        if n > self.remain() {
            return Err(GgufError::Truncated {
                offset: self.offset(),
                thing: thing.to_string(),
                need: n,
                remain: self.remain(),
            });
        }
        let start = self.at;
        self.at += n as usize; // n <= remain, which came from a usize
        Ok(&self.bytes[start..self.at])
    }

    pub(crate) fn array<const N: usize>(&mut self, thing: fmt::Arguments<'_>) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, thing)?);
        Ok(out)
    }

    pub(crate) fn u32(&mut self, thing: fmt::Arguments<'_>) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(thing)?))
    }

    pub(crate) fn u64(&mut self, thing: fmt::Arguments<'_>) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(thing)?))
    }

    /// A count of items that take at least `least` bytes each: refused above `limit`, and refused when
    /// the rest of the file cannot hold that many. Only then may a caller allocate for it.
    pub(crate) fn count(
        &mut self,
        limit: u64,
        least: u64,
        thing: fmt::Arguments<'_>,
    ) -> Result<usize, GgufError> {
        let offset = self.offset();
        let found = self.u64(thing)?;
        if found > limit {
            return Err(GgufError::Limit { offset, thing: thing.to_string(), found, limit });
        }
        let need = found.saturating_mul(least);
        if need > self.remain() {
            return Err(GgufError::Truncated {
                offset,
                thing: thing.to_string(),
                need,
                remain: self.remain(),
            });
        }
        Ok(found as usize) // bounded by the bytes that remain
    }

    /// A length-prefixed UTF-8 string of at most `limit` bytes.
    pub(crate) fn string(&mut self, limit: u64, thing: fmt::Arguments<'_>) -> Result<&'a str, GgufError> {
        let offset = self.offset();
        let length = self.count(limit, 1, format_args!("length of {thing}"))?;
        let bytes = self.take(length as u64, thing)?;
        std::str::from_utf8(bytes).map_err(|e| GgufError::Malformed {
            offset,
            thing: thing.to_string(),
            problem: format!("is not UTF-8 ({e})"),
        })
    }
}
