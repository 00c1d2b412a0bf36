//! What a member has agreed to so far, and holds of others.

use crate::MaskingError;
use crate::context::Context;
use crate::messages::{Delivery, Peer, Roster};
use crate::sealing::Pieces;
use std::collections::BTreeMap;

/// Who takes part.
pub(super) struct Listed {
    pub(super) roster: Roster,
    pub(super) context: Context,
}

/// The pieces that others dealt to it, and what it veiled with respect to them.
pub(super) struct Held {
    pub(super) delivery: Delivery,
    pub(super) context: Context,
    /// By dealer, itself among them.
    pub(super) pieces: BTreeMap<u32, Pieces>,
    /// SHA-256 of the veiled values.
    pub(super) veiled: [u8; 32],
}

impl Listed {
    /// A member of the list, which ascends.
    pub(super) fn peer(&self, member: u32) -> Result<&Peer, MaskingError> {
        let peers = &self.roster.peers;
        let at = peers.binary_search_by_key(&member, |peer| peer.member);
        at.map(|at| &peers[at]).map_err(|_| {
            MaskingError::collector(format!("member {member} is spoken of, and is not in its list"))
        })
    }
}
