//! Metadata values as views into the file: a 49,152-token vocabulary costs one slice, not 49,152 strings.

use super::GgufError;
use super::cursor::{Cursor, MAX_STRING};
use super::error::Short;
use std::fmt;

/// Deepest nesting of arrays the reader follows; the format knows no use for more than two.
pub const MAX_ARRAY_DEPTH: usize = 4;
/// Most elements in one metadata array; the largest vocabularies in use have about 260,000.
pub const MAX_ARRAY_LEN: u64 = 1 << 24;

/// Type of a metadata value, with the format's numeric ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Str = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Str,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(id as usize).copied()
    }

    /// Bytes of one value on disk; for strings and arrays the least they can take.
    fn least_bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Str => 8,
            Self::Array => 12,
        }
    }

    fn has_fixed_size(self) -> bool {
        !matches!(self, Self::Bool | Self::Str | Self::Array)
    }
}

/// A metadata value borrowed from the file.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(&'a str),
    Array(ArrayView<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// Reads a type id and a value of that type. `key` names the value in errors.
    pub(crate) fn read_tagged(cursor: &mut Cursor<'a>, key: &str) -> Result<Self, GgufError> {
        let ty = read_type(cursor, key)?;
        Self::read(cursor, ty, key, 0)
    }

    fn read(cursor: &mut Cursor<'a>, ty: ValueType, key: &str, depth: usize) -> Result<Self, GgufError> {
        let key = Short(key);
        let thing = format_args!("value of `{key}`");
        Ok(match ty {
            ValueType::U8 => Self::U8(u8::from_le_bytes(cursor.array(thing)?)),
            ValueType::I8 => Self::I8(i8::from_le_bytes(cursor.array(thing)?)),
            ValueType::U16 => Self::U16(u16::from_le_bytes(cursor.array(thing)?)),
            ValueType::I16 => Self::I16(i16::from_le_bytes(cursor.array(thing)?)),
            ValueType::U32 => Self::U32(u32::from_le_bytes(cursor.array(thing)?)),
            ValueType::I32 => Self::I32(i32::from_le_bytes(cursor.array(thing)?)),
            ValueType::F32 => Self::F32(f32::from_le_bytes(cursor.array(thing)?)),
            ValueType::U64 => Self::U64(u64::from_le_bytes(cursor.array(thing)?)),
            ValueType::I64 => Self::I64(i64::from_le_bytes(cursor.array(thing)?)),
            ValueType::F64 => Self::F64(f64::from_le_bytes(cursor.array(thing)?)),
            ValueType::Bool => {
                let offset = cursor.offset();
                match cursor.array::<1>(thing)?[0] {
                    0 => Self::Bool(false),
                    1 => Self::Bool(true),
                    other => {
                        let problem = format!("is {other} where a boolean is 0 or 1");
                        return Err(GgufError::Malformed { offset, thing: thing.to_string(), problem });
                    }
                }
            }
            ValueType::Str => Self::Str(cursor.string(MAX_STRING, thing)?),
            ValueType::Array => Self::Array(ArrayView::read(cursor, key.0, depth + 1)?),
        })
    }

    /// The type of this value.
    pub fn ty(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::Str(_) => ValueType::Str,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// Any integer type whose value is not negative: converters disagree on the width of counts.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => v.try_into().ok(),
            Self::I16(v) => v.try_into().ok(),
            Self::I32(v) => v.try_into().ok(),
            Self::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(v) => write!(f, "u8 {v}"),
            Self::I8(v) => write!(f, "i8 {v}"),
            Self::U16(v) => write!(f, "u16 {v}"),
            Self::I16(v) => write!(f, "i16 {v}"),
            Self::U32(v) => write!(f, "u32 {v}"),
            Self::I32(v) => write!(f, "i32 {v}"),
            Self::F32(v) => write!(f, "f32 {v}"),
            Self::Bool(v) => write!(f, "bool {v}"),
            Self::Str(v) => write!(f, "string \"{}\"", Short(v)),
            Self::Array(v) => write!(f, "array of {} {:?}", v.count, v.element),
            Self::U64(v) => write!(f, "u64 {v}"),
            Self::I64(v) => write!(f, "i64 {v}"),
            Self::F64(v) => write!(f, "f64 {v}"),
        }
    }
}

/// A metadata array, decoded element by element while iterating; it was checked whole when the header
/// was parsed.
#[derive(Clone, Copy, PartialEq)]
pub struct ArrayView<'a> {
    element: ValueType,
    count: usize,
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> ArrayView<'a> {
    fn read(cursor: &mut Cursor<'a>, key: &str, depth: usize) -> Result<Self, GgufError> {
        let (short, limit) = (Short(key), MAX_ARRAY_DEPTH as u64);
        if depth > MAX_ARRAY_DEPTH {
            let (thing, found) = (format!("array nesting of `{short}`"), depth as u64);
            return Err(GgufError::Limit { offset: cursor.offset(), thing, found, limit });
        }
        let element = read_type(cursor, key)?;
        let least = element.least_bytes();
        let count = cursor.count(MAX_ARRAY_LEN, least, format_args!("element count of `{short}`"))?;
        let mut end = *cursor;
        if element.has_fixed_size() {
            end.take(count as u64 * least, format_args!("elements of `{short}`"))?;
        } else {
            for _ in 0..count {
                Value::read(&mut end, element, key, depth)?;
            }
        }
        let length = end.offset() - cursor.offset();
        let bytes = cursor.take(length, format_args!("elements of `{short}`"))?;
        Ok(Self { element, count, bytes, depth })
    }

    /// Type of every element.
    pub fn element(&self) -> ValueType {
        self.element
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True for an array without elements.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements as they lie in the file.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements as values.
    pub fn values(&self) -> Elements<'a, Value<'a>> {
        self.elements(Some)
    }

    /// The elements if they are strings.
    pub fn strs(&self) -> Option<Elements<'a, &'a str>> {
        self.typed(ValueType::Str, |v| if let Value::Str(v) = v { Some(v) } else { None })
    }

    /// The elements if they are i32.
    pub fn i32s(&self) -> Option<Elements<'a, i32>> {
        self.typed(ValueType::I32, |v| if let Value::I32(v) = v { Some(v) } else { None })
    }

    /// The elements if they are f32.
    pub fn f32s(&self) -> Option<Elements<'a, f32>> {
        self.typed(ValueType::F32, |v| if let Value::F32(v) = v { Some(v) } else { None })
    }

    fn typed<T>(&self, ty: ValueType, convert: fn(Value<'a>) -> Option<T>) -> Option<Elements<'a, T>> {
        (self.element == ty).then(|| self.elements(convert))
    }

    fn elements<T>(&self, convert: fn(Value<'a>) -> Option<T>) -> Elements<'a, T> {
        Elements {
            cursor: Cursor::new(self.bytes, 0),
            element: self.element,
            depth: self.depth,
            left: self.count,
            convert,
        }
    }
}

impl fmt::Debug for ArrayView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}; {}]", self.element, self.count)
    }
}

/// Iterator over the elements of an [`ArrayView`].
#[derive(Clone)]
pub struct Elements<'a, T> {
    cursor: Cursor<'a>,
    element: ValueType,
    depth: usize,
    left: usize,
    convert: fn(Value<'a>) -> Option<T>,
}

impl<T> Iterator for Elements<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        // The bytes were read with the same function when the header was parsed, so this cannot fail.
        Value::read(&mut self.cursor, self.element, "", self.depth).ok().and_then(self.convert)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Elements<'_, T> {}

impl<T> fmt::Debug for Elements<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elements([{:?}; {}])", self.element, self.left)
    }
}

fn read_type(cursor: &mut Cursor<'_>, key: &str) -> Result<ValueType, GgufError> {
    let (offset, key) = (cursor.offset(), Short(key));
    let id = cursor.u32(format_args!("value type of `{key}`"))?;
    ValueType::from_id(id).ok_or_else(|| GgufError::Malformed {
        offset,
        thing: format!("value type of `{key}`"),
        problem: format!("is {id}; the format knows 0 to 12"),
    })
}
