//! A streaming GGUF writer: the header is small, tensor data flows from callbacks straight to the output.

use super::error::Short;
use super::{ALIGNMENTS, DEFAULT_ALIGNMENT, Gguf, GgufError, TensorType, Value, ValueType};
use sprig_ground::{PathError, file};
use std::io::{self, Write};
use std::path::Path;

/// Writes a tensor's blocks when its turn comes.
type Source<'s> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 's>;

/// Collects metadata and tensor descriptions, then writes one GGUF version 3 file.
pub struct Writer<'s> {
    metadata: Vec<(String, Meta)>,
    tensors: Vec<Pending<'s>>,
    alignment: u64,
}

/// A metadata value ready to be written; made with `from` out of the usual types or a [`Value`].
#[derive(Clone, Debug)]
pub struct Meta {
    ty: ValueType,
    payload: Vec<u8>,
}

struct Pending<'s> {
    name: String,
    ty: TensorType,
    dims: Vec<u64>,
    source: Source<'s>,
}

impl<'s> Writer<'s> {
    /// An empty file.
    pub fn new() -> Self {
        Self { metadata: Vec::new(), tensors: Vec::new(), alignment: DEFAULT_ALIGNMENT }
    }

    /// Adds a metadata entry.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Meta>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Sets the alignment of tensor data, and the metadata key that says so.
    pub fn alignment(mut self, alignment: u32) -> Self {
        self.alignment = alignment.into();
        self.metadata("general.alignment", alignment)
    }

    /// Adds a tensor with `dims` in ggml order (contiguous first). `source` must write exactly the bytes
    /// that type and dimensions ask for; it is called once, while the file is written.
    pub fn tensor(
        mut self,
        name: impl Into<String>,
        ty: TensorType,
        dims: &[u64],
        source: impl FnOnce(&mut dyn Write) -> io::Result<()> + 's,
    ) -> Self {
        let (name, dims) = (name.into(), dims.to_vec());
        self.tensors.push(Pending { name, ty, dims, source: Box::new(source) });
        self
    }

    /// Adds an F32 tensor from memory.
    pub fn tensor_f32(self, name: impl Into<String>, dims: &[u64], values: &'s [f32]) -> Self {
        self.tensor(name, TensorType::F32, dims, move |out| {
            for chunk in values.chunks(1024) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|v| v.to_le_bytes()).collect();
                out.write_all(&bytes)?;
            }
            Ok(())
        })
    }

    /// Writes the file to `out`. Content that the reader would refuse is an
    /// [`Unwritable`](GgufError::Unwritable) error before the first byte.
    pub fn write_to(self, out: &mut dyn Write) -> Result<(), GgufError> {
        self.write(out, Path::new("the output"))
    }

    /// Writes the file to `path` so that a power cut leaves either the old file or the whole new one.
    pub fn write_atomic(self, path: impl AsRef<Path>) -> Result<(), GgufError> {
        let path = path.as_ref();
        file::replace(path, |out| self.write(out, path))
    }

    fn write(self, out: &mut dyn Write, path: &Path) -> Result<(), GgufError> {
        let (header, sizes) = self.header()?;
        let failed = PathError::at("write", path);
        out.write_all(&header).map_err(&failed)?;
        for (tensor, size) in self.tensors.into_iter().zip(sizes) {
            let mut counted = Counted { out, written: 0 };
            (tensor.source)(&mut counted).map_err(&failed)?;
            let written = counted.written;
            if written != size {
                return Err(GgufError::Unwritable {
                    thing: format!("tensor `{}`", Short(&tensor.name)),
                    problem: format!(
                        "its source gave {written} bytes where type and dimensions ask for {size}"
                    ),
                });
            }
            pad(out, size, self.alignment).map_err(&failed)?;
        }
        out.flush().map_err(failed)?;
        Ok(())
    }

    /// The bytes up to the first tensor's data, and the size of every tensor.
    fn header(&self) -> Result<(Vec<u8>, Vec<u64>), GgufError> {
        let mut h = b"GGUF\x03\0\0\0".to_vec();
        h.extend((self.tensors.len() as u64).to_le_bytes());
        h.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_str(&mut h, key);
            h.extend((value.ty as u32).to_le_bytes());
            h.extend(&value.payload);
        }
        let (mut offset, mut sizes) = (0u64, Vec::with_capacity(self.tensors.len()));
        for t in &self.tensors {
            put_str(&mut h, &t.name);
            h.extend((t.dims.len() as u32).to_le_bytes());
            t.dims.iter().for_each(|d| h.extend(d.to_le_bytes()));
            h.extend(t.ty.id().to_le_bytes());
            h.extend(offset.to_le_bytes());
            let size = size_of(t.ty, &t.dims);
            let end = size.and_then(|s| offset.checked_add(s)?.checked_next_multiple_of(self.alignment));
            let (Some(size), Some(end)) = (size, end) else {
                return Err(GgufError::Unwritable {
                    thing: format!("tensor `{}`", Short(&t.name)),
                    problem: format!("{} with dimensions {:?} has no size", t.ty, t.dims),
                });
            };
            sizes.push(size);
            offset = end;
        }
        let unwritable = |problem| GgufError::Unwritable { thing: "this GGUF header".into(), problem };
        let length = (h.len() as u64).checked_next_multiple_of(self.alignment);
        let Some(length) = length.filter(|_| ALIGNMENTS.contains(&self.alignment)) else {
            return Err(unwritable(format!("alignment {} is not from {ALIGNMENTS:?}", self.alignment)));
        };
        h.resize(length as usize, 0);
        // The reader is the judge of what may be written: names, limits, duplicates, types.
        let file_len = length.saturating_add(offset);
        let read_back = Gguf::parse_header(&h, file_len).map_err(|e| unwritable(e.to_string()))?;
        if read_back.alignment() != self.alignment {
            return Err(unwritable("set the alignment with `alignment`, not as a key".into()));
        }
        Ok((h, sizes))
    }
}

impl Default for Writer<'_> {
    fn default() -> Self {
        Self::new()
    }
}

struct Counted<'o> {
    out: &'o mut dyn Write,
    written: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn size_of(ty: TensorType, dims: &[u64]) -> Option<u64> {
    let (per_block, block_bytes) = ty.block()?;
    let elements = dims.iter().try_fold(1u64, |p, &d| p.checked_mul(d))?;
    (elements / per_block as u64).checked_mul(block_bytes as u64).filter(|&s| s < 1 << 62)
}

fn pad(out: &mut dyn Write, size: u64, alignment: u64) -> io::Result<()> {
    let padding = size.next_multiple_of(alignment) - size;
    io::copy(&mut io::Read::take(io::repeat(0), padding), out).map(drop)
}

fn put_str(out: &mut Vec<u8>, s: &str) {
    out.extend((s.len() as u64).to_le_bytes());
    out.extend(s.as_bytes());
}

macro_rules! meta_from_number {
    ($($number:ty => $ty:ident),*) => {$(
        impl From<$number> for Meta {
            fn from(v: $number) -> Self {
                Self { ty: ValueType::$ty, payload: v.to_le_bytes().to_vec() }
            }
        }
        impl From<&[$number]> for Meta {
            fn from(values: &[$number]) -> Self {
                let payload = values.iter().flat_map(|v| v.to_le_bytes());
                Self::array(ValueType::$ty, values.len(), payload)
            }
        }
    )*};
}
meta_from_number!(u32 => U32, i32 => I32, f32 => F32, u64 => U64, i64 => I64, f64 => F64,
    u8 => U8, i8 => I8, u16 => U16, i16 => I16);

impl Meta {
    fn array(element: ValueType, count: usize, elements: impl IntoIterator<Item = u8>) -> Self {
        let mut payload = (element as u32).to_le_bytes().to_vec();
        payload.extend((count as u64).to_le_bytes());
        payload.extend(elements);
        Self { ty: ValueType::Array, payload }
    }
}

impl From<bool> for Meta {
    fn from(v: bool) -> Self {
        Self { ty: ValueType::Bool, payload: vec![v.into()] }
    }
}

impl From<&str> for Meta {
    fn from(v: &str) -> Self {
        let mut payload = Vec::with_capacity(8 + v.len());
        put_str(&mut payload, v);
        Self { ty: ValueType::Str, payload }
    }
}

impl From<&[&str]> for Meta {
    fn from(values: &[&str]) -> Self {
        let mut elements = Vec::new();
        values.iter().for_each(|s| put_str(&mut elements, s));
        Self::array(ValueType::Str, values.len(), elements)
    }
}

impl From<&[String]> for Meta {
    fn from(values: &[String]) -> Self {
        let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
        borrowed.as_slice().into()
    }
}

impl From<Value<'_>> for Meta {
    fn from(v: Value<'_>) -> Self {
        match v {
            Value::U8(v) => v.into(),
            Value::I8(v) => v.into(),
            Value::U16(v) => v.into(),
            Value::I16(v) => v.into(),
            Value::U32(v) => v.into(),
            Value::I32(v) => v.into(),
            Value::F32(v) => v.into(),
            Value::Bool(v) => v.into(),
            Value::Str(v) => v.into(),
            Value::Array(v) => Self::array(v.element(), v.len(), v.bytes().iter().copied()),
            Value::U64(v) => v.into(),
            Value::I64(v) => v.into(),
            Value::F64(v) => v.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::blocks;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn meta() -> impl Strategy<Value = Meta> {
        prop_oneof![
            any::<u32>().prop_map(Meta::from),
            any::<i64>().prop_map(Meta::from),
            any::<u8>().prop_map(Meta::from),
            any::<bool>().prop_map(Meta::from),
            (-1e9f32..1e9).prop_map(Meta::from),
            any::<f64>().prop_map(Meta::from),
            ".{0,20}".prop_map(|s| Meta::from(s.as_str())),
            vec(".{0,5}", 0..6).prop_map(|v| Meta::from(v.as_slice())),
            vec(any::<i32>(), 0..6).prop_map(|v| Meta::from(v.as_slice())),
            vec(any::<u16>(), 0..6).prop_map(|v| Meta::from(v.as_slice())),
        ]
    }

    fn tensor() -> impl Strategy<Value = (TensorType, Vec<u64>)> {
        let ty =
            prop::sample::select(vec![TensorType::F32, TensorType::BF16, TensorType::Q4_0, TensorType::Q6_K]);
        (ty, 1u64..3, vec(1u64..4, 0..4)).prop_map(|(ty, blocks, mut rest)| {
            let per_block = ty.block().unwrap().0 as u64;
            rest.insert(0, blocks * per_block);
            rest.truncate(4);
            (ty, rest)
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in btree_map("[a-z.]{1,12}", meta(), 0..8),
            tensors in btree_map("[a-z.]{1,12}", tensor(), 0..6),
            alignment in prop::sample::select(vec![8u32, 32, 256]),
        ) {
            let mut writer = Writer::new().alignment(alignment);
            for (key, value) in &entries {
                writer = writer.metadata(key, value.clone());
            }
            for (name, (ty, dims)) in &tensors {
                writer = writer.tensor(name, *ty, dims, |out| out.write_all(&blocks(name, *ty, dims)));
            }
            let mut file = Vec::new();
            writer.write_to(&mut file).unwrap();
            let read = Gguf::parse(&file).unwrap();
            prop_assert_eq!(read.metadata().len(), entries.len() + 1);
            for (key, value) in &entries {
                let again = Meta::from(read.get(key).unwrap());
                prop_assert_eq!((again.ty, &again.payload), (value.ty, &value.payload));
            }
            prop_assert_eq!(read.tensors().len(), tensors.len());
            for (name, (ty, dims)) in &tensors {
                let t = read.require_tensor(name).unwrap();
                prop_assert_eq!((t.ty, t.dims()), (*ty, dims.as_slice()));
                prop_assert_eq!(read.data(t).unwrap(), blocks(name, *ty, dims));
            }
        }
    }

    #[test]
    fn refuses_what_the_reader_would_refuse() {
        let mut out = Vec::new();
        let mut refused = |w: Writer<'_>| w.write_to(&mut out).unwrap_err().to_string();
        assert!(refused(Writer::new().metadata("a", 1u32).metadata("a", 2u32)).contains("twice"));
        assert!(refused(Writer::new().alignment(12)).contains("alignment"));
        assert!(refused(Writer::new().alignment(0)).contains("alignment"));
        assert!(refused(Writer::new().metadata("general.alignment", 64u32)).contains("alignment"));
        assert!(refused(Writer::new().tensor_f32("t", &[u64::MAX, 9], &[])).contains("no size"));
        assert!(refused(Writer::new().tensor("t", TensorType::Q4_0, &[33], |_| Ok(()))).contains("multiple"));
        assert!(refused(Writer::new().tensor_f32("t", &[2], &[1.0])).contains("4 bytes"));
    }

    #[test]
    fn a_refused_file_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        Writer::new().metadata("a", 1u32).write_atomic(&path).unwrap();
        let error = Writer::new().tensor_f32("t", &[2], &[1.0]).write_atomic(&path).unwrap_err();
        assert!(!error.is_io(), "{error}");
        assert_eq!(Gguf::parse(&std::fs::read(&path).unwrap()).unwrap().u32("a").unwrap(), Some(1));
        assert!(Writer::new().write_atomic(dir.path().join("no/such/dir")).unwrap_err().is_io());
    }
}
