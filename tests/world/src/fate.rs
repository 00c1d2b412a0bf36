//! What can happen to a fleet beside its work.

use serde::Serialize;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// The coordinator's machine loses its power: what its disk had not synced may be lost, in part.
    CoordinatorPower,
    /// The same in the midst of a sync.
    CoordinatorSync,
    /// The coordinator's process is killed.
    CoordinatorKill,
    /// The coordinator stands still for up to three minutes.
    CoordinatorHangs,
    /// The coordinator's disk fails for a while.
    CoordinatorDisk,
    /// A copy of the ledger is made, to be put back some time.
    Copy,
    /// The copy is put back.
    PutBack,
    /// A device loses its power.
    DevicePower,
    /// The same in the midst of a sync.
    DeviceSync,
    /// A device's process is killed.
    DeviceKill,
    /// A device stands still for up to three minutes.
    DeviceHangs,
    /// A device's card is replaced by an empty one.
    DeviceWiped,
    /// A device's disk fails for a while.
    DeviceDisk,
    /// A device has no memory for its next step.
    DeviceShort,
    /// A device's card is copied, and two boards go by its name, for a while.
    Twin,
    /// A clock jumps ahead, by up to an hour.
    ClockJumps,
    /// A client's connection is cut.
    Cut,
    /// The broker goes away and comes back.
    BrokerAway,
    /// The same, and it forgets what it had retained.
    BrokerForgets,
    /// An operator pauses the fleet, for a while.
    Pause,
    /// An operator quarantines a device, or allows one.
    Decide,
}

impl Deed {
    /// All there are.
    pub const ALL: [Self; 21] = [
        Self::CoordinatorPower,
        Self::CoordinatorSync,
        Self::CoordinatorKill,
        Self::CoordinatorHangs,
        Self::CoordinatorDisk,
        Self::Copy,
        Self::PutBack,
        Self::DevicePower,
        Self::DeviceSync,
        Self::DeviceKill,
        Self::DeviceHangs,
        Self::DeviceWiped,
        Self::DeviceDisk,
        Self::DeviceShort,
        Self::Twin,
        Self::ClockJumps,
        Self::Cut,
        Self::BrokerAway,
        Self::BrokerForgets,
        Self::Pause,
        Self::Decide,
    ];

    /// How often an hour it happens in a world where it happens most.
    pub(crate) fn most_hourly(self) -> f64 {
        match self {
            Self::CoordinatorPower | Self::CoordinatorSync | Self::CoordinatorKill => 60.0,
            Self::DevicePower | Self::DeviceSync | Self::DeviceKill | Self::DeviceShort | Self::Cut => 200.0,
            Self::DeviceHangs => 60.0,
            Self::Copy => 60.0,
            Self::PutBack => 10.0,
            Self::CoordinatorHangs | Self::CoordinatorDisk | Self::DeviceDisk | Self::DeviceWiped => 20.0,
            Self::Twin
            | Self::ClockJumps
            | Self::BrokerAway
            | Self::BrokerForgets
            | Self::Pause
            | Self::Decide => 20.0,
        }
    }
}
