//! The adapter of one linear layer, and where the directions of its tensors and the masks of its inputs come from.

/// Names one trainable tensor: its place in the canonical order (block, module, A then B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub u32);

/// Where directions come from. They are a function, never stored.
pub trait Directions: Sync {
    /// Writes the direction of `tensor` for `tangent` k and `example` (its index in the whole batch), row-major.
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]);
}

/// Where a mask applies: all channels of one layer's input at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Number of the layer ([`Site::layer`]).
    pub layer: u32,
    /// Place of the example in the pass.
    pub example: usize,
    /// Place of the token in the example.
    pub token: usize,
}

/// Which inputs of adapters are left out. A function, as directions are.
pub trait Mask: Sync {
    /// Multiplies the mask of `spot` into each of `rows`, which stand one behind another, of `width` elements each.
    fn apply(&self, spot: Spot, width: usize, rows: &mut [f32]);
}

/// Where gradients of trainable tensors are summed up.
pub trait Gradient {
    /// The sums of `tensor`, row-major; `None` where they are not wanted.
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]>;
}

/// One low-rank factor; frozen when `tensor` is `None`.
#[derive(Clone, Copy)]
pub struct Factor<'a> {
    /// Row-major values.
    pub values: &'a [f32],
    /// Its name, when it is perturbed.
    pub tensor: Option<TensorId>,
}

/// The adapter of one linear layer.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Number of the layer in the model, 7·block + module: what its dropout masks are drawn by.
    pub layer: u32,
    /// r.
    pub rank: usize,
    /// s = alpha / r.
    pub scale: f32,
    /// D, rank × in.
    pub down: Factor<'a>,
    /// C, rank × rank.
    pub core: Option<Factor<'a>>,
    /// U, out × rank.
    pub up: Factor<'a>,
}

impl Site<'_> {
    /// Whether any factor is perturbed.
    pub fn trains(&self) -> bool {
        self.down.tensor.is_some()
            || self.up.tensor.is_some()
            || self.core.is_some_and(|c| c.tensor.is_some())
    }
}
