//! Blocks that see a window of the text, and those that see all of it.

use super::family::Pattern;
use super::{Family, ModelError};
use crate::gguf::Gguf;

/// Of every so many blocks all but the last see a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Positions that one sees, itself among them.
    pub positions: usize,
    /// Every so many blocks one sees everything.
    pub every: usize,
    /// Base of the rotary angles of the others.
    pub rope_base: f32,
}

impl Window {
    /// The window that the metadata of `gguf` name, for a family that may have one.
    pub(super) fn read(gguf: &Gguf<'_>, family: &Family) -> Result<Option<Self>, ModelError> {
        let key = |name: &str| format!("{}.{name}", family.architecture);
        let Some(Pattern { every, rope_base }) = family.windows else { return Ok(None) };
        let whole = |name: &str| gguf.u32(&key(name)).map(|n| n.map(|n| n as usize));
        let Some(positions) = whole("attention.sliding_window")?.filter(|n| *n > 0) else { return Ok(None) };
        let every = whole("attention.sliding_window_pattern")?.unwrap_or(every);
        if every == 0 {
            return Err(ModelError::Metadata {
                key: key("attention.sliding_window_pattern"),
                found: "0".to_owned(),
                expected: "1 or more".to_owned(),
            });
        }
        let rope_base = gguf.f32(&key("rope.freq_base_swa"))?.unwrap_or(rope_base);
        Ok(Some(Self { positions, every, rope_base }))
    }

    /// Whether block `b` sees a window.
    pub(super) fn is_of(&self, b: usize) -> bool {
        b % self.every < self.every - 1
    }
}
