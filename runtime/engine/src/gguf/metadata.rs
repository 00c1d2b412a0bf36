//! Typed access to metadata: absent keys are `None`, keys of another type are errors.

use super::error::Short;
use super::{Elements, Gguf, GgufError, Value};

impl<'a> Gguf<'a> {
    /// `general.architecture`, such as `llama`.
    pub fn architecture(&self) -> Result<&'a str, GgufError> {
        self.require_str("general.architecture")
    }

    /// An unsigned integer of any width that fits 32 bits.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.typed(key, "an integer from 0 to 2^32-1", |v| v.as_u64()?.try_into().ok())
    }

    /// A float; f64 is rounded to f32.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.typed(key, "a float", |v| match v {
            Value::F32(v) => Some(v),
            Value::F64(v) => Some(v as f32),
            _ => None,
        })
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "a boolean", |v| if let Value::Bool(v) = v { Some(v) } else { None })
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<Option<&'a str>, GgufError> {
        self.typed(key, "a string", |v| if let Value::Str(v) = v { Some(v) } else { None })
    }

    /// An array of strings.
    pub fn array_str(&self, key: &str) -> Result<Option<Elements<'a, &'a str>>, GgufError> {
        self.typed(key, "an array of strings", |v| if let Value::Array(a) = v { a.strs() } else { None })
    }

    /// An array of i32.
    pub fn array_i32(&self, key: &str) -> Result<Option<Elements<'a, i32>>, GgufError> {
        self.typed(key, "an array of i32", |v| if let Value::Array(a) = v { a.i32s() } else { None })
    }

    /// An array of f32.
    pub fn array_f32(&self, key: &str) -> Result<Option<Elements<'a, f32>>, GgufError> {
        self.typed(key, "an array of f32", |v| if let Value::Array(a) = v { a.f32s() } else { None })
    }

    /// As [`u32`](Self::u32), with an error where the key is absent.
    pub fn require_u32(&self, key: &str) -> Result<u32, GgufError> {
        require(key, self.u32(key)?)
    }

    /// As [`f32`](Self::f32), with an error where the key is absent.
    pub fn require_f32(&self, key: &str) -> Result<f32, GgufError> {
        require(key, self.f32(key)?)
    }

    /// As [`str`](Self::str), with an error where the key is absent.
    pub fn require_str(&self, key: &str) -> Result<&'a str, GgufError> {
        require(key, self.str(key)?)
    }

    /// As [`array_str`](Self::array_str), with an error where the key is absent.
    pub fn require_array_str(&self, key: &str) -> Result<Elements<'a, &'a str>, GgufError> {
        require(key, self.array_str(key)?)
    }

    /// As [`array_f32`](Self::array_f32), with an error where the key is absent.
    pub fn require_array_f32(&self, key: &str) -> Result<Elements<'a, f32>, GgufError> {
        require(key, self.array_f32(key)?)
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong =
            || GgufError::WrongType { key: Short(key).to_string(), expected, actual: value.to_string() };
        convert(value).ok_or_else(wrong).map(Some)
    }
}

fn require<T>(key: &str, value: Option<T>) -> Result<T, GgufError> {
    value.ok_or_else(|| GgufError::MissingKey { key: Short(key).to_string() })
}
