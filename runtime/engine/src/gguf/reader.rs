//! The header of a GGUF file, parsed without copying a string or trusting a number.

use super::cursor::Cursor;
use super::error::Short;
use super::tensor::LEAST_TENSOR_INFO;
use super::{GgufError, TensorInfo, Value};

/// Most metadata keys; models in use have under a hundred.
pub const MAX_KEYS: u64 = 1 << 16;
/// Longest metadata key in bytes, as the format says.
pub const MAX_KEY: u64 = 65_535;
/// Most tensors; a 126-block model has about 1,100, an adapter on all of it about 1,800.
pub const MAX_TENSORS: u64 = 1 << 16;
/// Alignment of tensor data where the metadata names none.
pub const DEFAULT_ALIGNMENT: u64 = 32;
/// Smallest and largest alignment that `general.alignment` may name.
pub const ALIGNMENTS: std::ops::RangeInclusive<u64> = 8..=65_536;

/// Least bytes of a metadata entry: key length, value type, a one-byte value.
const LEAST_ENTRY: u64 = 8 + 4 + 1;

/// A parsed header over the bytes of the file (usually a [`Mapped`](super::Mapped) one).
///
/// It owns one small record per key and per tensor; all strings and arrays stay in the file.
pub struct Gguf<'a> {
    bytes: &'a [u8],
    version: u32,
    alignment: u64,
    data_start: u64,
    entries: Vec<(&'a str, Value<'a>)>,
    tensors: Vec<TensorInfo<'a>>,
    /// Indices of `entries` and `tensors` sorted by name.
    entry_order: Vec<u32>,
    tensor_order: Vec<u32>,
}

impl<'a> Gguf<'a> {
    /// Parses and checks the whole header; touches no tensor data.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GgufError> {
        Self::parse_header(bytes, bytes.len() as u64)
    }

    /// As [`parse`](Self::parse) where `bytes` hold the header, but not all data, of a file of `file_len` bytes.
    pub(crate) fn parse_header(bytes: &'a [u8], file_len: u64) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(bytes, 0);
        let version = read_version(&mut cursor)?;
        let n_tensors = cursor.count(MAX_TENSORS, LEAST_TENSOR_INFO, format_args!("tensor count"))?;
        let n_entries = cursor.count(MAX_KEYS, LEAST_ENTRY, format_args!("metadata count"))?;

        let mut entries = Vec::with_capacity(n_entries);
        let mut entry_starts = Vec::with_capacity(n_entries);
        for _ in 0..n_entries {
            entry_starts.push(cursor.offset());
            let key = cursor.string(MAX_KEY, format_args!("metadata key"))?;
            entries.push((key, Value::read_tagged(&mut cursor, key)?));
        }
        let entry_order = sorted_unique(entries.len(), "metadata key", |i| (entries[i].0, entry_starts[i]))?;
        let alignment = read_alignment(&entries, &entry_starts)?;

        let mut tensors = Vec::with_capacity(n_tensors);
        for _ in 0..n_tensors {
            tensors.push(TensorInfo::read(&mut cursor, alignment)?);
        }
        let tensor_order =
            sorted_unique(tensors.len(), "tensor", |i| (tensors[i].name, tensors[i].described_at))?;
        let data_start = cursor.offset().next_multiple_of(alignment);
        check_layout(&tensors, file_len.saturating_sub(data_start))?;
        Ok(Self { bytes, version, alignment, data_start, entries, tensors, entry_order, tensor_order })
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Format version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Alignment of tensor data in bytes.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Byte of the file at which tensor data begins.
    pub fn data_start(&self) -> u64 {
        self.data_start
    }

    /// Keys and values in file order.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> + '_ {
        self.entries.iter().copied()
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let name_at = |&i: &u32| self.entries[i as usize].0;
        let found = self.entry_order.binary_search_by(|i| name_at(i).cmp(key)).ok()?;
        Some(self.entries[self.entry_order[found] as usize].1)
    }

    /// Tensors in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo<'a>> {
        self.tensors.iter()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo<'a>> {
        let name_at = |&i: &u32| self.tensors[i as usize].name;
        let found = self.tensor_order.binary_search_by(|i| name_at(i).cmp(name)).ok()?;
        Some(&self.tensors[self.tensor_order[found] as usize])
    }

    /// The tensor of that name, or an error that names it.
    pub fn require_tensor(&self, name: &str) -> Result<&TensorInfo<'a>, GgufError> {
        self.tensor(name).ok_or_else(|| GgufError::MissingTensor { name: name.to_owned() })
    }

    /// The blocks of a tensor; refused for a type this build does not know.
    pub fn data(&self, tensor: &TensorInfo<'_>) -> Result<&'a [u8], GgufError> {
        let range = self.data_range(tensor)?;
        Ok(&self.bytes[range])
    }

    /// Where the blocks of a tensor lie in the file, for [`Mapped::release`](super::Mapped::release).
    pub fn data_range(&self, tensor: &TensorInfo<'_>) -> Result<std::ops::Range<usize>, GgufError> {
        let size = tensor.bytes().ok_or_else(|| GgufError::UnknownType {
            tensor: Short(tensor.name).to_string(),
            ty: tensor.ty,
        })?;
        // `tensor` may come from another file, so its end is checked here again.
        let start = self.data_start.checked_add(tensor.offset);
        let end = start.and_then(|s| s.checked_add(size)).filter(|&e| e <= self.bytes.len() as u64);
        match (start, end) {
            (Some(start), Some(end)) => Ok(start as usize..end as usize),
            _ => Err(outside(tensor, size, (self.bytes.len() as u64).saturating_sub(self.data_start))),
        }
    }
}

impl std::fmt::Debug for Gguf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gguf(v{}, {} keys, {} tensors)", self.version, self.entries.len(), self.tensors.len())
    }
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    let found = cursor.array(format_args!("magic"))?;
    if &found != b"GGUF" {
        return Err(GgufError::Magic { found });
    }
    match cursor.u32(format_args!("version"))? {
        found @ (2 | 3) => Ok(found),
        swapped if matches!(swapped.swap_bytes(), 1..=99) => Err(GgufError::BigEndian),
        found => Err(GgufError::Version { found }),
    }
}

fn read_alignment(entries: &[(&str, Value<'_>)], starts: &[u64]) -> Result<u64, GgufError> {
    let Some(i) = entries.iter().position(|(key, _)| *key == "general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let value = entries[i].1;
    match value.as_u64() {
        Some(a) if a.is_power_of_two() && ALIGNMENTS.contains(&a) => Ok(a),
        _ => Err(GgufError::Malformed {
            offset: starts[i],
            thing: "general.alignment".into(),
            problem: format!(
                "is {value}, not a power of two from {} to {}",
                ALIGNMENTS.start(),
                ALIGNMENTS.end()
            ),
        }),
    }
}

/// Indices `0..n` in the order of their names; `at(i)` gives name and file offset.
fn sorted_unique<'n>(
    n: usize,
    thing: &'static str,
    at: impl Fn(usize) -> (&'n str, u64),
) -> Result<Vec<u32>, GgufError> {
    let mut order: Vec<u32> = (0..n as u32).collect(); // n is at most 2^16
    order.sort_unstable_by_key(|&i| at(i as usize));
    for pair in order.windows(2) {
        let ((name, _), (next, offset)) = (at(pair[0] as usize), at(pair[1] as usize));
        if name == next {
            return Err(GgufError::Duplicate { offset, thing, name: Short(name).to_string() });
        }
    }
    Ok(order)
}

/// Every tensor lies inside the data section and no two share a byte. A tensor of unknown type has an
/// unknown size, so only its first byte is checked.
fn check_layout(tensors: &[TensorInfo<'_>], available: u64) -> Result<(), GgufError> {
    let mut by_offset: Vec<&TensorInfo<'_>> = tensors.iter().collect();
    by_offset.sort_unstable_by_key(|t| t.offset);
    let size = |t: &TensorInfo<'_>| t.bytes().unwrap_or(1);
    for t in &by_offset {
        if t.offset.checked_add(size(t)).is_none_or(|end| end > available) {
            return Err(outside(t, size(t), available));
        }
    }
    for pair in by_offset.windows(2) {
        if pair[0].offset + size(pair[0]) > pair[1].offset {
            return Err(GgufError::Overlap {
                first: Short(pair[0].name).to_string(),
                second: Short(pair[1].name).to_string(),
                offset: pair[1].offset,
            });
        }
    }
    Ok(())
}

fn outside(t: &TensorInfo<'_>, size: u64, available: u64) -> GgufError {
    GgufError::BadTensor {
        tensor: Short(t.name).to_string(),
        offset: t.described_at,
        problem: format!(
            "needs {size} bytes at data byte {} where the file has {available} (is it cut short?)",
            t.offset
        ),
    }
}
