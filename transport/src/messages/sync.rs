//! How a device that missed rounds, or is new, gets the adapter.

use super::codec::{self, FRAME, Fields, Map, fields};
use super::error::Fault;
use super::{BlobKind, Digest, RunId};

/// Bytes of a blob at most that an offer brings itself: half of what a broker of ours takes in a message.
pub const MAX_BROUGHT: usize = 32 << 10;

/// Sent to `want/<device>`: what the device lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// The run.
    pub run: RunId,
    /// The first round the device lacks; `u32::MAX` of one that has nothing.
    pub round: u32,
    /// The adapter it has.
    pub base: Digest,
    /// A blob it has begun, and the first chunk of it that is missing.
    pub resume: Option<(Digest, u32)>,
}

super::message!(Want, FRAME + 18 + 6 + 35 + (2 + 35 + 6));

impl Want {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.bytes(3, &self.base.0);
        if let Some((digest, chunk)) = &self.resume {
            map.map(4, |resume| {
                resume.bytes(0, &digest.0);
                resume.uint(1, *chunk);
            });
        }
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            base: f.need(3, "base", codec::digest)?,
            resume: f.maybe(4, "resume", |d| {
                fields(d, |f| Ok((f.need(0, "digest", codec::digest)?, f.need(1, "chunk", codec::u32)?)))
            })?,
        })
    }
}

/// Sent to `offer/<device>`: the blob that brings the device up to date; its chunks follow, unless the offer brings it itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The run.
    pub run: RunId,
    /// [`BlobKind::Records`] or [`BlobKind::Snapshot`].
    pub kind: BlobKind,
    /// Of the blob's bytes.
    pub digest: Digest,
    /// Length of the blob.
    pub bytes: u32,
    /// First round the blob brings.
    pub from: u32,
    /// First round it does not bring.
    pub to: u32,
    /// The blob, of at most [`MAX_BROUGHT`] bytes: no chunks follow.
    pub blob: Option<Vec<u8>>,
}

super::message!(Offer, FRAME + 18 + 2 + 35 + 3 * 6 + (4 + MAX_BROUGHT));

impl Offer {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.kind as u8);
        map.bytes(3, &self.digest.0);
        map.uint(4, self.bytes);
        map.uint(5, self.from);
        map.uint(6, self.to);
        if let Some(blob) = &self.blob {
            map.bytes(7, blob);
        }
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        let run = f.need(1, "run", codec::run)?;
        let kind = f.need(2, "kind", BlobKind::read)?;
        if kind == BlobKind::Record {
            return Err(Fault::new("an offer has records or a snapshot").within("kind"));
        }
        Ok(Self {
            run,
            kind,
            digest: f.need(3, "digest", codec::digest)?,
            bytes: f.need(4, "bytes", codec::u32)?,
            from: f.need(5, "from", codec::u32)?,
            to: f.need(6, "to", codec::u32)?,
            blob: f.maybe(7, "blob", codec::bytes(MAX_BROUGHT))?,
        })
    }
}
