//! Reads everything a GGUF file offers; shared by the fuzz target and the ordinary tests.

use sprig_engine::gguf::{ArrayView, Gguf, GgufError, Value};

/// Parses `bytes`, visits every metadata element and the first and last byte of every tensor.
/// Returns the number of elements and tensors seen.
pub fn walk(bytes: &[u8]) -> Result<usize, GgufError> {
    let file = Gguf::parse(bytes)?;
    let mut seen = 0;
    for (key, value) in file.metadata() {
        // NaN is not equal to itself, so the printed forms are compared.
        assert_eq!(file.get(key).map(|v| v.to_string()), Some(value.to_string()));
        let _ = (file.u32(key), file.f32(key), file.str(key), file.array_str(key));
        seen += if let Value::Array(a) = value { elements(&a) } else { 1 };
    }
    for tensor in file.tensors() {
        assert_eq!(file.require_tensor(tensor.name)?.described_at(), tensor.described_at());
        let Ok(data) = file.data(tensor) else { continue };
        assert_eq!(Some(data.len() as u64), tensor.bytes());
        std::hint::black_box((data.first(), data.last()));
        seen += 1;
    }
    Ok(seen)
}

fn elements(array: &ArrayView<'_>) -> usize {
    let mut seen = 0;
    for value in array.values() {
        seen += if let Value::Array(inner) = value { elements(&inner) } else { 1 };
    }
    assert!(array.element() == sprig_engine::gguf::ValueType::Array || seen == array.len());
    seen
}
