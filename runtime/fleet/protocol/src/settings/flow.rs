//! The `[train.flow]` table: each device has a local adapter beside the fleet's, and routers choose for each text.

use serde::{Deserialize, Serialize};
use sprig_engine::adapter::{Routing, Sees};
use sprig_engine::dual::Pool;
use sprig_learn::data::Task;
use sprig_learn::flow::{GlobalLoss, RouterBy};
use sprig_learn::recipe::{NotNegative, Positive, Whole};

/// How far a step moves a router's logit: some ten steps decide.
const ROUTER: f32 = 0.2;

/// Flow instead of one adapter for all (algorithm.md 8). The keys of `[train]` say what is asked, what the adapters are and
/// how they step; rounds are epochs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flow {
    /// Epochs of a device's local adapter over one half of its examples.
    pub local_epochs: Whole<1, 1000>,
    /// Epochs of router and fleet's adapter over the other half.
    pub shared_epochs: Whole<1, 1000>,
    /// Weight of the regulariser that holds routers to the fleet's adapter.
    pub gamma: NotNegative,
    /// Which loss the fleet's adapter learns by: that of both adapters, its own, or both in turn.
    pub global_loss: GlobalLoss,
    /// How routers learn: backwards, or forwards by all logits at once, by one at a time, or by their weights.
    pub router: RouterBy,
    /// What routers look at: the input of their block, the text's embeddings (one for all blocks), or nothing.
    pub sees: Sees,
    /// Of which tokens: those of the prompt, or all so far; if absent the first for labels and choices, the second for lm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// Whether derivatives go through what routers look at.
    pub follows: bool,
    /// Learning rate of the local adapter; that of `[train]` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_lr: Option<Positive>,
    /// How far a step moves a router's logit, about.
    pub router_lr: Positive,
}

impl Flow {
    /// How routers decide about records of `task`.
    pub fn routing(&self, task: Task) -> Routing {
        let usual = if task == Task::Lm { Pool::Prefix } else { Pool::Prompt };
        Routing { sees: self.sees, pool: self.pool.unwrap_or(usual), follows: self.follows }
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            local_epochs: Whole::of::<1>(),
            shared_epochs: Whole::of::<1>(),
            gamma: NotNegative::of(0.001),
            global_loss: GlobalLoss::default(),
            router: RouterBy::default(),
            sees: Sees::Block,
            pool: None,
            follows: true,
            local_lr: None,
            router_lr: Positive::of(ROUTER),
        }
    }
}
