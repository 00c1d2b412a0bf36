//! The linear layers of a block, and their names in a file.

use super::Geometry;
use sprig_ground::names;

/// The linear layers of a block, in canonical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Module {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

names!(Module, "linear layer", [Q = "q", K = "k", V = "v", O = "o", Gate = "gate", Up = "up", Down = "down"]);

impl Module {
    /// Name in GGUF: `blk.N.<this>.weight`.
    pub fn gguf_name(self) -> &'static str {
        ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"][self as usize]
    }

    /// Full name of the base tensor.
    pub fn tensor_name(self, block: usize) -> String {
        format!("blk.{block}.{}.weight", self.gguf_name())
    }

    /// Block and module of a base tensor; the inverse of [`tensor_name`](Self::tensor_name).
    pub fn of_tensor(name: &str) -> Option<(usize, Self)> {
        let (block, rest) = block_of(name)?;
        let module = Self::ALL.into_iter().find(|m| rest.strip_suffix(".weight") == Some(m.gguf_name()))?;
        Some((block, module))
    }

    /// (outputs, inputs).
    pub fn shape(self, g: &Geometry) -> (usize, usize) {
        match self {
            Self::Q => (g.q_width(), g.width),
            Self::K | Self::V => (g.kv_width(), g.width),
            Self::O => (g.width, g.q_width()),
            Self::Gate | Self::Up => (g.ffn, g.width),
            Self::Down => (g.width, g.ffn),
        }
    }
}

/// The block of a tensor `blk.N.<rest>`, and that rest.
pub(super) fn block_of(name: &str) -> Option<(usize, &str)> {
    let (digits, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let block = digits.parse::<usize>().ok()?;
    // "+1" and "01" parse too, but are other names.
    (block.to_string() == digits).then_some((block, rest))
}
