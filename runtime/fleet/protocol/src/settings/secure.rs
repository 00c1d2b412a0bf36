//! Which trainings can be aggregated securely, and among how many devices.

use super::Upload;
use super::beside::Beside;
use sprig_learn::directions::Sharing;
use sprig_learn::recipe::Whole;
use sprig_learn::setting::{Setting, SettingError};
use sprig_learn::spry::{Dealing, Mode, Seeds};
use std::ops::RangeInclusive;

/// Devices of a round whose numbers can be aggregated securely: of two each could tell the other's, and what one says to more
/// than 511 others is longer than a message.
pub const AGGREGATED: RangeInclusive<u32> = 3..=512;

/// Numbers of a device that can be aggregated securely, at most.
pub const MOST_HIDDEN: usize = 1 << 20;

/// Devices that share noise: no more than have to stay in a round.
pub type Sharers = Whole<2, 342>;

/// Devices that a round begins with, at least, so that so many of them have to stay to its end: two in three.
pub const fn fewest_members(sharers: u32) -> u32 {
    let least = (3 * (sharers.saturating_sub(1))) / 2 + 1;
    if least > *AGGREGATED.start() { least } else { *AGGREGATED.start() }
}

/// Refuses to aggregate steps securely whose updates do not add up.
pub(super) fn check(beside: Beside) -> Result<(), SettingError> {
    if !beside.secure {
        return Ok(());
    }
    let refuse = |problem: String| Err(Setting::SecureAggregation.error(true, problem));
    if beside.readout {
        return refuse(
            "a read-out has a `secure_aggregation` of its own; set it in [train.readout]".to_owned(),
        );
    }
    if beside.flow || beside.parts {
        let remedy = Setting::Parts.to(false);
        return refuse(format!(
            "routers and parts of a loss are told one by one; leave out [train.flow], and use {remedy}"
        ));
    }
    if beside.robust.has_teams() {
        return refuse(format!(
            "{} looks at devices one by one; use robust = \"clip\" under [train.server]",
            beside.robust
        ));
    }
    if beside.dealing != Dealing::Unsplit {
        return refuse(format!(
            "numbers of different groups do not add up; use {}",
            Setting::Dealing.to(Dealing::Unsplit)
        ));
    }
    let (ways, words) = match beside.mode {
        Mode::PerEpoch => (beside.up == Upload::Weights, Setting::Up.to(Upload::Weights)),
        Mode::PerIteration => (
            (beside.seeds, beside.directions) == (Seeds::Shared, Sharing::Shared),
            format!("{} and {}", Setting::Seeds.to(Seeds::Shared), Setting::Directions.to(Sharing::Shared)),
        ),
    };
    if ways { Ok(()) } else { refuse(format!("scalars of different directions do not add up; use {words}")) }
}
