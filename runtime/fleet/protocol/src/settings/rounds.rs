//! The `[rounds]` table: how many there are, and what each waits for.

use super::{Follow, Seconds, SettingsError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sprig_ground::names;
use sprig_learn::recipe::Whole;
use std::num::NonZeroU32;
use std::ops::Deref;

/// Seconds of the shortest lease: one word of an agent may be lost.
const LEAST_LEASE: f64 = 61.0;
/// Seconds after which a device that follows rounds says again that it is here.
const USUAL_TELL: f64 = 30.0;
/// Lease of devices that hear of a round only if they have a task in it, where none is given.
pub(super) const LONG_LEASE: Seconds<604_800> = Seconds::of(1800.0);

/// How rounds go: a table whose numbers agree with each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds(RoundsTable);

/// The `[rounds]` table, in which each value is within its own limits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoundsTable {
    /// Rounds of the run.
    pub count: Whole<1, 10_000_000>,
    /// Devices selected for a round (M).
    pub devices: Whole<1, 65_535>,
    /// Devices that must be present before a round starts; at most `devices`.
    pub min_devices: Whole<1, 65_535>,
    /// Updates with which a round may close; at most `devices`.
    pub quorum: Whole<1, 65_535>,
    /// Seconds a round waits for its updates, at most: once there is a quorum it waits for no device longer than that usually
    /// takes and half as long again.
    pub deadline_seconds: Seconds<604_800>,
    /// Devices selected beside those: each has the share of another one, and what comes first will do.
    pub spares: Whole<0, 65_535>,
    /// Who follows the rounds: all devices, for some hundred bytes a round each; or the selected, which fetch the adapter when they
    /// get a task, so that all others hear nothing: for fleets of which a round takes few.
    pub follow: Follow,
    /// Seconds without a word after which a device is taken for gone. Agents say that they are here every 30 seconds, or three times
    /// in that time where the selected alone follow: it is 1800 then, if absent.
    pub lease_seconds: Seconds<604_800>,
    /// Deadlines a round may pass without a quorum.
    pub attempts: Whole<1, 255>,
    /// Rounds between evaluations on held-out data; 0 for the first and the last alone.
    pub evaluate_every: Evaluate,
    /// Rounds whose adapter is evaluated are announced only then, and not if it is worse than the best so far, beyond the interval
    /// of that: the best one comes back instead, as that round's result.
    pub gate: bool,
    /// Devices go by other numbers each round, so that of the scalars that all hear none but the coordinator can tell which are one
    /// device's from round to round. False if absent.
    pub fresh_numbers: bool,
    /// What carries a round's result to the devices: the scalars of its updates, the weights they lead to, or whichever is
    /// fewer bytes.
    pub down: Downlink,
}

/// When the model is evaluated on held-out data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluate {
    /// Never: there is no such data.
    Never,
    /// Before the first round and after the last.
    Ends,
    /// Then, and each time so many rounds have been applied.
    Every(NonZeroU32),
}

/// What carries a round's result to the devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downlink {
    /// The smaller of the two.
    #[default]
    Auto,
    /// All updates of the round, to be replayed.
    Scalars,
    /// The adapter and its moments.
    Weights,
}

names!(Downlink, "way down", [Auto = "auto", Scalars = "scalars", Weights = "weights"]);

impl Rounds {
    /// Rounds whose numbers agree.
    ///
    /// # Errors
    /// More devices or updates are waited for than there are in a round.
    pub fn new(table: RoundsTable) -> Result<Self, SettingsError> {
        for (field, found) in [("min_devices", table.min_devices), ("quorum", table.quorum)] {
            if found > table.devices {
                let remedy = format!("use 1 up to `devices`, which is {}", table.devices);
                return Err(SettingsError::value("rounds", field, found, remedy));
            }
        }
        if table.lease_seconds.get() < LEAST_LEASE {
            let remedy = format!("use {LEAST_LEASE} or more: agents say every 30 seconds that they are here");
            return Err(SettingsError::value("rounds", "lease_seconds", table.lease_seconds, remedy));
        }
        Ok(Self(table))
    }

    /// How often devices that act on their tasks alone say that they are here: three times a lease, but no more often than those
    /// that follow. `None` where they follow.
    pub fn tell(&self) -> Option<Seconds<604_800>> {
        self.follow.is_by_task().then(|| Seconds::of((self.lease_seconds.get() / 3.0).max(USUAL_TELL)))
    }
}

impl Evaluate {
    /// Every `n` rounds; 0 for the ends alone.
    pub const fn every(n: u32) -> Self {
        match NonZeroU32::new(n) {
            Some(n) => Self::Every(n),
            None => Self::Ends,
        }
    }

    /// Whether there is an evaluation between the ends, once `applied` rounds have been applied.
    pub fn between(self, applied: u32) -> bool {
        matches!(self, Self::Every(n) if applied.is_multiple_of(n.get()))
    }
}

impl Serialize for Evaluate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => to.serialize_none(), // no key says it
            Self::Ends => to.serialize_u32(0),
            Self::Every(n) => to.serialize_u32(n.get()),
        }
    }
}

impl<'de> Deserialize<'de> for Evaluate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::every(Whole::<0, { u32::MAX }>::deserialize(from)?.get()))
    }
}

impl Deref for Rounds {
    type Target = RoundsTable;

    fn deref(&self) -> &RoundsTable {
        &self.0
    }
}

impl Default for RoundsTable {
    fn default() -> Self {
        Self {
            count: Whole::of::<100>(),
            devices: Whole::of::<10>(),
            min_devices: Whole::of::<1>(),
            quorum: Whole::of::<1>(),
            deadline_seconds: Seconds::of(300.0),
            spares: Whole::of::<0>(),
            follow: Follow::All,
            lease_seconds: Seconds::of(180.0),
            attempts: Whole::of::<3>(),
            evaluate_every: Evaluate::every(10),
            gate: true,
            fresh_numbers: false,
            down: Downlink::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_wait_for_no_more_devices_than_they_have() {
        let rounds = |text: &str| {
            let table = toml::from_str(text).map_err(|e| e.to_string())?;
            Rounds::new(table).map_err(|e| e.to_string())
        };
        assert_eq!(rounds("").unwrap(), Rounds::default());
        assert!(rounds("devices = 2\nquorum = 2\nmin_devices = 2").is_ok());
        for key in ["quorum", "min_devices"] {
            let message = rounds(&format!("devices = 2\n{key} = 3")).unwrap_err();
            assert!(
                message.contains(&format!("[rounds] {key} = 3: use 1 up to `devices`, which is 2")),
                "{message}"
            );
        }
        let message = rounds("lease_seconds = 10").unwrap_err();
        assert!(
            message.contains("[rounds] lease_seconds = 10") && message.contains("use 61 or more"),
            "{message}"
        );
        assert!(rounds("count = 0").unwrap_err().contains("from 1 to 10000000"));
    }

    #[test]
    fn a_zero_evaluates_at_the_ends_alone() {
        let every = |text: &str| toml::from_str::<RoundsTable>(text).unwrap().evaluate_every;
        assert_eq!((every("evaluate_every = 0"), every("")), (Evaluate::Ends, Evaluate::every(10)));
        assert!(every("").between(20) && !every("").between(25));
        assert!(!Evaluate::Ends.between(20) && !Evaluate::Never.between(20));
    }
}
