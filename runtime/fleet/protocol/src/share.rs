//! A device's part of the weights: in messages, and in learning.

use sprig_learn::spry::Share;
use sprig_transport::messages::GroupSet;

/// The groups of a message as learning names them.
pub fn share_of(groups: GroupSet) -> Share {
    Share { first: groups.first, step: groups.step, count: groups.count }
}
