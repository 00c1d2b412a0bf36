//! What travels: CBOR maps with integer keys, followed by a check sum. `transport/MESSAGES.md` describes every byte.

mod codec;
mod error;
mod names;
mod presence;
mod receipt;
mod record;
mod report;
mod round;
mod sync;
mod task;
mod total;
mod update;

#[cfg(test)]
mod tests;

pub use error::MessageError;
pub use names::{DeviceId, Digest, GroupSet, Groups, NameError, RunId};
pub(crate) use names::{check_level, shortened};
pub use presence::Presence;
pub use receipt::{Reason, Receipt, Verdict};
pub use record::{
    Contribution, MAX_CONTRIBUTIONS, MAX_VALUES, Record, Snapshot, join_records, split_records,
};
pub use report::{HOLDS, MAX_REGIONS, Region, Report, holds};
pub use round::{BlobKind, Job, MAX_INLINE, MAX_SETTINGS, Phase, Round, RoundResult};
pub use sync::{MAX_BROUGHT, Offer, Want};
pub use task::{MAX_WORD, Task};
pub use total::{FleetTotal, MAX_FOLDED, MAX_TOTAL};
pub use update::{Body, MAX_BINS, MAX_SCALARS, Update};

/// Version of the messages; key 0 of each.
pub const VERSION: u8 = 1;

/// Gives a message its `MAX`, `encode` and `decode`.
macro_rules! message {
    ($name:ident, $max:expr) => {
        impl $name {
            /// Bytes on the wire at most.
            pub const MAX: usize = $max;

            /// The bytes on the wire. Texts over their limit are cut at a character; a message whose lists
            /// exceed theirs is encoded all the same and refused by every receiver: [`checked`](Self::checked) refuses it here.
            pub fn encode(&self) -> Vec<u8> {
                $crate::messages::codec::encode(|map| self.write(map))
            }

            /// The same, if a receiver can read it.
            ///
            /// # Errors
            /// As [`decode`](Self::decode), which is what a receiver does.
            pub fn checked(&self) -> Result<Vec<u8>, $crate::messages::MessageError> {
                let bytes = self.encode();
                Self::decode(&bytes)?;
                Ok(bytes)
            }

            /// Parses what came over the wire.
            ///
            /// # Errors
            /// Names what is wrong: too large, corrupt, of another version, or the field at fault.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::messages::MessageError> {
                $crate::messages::codec::decode(stringify!($name), Self::MAX, bytes, Self::read)
            }
        }
    };
}
pub(crate) use message;
