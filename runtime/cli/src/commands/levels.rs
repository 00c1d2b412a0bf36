//! How bad what happens in a fleet is, and where it comes from.

use crate::log::{Level, Target};
use sprig_agent::AgentEvent;
#[cfg(feature = "coordinator")]
use sprig_coordinator::Notice;
use sprig_serve::mqtt::Happened;

/// Of what happens to a device.
pub fn of_agent(event: &AgentEvent) -> (Level, Target) {
    use AgentEvent as E;
    let level = match event {
        E::Connected => return (Level::Info, Target::Link),
        E::Renewed { .. } => return (Level::Info, Target::Link),
        E::Disconnected { .. } | E::Expiring { .. } | E::NotRenewed { .. } => {
            return (Level::Warn, Target::Link);
        }
        E::Receipt { verdict, .. } if verdict.starts_with("refused") => Level::Warn,
        E::Board { .. }
        | E::Cut { .. }
        | E::DataRefused { .. }
        | E::Pressure { .. }
        | E::Diverged { .. }
        | E::Unread { .. }
        | E::Unknown { .. }
        | E::Unreadable { .. }
        | E::Declined { .. }
        | E::Passed { .. }
        | E::AskedAgain { .. }
        | E::Abandoned { .. }
        | E::Dropped { .. }
        | E::AdapterFailed { .. }
        | E::Unserved { .. } => Level::Warn,
        E::Job { .. }
        | E::Lingers { .. }
        | E::Data { .. }
        | E::Planned { .. }
        | E::Referred { .. }
        | E::Noise { .. }
        | E::Spent { .. }
        | E::Synced { .. }
        | E::Training { .. }
        | E::Read { .. }
        | E::Trained { .. }
        | E::Sent { .. }
        | E::Receipt { .. }
        | E::Adapter { .. }
        | E::Finished { .. } => Level::Info,
    };
    (level, Target::Agent)
}

/// Of what a coordinator tells.
#[cfg(feature = "coordinator")]
pub fn of_notice(notice: &Notice) -> (Level, Target) {
    use Notice as N;
    let level = match notice {
        N::Connected => return (Level::Info, Target::Link),
        N::Disconnected { .. } | N::Expiring { .. } => return (Level::Warn, Target::Link),
        N::Closed(row) if row.state == "abandoned" => Level::Warn,
        N::Unheard { .. }
        | N::Twins { .. }
        | N::Outdated { .. }
        | N::AlertFailed { .. }
        | N::AlertsLeftOut { .. }
        | N::Quarantined { .. }
        | N::Passed { .. }
        | N::TurnedAway { .. }
        | N::Refused { .. }
        | N::Reverted { .. }
        | N::TakenOver { .. }
        | N::Rival { .. }
        | N::NotAggregated { .. }
        | N::NotEvaluated { .. }
        | N::NotRenewed { .. }
        | N::NotKept { .. } => Level::Warn,
        N::Joined { .. }
        | N::Left { .. }
        | N::Decided { .. }
        | N::Renewed { .. }
        | N::Relieved { .. }
        | N::Waiting { .. }
        | N::Closed(_)
        | N::Evaluated { .. }
        | N::Paused
        | N::Resumed
        | N::Kept { .. }
        | N::Finished { .. } => Level::Info,
        // Thousands of devices have one each a round.
        N::Accepted { .. } | N::Opened { .. } => Level::Debug,
    };
    (level, Target::Coordinator)
}

/// Of what happens to the door that a broker is.
pub fn of_door(happened: &Happened) -> (Level, Target) {
    match happened {
        Happened::Connected => (Level::Info, Target::Link),
        Happened::Disconnected(_) => (Level::Warn, Target::Link),
        Happened::Dropped(_) => (Level::Warn, Target::Serve),
    }
}
