//! What members and collector tell each other, and each message's bytes.
//!
//! Most are of kilobytes with few members and of megabytes with many, so they are written to travel as they are, within a
//! message or as a blob. A decoder holds lengths to their limits; whether the content can be is the receiver's to judge.

mod bytes;
mod stages;

pub(crate) use bytes::{Reader, Writer};
pub use stages::{Said, Told};

use crate::MaskingError;
use crate::terms::{MAX_MEMBERS, MAX_VALUES};

/// Bytes of a sealed package: two pieces of 32, and 16 that prove them.
pub const SEALED: usize = 80;

/// The beginning of a digest of what was agreed on: it tells mistakes apart, while keys are derived from the whole digest.
pub type Tag = [u8; 8];

/// Stage 0, to the collector: a member's public keys for one round, and its promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Of the terms.
    pub tag: Tag,
    /// Whose.
    pub member: u32,
    /// What packages to it are sealed with (the paper's c^PK).
    pub sealing: [u8; 32],
    /// What the veils that it has with others follow from (the paper's s^PK).
    pub veiling: [u8; 32],
    /// A digest of the seed of its own veil, by which the collector tells a wrong one.
    pub promise: [u8; 32],
}

/// The public keys of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whose.
    pub member: u32,
    /// As in [`Keys`].
    pub sealing: [u8; 32],
    /// As in [`Keys`].
    pub veiling: [u8; 32],
}

/// Stage 0, to all members: who takes part, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// Of the terms.
    pub tag: Tag,
    /// Everybody's public keys.
    pub peers: Vec<Peer>,
}

/// A sealed package, and who is at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// To whom it goes, or from whom it comes.
    pub peer: u32,
    /// What only that one and the member can read.
    pub sealed: [u8; SEALED],
}

/// Stage 1, to the collector: a member's packages for all others, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packages {
    /// Of terms and roster.
    pub tag: Tag,
    /// From whom.
    pub member: u32,
    /// One for each other member of the roster.
    pub packages: Vec<Package>,
}

/// Stage 1, to one member: the packages for it, in ascending order. Their senders and itself are those who dealt pieces:
/// values are veiled with respect to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Of terms, roster and dealers.
    pub tag: Tag,
    /// To whom.
    pub member: u32,
    /// One from each other dealer.
    pub packages: Vec<Package>,
}

/// Stage 2, to the collector: a member's values under their veils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veiled {
    /// Of terms, roster and dealers.
    pub tag: Tag,
    /// Whose.
    pub member: u32,
    /// What looks random to whoever lacks the keys.
    pub values: Vec<u64>,
}

/// Stage 3, to members that reported: what became of the dealers. Both lists ascend, and together they are the dealers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of terms, roster and dealers.
    pub tag: Tag,
    /// Whose values arrived: the veils of their own are to be opened.
    pub reported: Vec<u32>,
    /// Whose did not: their keys for veils are to be opened.
    pub lost: Vec<u32>,
}

/// One piece of one secret of a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece {
    /// Of whom: of its own veil if it reported, of its key for veils if it was lost.
    pub of: u32,
    /// A number of the field.
    pub piece: [u8; 32],
}

/// Stage 3, to the collector: a piece of one secret of each dealer, in the order of the question.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of terms, roster, dealers and question.
    pub tag: Tag,
    /// From whom.
    pub member: u32,
    /// Of those that reported, then of those that were lost.
    pub pieces: Vec<Piece>,
}

impl Keys {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(1, 108);
        out.bytes(&self.tag).u32(self.member);
        out.bytes(&self.sealing).bytes(&self.veiling).bytes(&self.promise);
        out.end()
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// [`Bytes`](MaskingError::Bytes), with what is wrong and the limit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let mut from = Reader::new("Keys", 1, bytes)?;
        let (tag, member) = (from.array()?, from.u32()?);
        let keys =
            Self { tag, member, sealing: from.array()?, veiling: from.array()?, promise: from.array()? };
        from.end(keys)
    }
}

impl Roster {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(2, 12 + 68 * self.peers.len());
        out.bytes(&self.tag).list(&self.peers, |out, peer| {
            out.u32(peer.member).bytes(&peer.sealing).bytes(&peer.veiling);
        });
        out.end()
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Keys::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let mut from = Reader::new("Roster", 2, bytes)?;
        let tag = from.array()?;
        let peers = from.list(MAX_MEMBERS, 68, |from| {
            Ok(Peer { member: from.u32()?, sealing: from.array()?, veiling: from.array()? })
        })?;
        from.end(Self { tag, peers })
    }
}

impl Packages {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        write_packages(3, &self.tag, self.member, &self.packages)
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Keys::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let (tag, member, packages) = read_packages("Packages", 3, bytes)?;
        Ok(Self { tag, member, packages })
    }
}

impl Delivery {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        write_packages(4, &self.tag, self.member, &self.packages)
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Keys::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let (tag, member, packages) = read_packages("Delivery", 4, bytes)?;
        Ok(Self { tag, member, packages })
    }
}

impl Veiled {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(5, 16 + 8 * self.values.len());
        out.bytes(&self.tag).u32(self.member);
        out.list(&self.values, |out, value| {
            out.bytes(&value.to_le_bytes());
        });
        out.end()
    }

    /// Bytes on the wire of so many values.
    pub fn bytes(values: usize) -> usize {
        2 + 16 + 8 * values
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Keys::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let mut from = Reader::new("Veiled", 5, bytes)?;
        let (tag, member) = (from.array()?, from.u32()?);
        let values = from.list(MAX_VALUES, 8, |from| from.array().map(u64::from_le_bytes))?;
        from.end(Self { tag, member, values })
    }
}

impl Question {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(6, 16 + 4 * (self.reported.len() + self.lost.len()));
        out.bytes(&self.tag);
        for list in [&self.reported, &self.lost] {
            out.list(list, |out, member| {
                out.u32(*member);
            });
        }
        out.end()
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Keys::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let mut from = Reader::new("Question", 6, bytes)?;
        let tag = from.array()?;
        let reported = from.list(MAX_MEMBERS, 4, Reader::u32)?;
        let lost = from.list(MAX_MEMBERS, 4, Reader::u32)?;
        from.end(Self { tag, reported, lost })
    }
}

impl Answer {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(7, 16 + 36 * self.pieces.len());
        out.bytes(&self.tag).u32(self.member);
        out.list(&self.pieces, |out, piece| {
            out.u32(piece.of).bytes(&piece.piece);
        });
        out.end()
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Keys::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let mut from = Reader::new("Answer", 7, bytes)?;
        let (tag, member) = (from.array()?, from.u32()?);
        let pieces =
            from.list(MAX_MEMBERS, 36, |from| Ok(Piece { of: from.u32()?, piece: from.array()? }))?;
        from.end(Self { tag, member, pieces })
    }
}

fn write_packages(kind: u8, tag: &Tag, member: u32, packages: &[Package]) -> Vec<u8> {
    let mut out = Writer::new(kind, 16 + (4 + SEALED) * packages.len());
    out.bytes(tag).u32(member);
    out.list(packages, |out, package| {
        out.u32(package.peer).bytes(&package.sealed);
    });
    out.end()
}

fn read_packages(
    what: &'static str,
    kind: u8,
    bytes: &[u8],
) -> Result<(Tag, u32, Vec<Package>), MaskingError> {
    let mut from = Reader::new(what, kind, bytes)?;
    let (tag, member) = (from.array()?, from.u32()?);
    let packages =
        from.list(MAX_MEMBERS, 4 + SEALED, |from| Ok(Package { peer: from.u32()?, sealed: from.array()? }))?;
    from.end((tag, member, packages))
}
