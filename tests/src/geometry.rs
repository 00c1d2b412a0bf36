//! Sizes of the oracle's model.

/// The linear layers of a block that an adapter may change.
pub const MODULES: [&str; 7] = ["q", "k", "v", "o", "gate", "up", "down"];

/// Sizes of a Llama model.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Geometry {
    pub blocks: usize,
    pub width: usize,
    pub ffn: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
    pub vocabulary: usize,
    pub rope_base: f64,
    pub epsilon: f64,
}

impl Geometry {
    /// (inputs, outputs) of a layer in [`MODULES`].
    pub fn shape(&self, module: &str) -> (usize, usize) {
        let (q, kv) = (self.heads * self.head_width, self.kv_heads * self.head_width);
        match module {
            "q" => (self.width, q),
            "k" | "v" => (self.width, kv),
            "o" => (q, self.width),
            "gate" | "up" => (self.width, self.ffn),
            "down" => (self.ffn, self.width),
            other => panic!("no layer is called {other}: one of {MODULES:?}"),
        }
    }
}
