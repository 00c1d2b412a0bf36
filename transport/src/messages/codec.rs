//! Maps with integer keys in ascending order, and the frame around them.
//!
//! Everything has a stated length (no break codes), so that a reader checks each length before it allocates.

use super::names::cut;
use super::{Digest, GroupSet, MessageError, RunId, VERSION, error::Fault};
use minicbor::{Decoder, Encoder, data::Type};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the check sum that ends a frame.
const CHECK: usize = 8;
/// Bytes kept free in each message for fields that a later release adds.
pub(crate) const SPARE: usize = 64;
/// Bytes of a frame besides its fields: map header, version, check sum, and what is kept free.
pub(crate) const FRAME: usize = 3 + CHECK + SPARE;

/// A frame of the version and the fields that `write` adds.
pub(crate) fn encode(write: impl FnOnce(&mut Map<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    map(&mut out, |map| {
        map.uint(0, u64::from(VERSION));
        write(map);
    });
    let check = xxh3_64(&out).to_le_bytes();
    out.extend_from_slice(&check);
    out
}

/// Checks the frame and gives its fields to `read`.
pub(crate) fn decode<T>(
    message: &'static str,
    max: usize,
    bytes: &[u8],
    read: impl FnOnce(&mut Fields<'_, '_>) -> Result<T, Fault>,
) -> Result<T, MessageError> {
    if bytes.len() > max {
        return Err(MessageError::TooLarge { message, bytes: bytes.len(), limit: max });
    }
    let body = match bytes.split_last_chunk::<CHECK>() {
        Some((body, check)) if xxh3_64(body) == u64::from_le_bytes(*check) => body,
        _ => return Err(MessageError::Corrupt { message, bytes: bytes.len() }),
    };
    let whole = |d: &mut Decoder<'_>| {
        let value = fields(d, |f| match f.need(0, "version", uint)? {
            found if found == u64::from(VERSION) => read(f),
            found => Err(Fault::Version(found)),
        })?;
        if d.position() < body.len() {
            return Err(Fault::new(format!("{} bytes after the map", body.len() - d.position())));
        }
        Ok(value)
    };
    whole(&mut Decoder::new(body)).map_err(|fault| fault.of(message))
}

/// Writes one map. Keys must be below 24 and ascend.
pub(crate) struct Map<'a> {
    out: &'a mut Vec<u8>,
    entries: u8,
}

/// Appends a map of what `write` adds.
pub(crate) fn map(out: &mut Vec<u8>, write: impl FnOnce(&mut Map<'_>)) {
    let header = out.len();
    out.push(0);
    let mut map = Map { out, entries: 0 };
    write(&mut map);
    let entries = map.entries;
    debug_assert!(entries < 24, "a longer map has a longer header");
    out[header] = 0xa0 | entries;
}

impl Map<'_> {
    fn entry(&mut self, key: u8, value: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) {
        debug_assert!(key < 24);
        self.out.push(key);
        self.entries += 1;
        value(&mut Encoder::new(self.out));
    }

    // An encoder into a vector cannot fail: its results are dropped.

    pub(crate) fn uint(&mut self, key: u8, value: impl Into<u64>) {
        let value = value.into();
        self.entry(key, |e| drop(e.u64(value)));
    }

    pub(crate) fn bool(&mut self, key: u8, value: bool) {
        self.entry(key, |e| drop(e.bool(value)));
    }

    pub(crate) fn f32(&mut self, key: u8, value: f32) {
        self.entry(key, |e| drop(e.f32(value)));
    }

    pub(crate) fn bytes(&mut self, key: u8, value: &[u8]) {
        self.entry(key, |e| drop(e.bytes(value)));
    }

    /// A text of at most `max` bytes: the rest is cut off at a character.
    pub(crate) fn text(&mut self, key: u8, value: &str, max: usize) {
        self.entry(key, |e| drop(e.str(cut(value, max))));
    }

    /// One byte string of little-endian values: 4 bytes a value instead of 5.
    pub(crate) fn floats(&mut self, key: u8, values: &[f32]) {
        self.entry(key, |e| {
            drop(e.bytes_len(values.len() as u64 * 4));
            let out = e.writer_mut();
            out.reserve(values.len() * 4);
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        });
    }

    /// The same of whole numbers, 8 bytes each.
    pub(crate) fn integers(&mut self, key: u8, values: &[i64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(key, &bytes);
    }

    pub(crate) fn groups(&mut self, key: u8, set: GroupSet) {
        self.entry(key, |e| {
            drop(e.array(3).and_then(|e| e.u16(set.first)?.u16(set.step)?.u16(set.count)));
        });
    }

    pub(crate) fn map(&mut self, key: u8, write: impl FnOnce(&mut Map<'_>)) {
        self.entry(key, |e| map(e.writer_mut(), write));
    }

    /// An array of maps.
    pub(crate) fn maps<T>(&mut self, key: u8, items: &[T], write: impl Fn(&T, &mut Map<'_>)) {
        self.entry(key, |e| {
            drop(e.array(items.len() as u64));
            let out = e.writer_mut();
            items.iter().for_each(|item| map(out, |m| write(item, m)));
        });
    }
}

/// Reads one map in the order of its keys; keys that nobody asks for are skipped.
pub(crate) struct Fields<'d, 'b> {
    d: &'d mut Decoder<'b>,
    left: u64,
    /// A key that was read, its value not.
    pending: Option<u64>,
    last: Option<u64>,
}

/// Reads a map through `read`, then what is left of it.
pub(crate) fn fields<'b, T>(
    d: &mut Decoder<'b>,
    read: impl FnOnce(&mut Fields<'_, 'b>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let left = stated(d.map()?)?;
    let mut fields = Fields { d, left, pending: None, last: None };
    let value = read(&mut fields)?;
    fields.seek(u64::MAX)?;
    Ok(value)
}

impl<'b> Fields<'_, 'b> {
    /// The value at `key`, which must be there. Keys must be asked for in ascending order.
    pub(crate) fn need<T>(
        &mut self,
        key: u64,
        name: &str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.maybe(key, name, read)?.ok_or_else(|| Fault::new(format!("key {key} is absent")).within(name))
    }

    /// The value at `key`, if it is there.
    pub(crate) fn maybe<T>(
        &mut self,
        key: u64,
        name: &str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        if !self.seek(key)? {
            return Ok(None);
        }
        read(self.d).map(Some).map_err(|fault| fault.within(name))
    }

    /// Skips to the value at `key`; false if the map has none.
    fn seek(&mut self, key: u64) -> Result<bool, Fault> {
        loop {
            let found = match self.pending.take() {
                Some(found) => found,
                None if self.left == 0 => return Ok(false),
                None => self.next_key()?,
            };
            if found == key {
                return Ok(true);
            }
            if found > key {
                self.pending = Some(found);
                return Ok(false);
            }
            skip(self.d)?;
        }
    }

    fn next_key(&mut self) -> Result<u64, Fault> {
        let key = self.d.u64()?;
        if self.last.is_some_and(|last| key <= last) {
            return Err(Fault::new(format!("key {key} does not ascend")));
        }
        self.left -= 1;
        self.last = Some(key);
        Ok(key)
    }
}

pub(crate) fn uint(d: &mut Decoder<'_>) -> Result<u64, Fault> {
    Ok(d.u64()?)
}

pub(crate) fn u32(d: &mut Decoder<'_>) -> Result<u32, Fault> {
    Ok(d.u32()?)
}

pub(crate) fn u8(d: &mut Decoder<'_>) -> Result<u8, Fault> {
    Ok(d.u8()?)
}

pub(crate) fn bool(d: &mut Decoder<'_>) -> Result<bool, Fault> {
    Ok(d.bool()?)
}

pub(crate) fn f32(d: &mut Decoder<'_>) -> Result<f32, Fault> {
    Ok(d.f32()?)
}

/// A reader of byte strings of at most `max` bytes.
pub(crate) fn bytes<'b>(max: usize) -> impl FnOnce(&mut Decoder<'b>) -> Result<Vec<u8>, Fault> {
    move |d| Ok(within(d.bytes()?, max, "bytes")?.to_vec())
}

/// A reader of texts of at most `max` bytes.
pub(crate) fn text<'b>(max: usize) -> impl FnOnce(&mut Decoder<'b>) -> Result<String, Fault> {
    move |d| {
        let text = d.str()?;
        within(text.as_bytes(), max, "bytes of text")?;
        Ok(text.to_owned())
    }
}

/// A reader of at most `max` values in one byte string.
pub(crate) fn floats<'b>(max: usize) -> impl FnOnce(&mut Decoder<'b>) -> Result<Vec<f32>, Fault> {
    items(max, f32::from_le_bytes)
}

/// A reader of at most `max` whole numbers in one byte string.
pub(crate) fn integers<'b>(max: usize) -> impl FnOnce(&mut Decoder<'b>) -> Result<Vec<i64>, Fault> {
    items(max, i64::from_le_bytes)
}

/// A reader of at most `max` names of runs in one byte string.
pub(crate) fn runs<'b>(max: usize) -> impl FnOnce(&mut Decoder<'b>) -> Result<Vec<RunId>, Fault> {
    items(max, RunId)
}

pub(crate) fn digest(d: &mut Decoder<'_>) -> Result<Digest, Fault> {
    exact(d).map(Digest)
}

pub(crate) fn run(d: &mut Decoder<'_>) -> Result<RunId, Fault> {
    exact(d).map(RunId)
}

pub(crate) fn groups(d: &mut Decoder<'_>) -> Result<GroupSet, Fault> {
    match d.array()? {
        Some(3) => {}
        other => return Err(Fault::new(format!("an array of 3 is needed, not of {other:?}"))),
    }
    GroupSet::new(d.u16()?, d.u16()?, d.u16()?).map_err(|error| Fault::new(error.to_string()))
}

/// A reader of at most `max` maps. Memory for them is taken as they arrive, none by the stated count.
pub(crate) fn maps<'b, T>(
    max: usize,
    read: impl Fn(&mut Fields<'_, 'b>) -> Result<T, Fault>,
) -> impl FnOnce(&mut Decoder<'b>) -> Result<Vec<T>, Fault> {
    move |d| {
        let count = stated(d.array()?)?;
        if count > max as u64 {
            return Err(Fault::new(format!("{count} items; at most {max} are accepted")));
        }
        (0..count).map(|_| fields(d, &read)).collect()
    }
}

/// A reader of at most `max` items of N bytes each in one byte string.
fn items<'b, const N: usize, T>(
    max: usize,
    make: impl Fn([u8; N]) -> T,
) -> impl FnOnce(&mut Decoder<'b>) -> Result<Vec<T>, Fault> {
    move |d| {
        let (items, rest) = within(d.bytes()?, max.saturating_mul(N), "bytes of values")?.as_chunks::<N>();
        if !rest.is_empty() {
            return Err(Fault::new(format!("a byte string of whole {N}-byte values is needed")));
        }
        Ok(items.iter().map(|item| make(*item)).collect())
    }
}

fn exact<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Fault> {
    let bytes = d.bytes()?;
    bytes.try_into().map_err(|_| Fault::new(format!("{} bytes, not {N}", bytes.len())))
}

fn within<'b>(bytes: &'b [u8], max: usize, unit: &str) -> Result<&'b [u8], Fault> {
    if bytes.len() > max {
        return Err(Fault::new(format!("{} {unit}; at most {max} are accepted", bytes.len())));
    }
    Ok(bytes)
}

fn stated(length: Option<u64>) -> Result<u64, Fault> {
    length.ok_or_else(|| Fault::new("a container whose length is not stated"))
}

/// Skips one value of any kind. Nesting costs a count, not stack or heap: every item left takes a byte.
fn skip(d: &mut Decoder<'_>) -> Result<(), Fault> {
    let mut left = 1u64;
    while left > 0 {
        left -= 1;
        match d.datatype()? {
            Type::Array => left = left.saturating_add(stated(d.array()?)?),
            Type::Map => left = left.saturating_add(stated(d.map()?)?.saturating_mul(2)),
            Type::Tag => {
                d.tag()?;
                left = left.saturating_add(1);
            }
            Type::Bytes => drop(d.bytes()?),
            Type::String => drop(d.str()?),
            Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Break => {
                stated(None)?;
            }
            _ => d.skip()?,
        }
    }
    Ok(())
}
