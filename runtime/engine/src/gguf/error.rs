//! What can go wrong with a GGUF file, and what to do about it.

use super::TensorType;
use sprig_ground::PathError;
use std::fmt;
use std::path::PathBuf;

/// Why a GGUF file could not be read or written.
///
/// [`Io`](Self::Io) and [`Locked`](Self::Locked) are about the machine; every other variant says that the
/// file (or what was asked of it) is bad, see [`is_io`](Self::is_io).
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are what the messages print.
pub enum GgufError {
    #[error(transparent)]
    Io(#[from] PathError),

    #[error("{} is locked by a process that is writing it; wait until that process has finished", path.display())]
    Locked { path: PathBuf },

    #[error(
        "not a GGUF file: it begins with {} where `GGUF` belongs; check the path, or convert the model (llama.cpp's convert_hf_to_gguf.py does)",
        found.escape_ascii()
    )]
    Magic { found: [u8; 4] },

    #[error(
        "GGUF version {found} at byte 4 is not supported (2 and 3 are); convert the file with a current tool"
    )]
    Version { found: u32 },

    #[error("big-endian GGUF file (version field at byte 4); convert it to little endian")]
    BigEndian,

    #[error(
        "file ends too early: {thing} at byte {offset} needs {need} bytes and {remain} remain; fetch the file again"
    )]
    Truncated { offset: u64, thing: String, need: u64, remain: u64 },

    #[error(
        "{thing} at byte {offset} is {found}, above the limit of {limit}; the file is damaged or not for this program"
    )]
    Limit { offset: u64, thing: String, found: u64, limit: u64 },

    #[error("{thing} at byte {offset} {problem}; the file is damaged, fetch or convert it again")]
    Malformed { offset: u64, thing: String, problem: String },

    #[error("{thing} `{name}` at byte {offset} appears twice; the file is damaged, convert it again")]
    Duplicate { offset: u64, thing: &'static str, name: String },

    #[error(
        "tensors `{first}` and `{second}` overlap at data byte {offset}; the file is damaged, fetch it again"
    )]
    Overlap { first: String, second: String, offset: u64 },

    #[error(
        "tensor `{tensor}` has {ty}, which this build cannot read; requantise the model to one of F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K..Q6_K"
    )]
    UnknownType { tensor: String, ty: TensorType },

    #[error("metadata key `{key}` is missing; the model needs it, convert it again with a current tool")]
    MissingKey { key: String },

    #[error("metadata key `{key}` should be {expected} but is {actual}; convert the model again")]
    WrongType { key: String, expected: &'static str, actual: String },

    #[error("tensor `{name}` is missing; the file holds another architecture or only a part of the model")]
    MissingTensor { name: String },

    #[error("tensor `{tensor}` at byte {offset} {problem}; the file is damaged or not for this program")]
    BadTensor { tensor: String, offset: u64, problem: String },

    #[error("cannot write {thing}: {problem}")]
    Unwritable { thing: String, problem: String },
}

impl GgufError {
    /// True where the machine failed (disk, permission, lock), false where the file's content is bad.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Locked { .. })
    }
}

/// A name from the file as an error may print it: control characters escaped, 80 characters at most
/// (a hostile key may have 65,535).
pub(crate) struct Short<'a>(pub &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        let mut rest = self.0.chars();
        for c in rest.by_ref().take(SHOWN) {
            write!(f, "{}", c.escape_debug())?;
        }
        if rest.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}
