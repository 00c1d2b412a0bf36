//! GGUF files: the mapped reader, the writer, and the tensor types.

mod cursor;
mod error;
mod mapped;
mod metadata;
mod quantise;
mod random;
mod reader;
mod synthetic;
mod synthetic_family;
mod synthetic_pieces;
mod synthetic_vocabulary;
mod tensor;
#[cfg(test)]
mod testing;
mod types;
mod value;
mod writer;

pub use cursor::MAX_STRING;
pub use error::GgufError;
pub(crate) use error::Short;
pub use mapped::Mapped;
pub(crate) use mapped::READ;
pub use quantise::{MADE_TYPES, quantise};
pub use reader::{ALIGNMENTS, DEFAULT_ALIGNMENT, Gguf, MAX_KEY, MAX_KEYS, MAX_TENSORS};
pub use synthetic::Synthetic;
pub use synthetic_family::SyntheticFamily;
pub use tensor::{MAX_DIMS, MAX_TENSOR_NAME, TensorInfo};
pub use types::TensorType;
pub use value::{ArrayView, Elements, MAX_ARRAY_DEPTH, MAX_ARRAY_LEN, Value, ValueType};
pub use writer::{Meta, Writer};
