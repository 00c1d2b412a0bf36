//! Which events are ones to look at.

use crate::error::CoordinatorError;
use crate::notice::Notice;

/// What somebody should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A round was over without an update of any device.
    Abandoned,
    /// A device is selected no more.
    Quarantined,
    /// What a round made was worse on the held-out data, and was taken back.
    Reverted,
    /// Another run was under way when this coordinator came.
    TakenOver,
    /// Another coordinator has come.
    Rival,
    /// A certificate that the coordinator needs ends soon.
    Expiring,
    /// A device's certificate ends, and nobody signs another.
    NotRenewed,
    /// The ledger is a copy that was put back.
    Restored,
    /// Another coordinator leads the fleet, and this one has ended.
    StoodDown,
    /// The coordinator has ended.
    Failed,
}

impl Kind {
    /// As scripts know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Abandoned => "abandoned",
            Kind::Quarantined => "quarantined",
            Kind::Reverted => "reverted",
            Kind::TakenOver => "taken-over",
            Kind::Rival => "rival",
            Kind::Expiring => "expiring",
            Kind::NotRenewed => "not-renewed",
            Kind::Restored => "restored",
            Kind::StoodDown => "stood-down",
            Kind::Failed => "failed",
        }
    }

    /// What a notice is, if it is one to look at, and whom it is about.
    pub(super) fn of(notice: &Notice) -> Option<(Self, &str)> {
        match notice {
            Notice::Expiring { path, .. } => Some((Kind::Expiring, path.to_str().unwrap_or_default())),
            Notice::Closed(row) if row.state == "abandoned" => Some((Kind::Abandoned, "")),
            Notice::Quarantined { device, .. } => Some((Kind::Quarantined, device)),
            Notice::Reverted { .. } => Some((Kind::Reverted, "")),
            Notice::TakenOver { run } => Some((Kind::TakenOver, run)),
            Notice::Rival { run } => Some((Kind::Rival, run)),
            Notice::NotRenewed { device, .. } => Some((Kind::NotRenewed, device)),
            _ => None,
        }
    }

    /// What it is that a coordinator ends so.
    pub(super) fn of_end(error: &CoordinatorError) -> Self {
        match error {
            CoordinatorError::Restored { .. } => Kind::Restored,
            CoordinatorError::StoodDown { .. } | CoordinatorError::Second { .. } => Kind::StoodDown,
            _ => Kind::Failed,
        }
    }
}
