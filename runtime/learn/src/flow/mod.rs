//! Flow: each text is answered, block by block, by a global adapter, a local one, or a share of both (arXiv 2211.15281;
//! docs/algorithm.md, 8). A device keeps no state from round to round: its local adapter begins at the global one, is
//! trained on one half of the device's examples, and stays where it is while router and global adapter learn from the other
//! half.

pub mod closed;
pub mod fleet;
mod gates;
mod halves;
mod round;
mod rules;
mod stepper;

pub use gates::{Gates, Patterns};
pub use halves::halves;
pub use round::{FlowRound, FlowTask, Phase};
pub use rules::{Descent, FlowRules, GlobalLoss, RouterBy, RouterEstimator};
pub use stepper::{Batch, Stepper};
