//! Spry: a fleet that finetunes one adapter by forward-mode gradients, each device a few of its groups. Assignment, one
//! device's round, and the server's step, which every party replays bit for bit from scalars (specification, sections
//! 3, 4 and 6). No network and no clock: a round is a function of its inputs.

mod assign;
mod body;
mod integers;
mod layout;
mod local;
mod path;
mod robust;
mod rules;
mod server;
mod server_rule;

pub use assign::{Dealing, MAX_GROUPS, Member, Share, deal, deal_to_teams};
pub use body::Body;
pub use integers::integers;
pub use layout::{Group, Layout, Part};
pub use local::{Assignment, LocalRound, LocalUpdate};
pub use robust::{CLIP, Robust, Team};
pub use rules::{Exchange, Mode, Rules, Seeds, Terms, paper_adapter};
pub use server::{Server, Step};
pub use server_rule::{ServerOptimiser, ServerRule};
