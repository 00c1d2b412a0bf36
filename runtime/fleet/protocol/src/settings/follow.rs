//! Who follows a fleet's rounds.

use sprig_ground::names;

/// Who follows a fleet's rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// Every device, round by round: each has the adapter all the time, for some hundred bytes a round.
    #[default]
    All,
    /// Those that have a task: they fetch the adapter then, and all others hear nothing of a round.
    Selected,
}

names!(Follow, "way to follow", [All = "all", Selected = "selected"]);

impl Follow {
    /// Whether a device acts on its tasks alone.
    pub fn is_by_task(self) -> bool {
        self == Self::Selected
    }
}
