//! How messages and states are written: a byte of kind, a byte of version, then fields in little-endian, lists after their
//! length. A reader checks each length against what is there before it takes memory.

use crate::MaskingError;

/// Version of all messages and states here.
const VERSION: u8 = 1;

/// Writes fields one after another.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Begins bytes of that kind. `bytes`, all that will follow: secrets leave no copies behind in a vector that grows.
    pub(crate) fn new(kind: u8, bytes: usize) -> Self {
        let mut out = Vec::with_capacity(2 + bytes);
        out.extend_from_slice(&[kind, VERSION]);
        Self(out)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A list: its length, which limits keep below 2³², and what `write` makes of each.
    pub(crate) fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) -> &mut Self {
        self.u32(items.len() as u32);
        items.iter().for_each(|item| write(self, item));
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0
    }
}

/// Reads fields one after another.
pub(crate) struct Reader<'b> {
    what: &'static str,
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    /// Reads bytes of that kind.
    pub(crate) fn new(what: &'static str, kind: u8, bytes: &'b [u8]) -> Result<Self, MaskingError> {
        let mut reader = Self { what, rest: bytes };
        match reader.array()? {
            [found, VERSION] if found == kind => Ok(reader),
            [found, VERSION] => Err(reader.wrong(format!("kind {found}, not {kind}"))),
            [_, found] => Err(reader.wrong(format!("version {found}; this software speaks {VERSION}"))),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], MaskingError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.wrong(format!("{} bytes where {N} are needed: cut short", self.rest.len())));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, MaskingError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, MaskingError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A list of at most `max` items of `each` bytes.
    pub(crate) fn list<T>(
        &mut self,
        max: u32,
        each: usize,
        read: impl Fn(&mut Self) -> Result<T, MaskingError>,
    ) -> Result<Vec<T>, MaskingError> {
        let count = self.u32()?;
        if count > max {
            return Err(self.wrong(format!("a list of {count}; at most {max} are accepted")));
        }
        let count = count as usize;
        if count.saturating_mul(each) > self.rest.len() {
            return Err(self.wrong(format!("a list of {count} in {} bytes: cut short", self.rest.len())));
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Nothing may follow.
    pub(crate) fn end<T>(self, value: T) -> Result<T, MaskingError> {
        match self.rest.len() {
            0 => Ok(value),
            more => Err(self.wrong(format!("{more} bytes after the end"))),
        }
    }

    pub(crate) fn wrong(&self, why: String) -> MaskingError {
        MaskingError::Bytes { message: self.what, why }
    }
}
