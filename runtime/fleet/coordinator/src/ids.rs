//! Numbers that must not be taken for one another: rounds, devices, shares of a round, and how many rounds an adapter has
//! behind it. On the wire, on disk and in JSON each is the plain number.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
        )]
        #[cbor(transparent)]
        #[serde(transparent)]
        pub struct $name(#[n(0)] pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A round, from 0.
    RoundId
}
number! {
    /// A device of the ledger, from 1; never given to another.
    DeviceNumber
}
number! {
    /// One of a round's shares, from 0. A replacement has the share of the device it replaces.
    Slot
}
number! {
    /// How many rounds were applied to an adapter.
    Applied
}

impl DeviceNumber {
    /// The number of no device.
    pub const NOBODY: Self = Self(0);
}

impl RoundId {
    /// The first.
    pub const FIRST: Self = Self(0);

    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one before it, if any.
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// The adapter that the round begins with.
    pub fn applied_before(self) -> Applied {
        Applied(self.0)
    }

    /// The adapter that the round ends with.
    pub fn applied_after(self) -> Applied {
        self.next().applied_before()
    }
}

impl Applied {
    /// The adapter before the first round.
    pub const NONE: Self = Self(0);

    /// The last round that was applied, if any.
    pub fn last(self) -> Option<RoundId> {
        self.next().before()
    }

    /// The first round that was not applied.
    pub fn next(self) -> RoundId {
        RoundId(self.0)
    }
}

impl DeviceNumber {
    /// The number of the device that is at `place` in a list of all.
    pub fn at(place: usize) -> Self {
        Self(place as u32 + 1)
    }

    /// Its place in a list of all devices; `None` for 0, which no device has.
    pub fn place(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

impl Slot {
    /// Its place in a list of the round's shares.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_adapters_follow_each_other() {
        assert_eq!(RoundId::FIRST.applied_before(), Applied::NONE);
        assert_eq!(RoundId(4).applied_after(), Applied(5));
        assert_eq!((Applied(5).last(), Applied(5).next()), (Some(RoundId(4)), RoundId(5)));
        assert_eq!((Applied::NONE.last(), RoundId::FIRST.before()), (None, None));
        assert_eq!((DeviceNumber::at(0).place(), DeviceNumber(0).place()), (Some(0), None));
    }

    /// Formats on disk and in JSON do not know of these types.
    #[test]
    fn each_is_stored_as_its_number() {
        assert_eq!(minicbor::to_vec(RoundId(300)).unwrap(), minicbor::to_vec(300u32).unwrap());
        assert_eq!(minicbor::to_vec(vec![Applied(2)]).unwrap(), minicbor::to_vec(vec![2u32]).unwrap());
        assert_eq!(serde_json::to_string(&Some(DeviceNumber(7))).unwrap(), "7");
        assert_eq!(format!("{:>3}", Slot(1)), "  1");
    }
}
