//! How two adapters of the same layers are chosen between, and which of their numbers train (Flow, arXiv 2211.15281).

use crate::dual::Pool;
use crate::model::Geometry;
use sprig_ground::names;

/// What routers look at, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// What they look at.
    pub sees: Sees,
    /// Of which tokens.
    pub pool: Pool,
    /// Whether derivatives go through what they look at, where that depends on adapters below.
    pub follows: bool,
}

/// What routers look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Each adapted block has a router, which looks at the input of its block.
    Block,
    /// One router for all blocks, which looks at the tokens' embeddings.
    Text,
    /// Each adapted block has a share of its own, whatever the text.
    Nothing,
}

names!(Sees, "sight of a router", [Block = "block", Text = "text", Nothing = "nothing"]);

/// Which of two adapters answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Policy {
    /// The global one; an adapter that is one alone has no other policy.
    #[default]
    Global,
    /// The local one.
    Local,
    /// Both, the global one with this share whatever the text.
    Fixed(f32),
    /// Both, with the shares that routers give them.
    Soft,
    /// In each block the one with the larger share, the global one if neither has.
    Hard,
}

/// What of two adapters trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// The global adapter; all of an adapter that is one alone.
    #[default]
    Global,
    /// The local one.
    Local,
    /// The routers' weights.
    Router,
    /// The routers' logits, one a routed block: they are perturbed, and have no values.
    Logits,
}

impl Routing {
    /// Numbers that a router looks at, on a model of shape `g`.
    pub fn width(self, g: &Geometry) -> usize {
        match self.sees {
            Sees::Block | Sees::Text => g.width,
            Sees::Nothing => 0,
        }
    }

    /// Routers of an adapter of `blocks` blocks.
    pub fn routers(self, blocks: usize) -> usize {
        if self.sees == Sees::Text { blocks.min(1) } else { blocks }
    }
}
