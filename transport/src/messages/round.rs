//! What the coordinator announces to all: the job, and the round.

use super::codec::{self, FRAME, Fields, Map, fields};
use super::error::Fault;
use super::{Digest, RunId};
use minicbor::Decoder;

/// Bytes of a job's settings at most.
pub const MAX_SETTINGS: usize = 16 << 10;
/// Bytes of a record that a round carries in itself at most; a larger one travels as a blob.
pub const MAX_INLINE: usize = 16 << 10;
/// Bytes of the round that a job says to be the last at most: one that names a blob.
const MAX_OVER: usize = 117;

/// Retained at `job`: what is being trained, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The run.
    pub run: RunId,
    /// TOML, at most [`MAX_SETTINGS`] bytes; transport does not look into it.
    pub settings: String,
    /// Of a run whose devices do not follow its rounds, once it is over: the [`Round`] that says so. It carries no record.
    pub over: Option<Round>,
}

super::message!(Job, FRAME + 18 + (4 + MAX_SETTINGS) + (3 + MAX_OVER));

impl Job {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.text(2, &self.settings, usize::MAX);
        if let Some(over) = &self.over {
            map.bytes(3, &over.encode());
        }
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            settings: f.need(2, "settings", codec::text(MAX_SETTINGS))?,
            over: f.maybe(3, "over", over)?,
        })
    }
}

fn over(d: &mut Decoder<'_>) -> Result<Round, Fault> {
    let bytes = codec::bytes(MAX_OVER)(d)?;
    Round::decode(&bytes).map_err(|e| Fault::new(e.to_string()))
}

/// What the fleet is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for enough devices.
    Gathering,
    /// Waiting for the updates of the selected devices.
    Collecting,
    /// Stopped by the operator; goes on later.
    Paused,
    /// The run is over.
    Finished,
}

/// Retained at `round`: where the run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// The run.
    pub run: RunId,
    /// Number of the round, from 0.
    pub round: u32,
    /// What the fleet is doing.
    pub phase: Phase,
    /// The adapter before this round.
    pub base: Digest,
    /// What the round before brought; none in the first.
    pub result: Option<RoundResult>,
}

/// What the round before brought.
#[derive(Clone, Debug, PartialEq)]
pub enum RoundResult {
    /// The encoded [`Record`](super::Record), at most [`MAX_INLINE`] bytes.
    Inline(Vec<u8>),
    /// To be fetched from `blob/<digest>/<n>`.
    Blob {
        /// Of the blob's bytes.
        digest: Digest,
        /// Length of the blob.
        bytes: u32,
        /// [`BlobKind::Record`] or [`BlobKind::Snapshot`].
        kind: BlobKind,
    },
}

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// One encoded [`Record`](super::Record).
    Record,
    /// Several, in the form of [`join_records`](super::join_records).
    Records,
    /// An encoded [`Snapshot`](super::Snapshot).
    Snapshot,
}

super::message!(Round, FRAME + 18 + 6 + 2 + 35 + (4 + MAX_INLINE));

impl Round {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.uint(3, self.phase as u8);
        map.bytes(4, &self.base.0);
        match &self.result {
            None => {}
            Some(RoundResult::Inline(record)) => map.bytes(5, record),
            Some(RoundResult::Blob { digest, bytes, kind }) => map.map(6, |blob| {
                blob.bytes(0, &digest.0);
                blob.uint(1, *bytes);
                blob.uint(2, *kind as u8);
            }),
        }
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        let run = f.need(1, "run", codec::run)?;
        let round = f.need(2, "round", codec::u32)?;
        let phase = f.need(3, "phase", Phase::read)?;
        let base = f.need(4, "base", codec::digest)?;
        let inline = f.maybe(5, "record", codec::bytes(MAX_INLINE))?;
        let blob = f.maybe(6, "blob", |d| fields(d, read_blob))?;
        let result = match (inline, blob) {
            (None, None) => None,
            (Some(record), None) => Some(RoundResult::Inline(record)),
            (None, blob) => blob,
            (Some(_), Some(_)) => return Err(Fault::new("both a record and a blob")),
        };
        Ok(Self { run, round, phase, base, result })
    }
}

fn read_blob(f: &mut Fields<'_, '_>) -> Result<RoundResult, Fault> {
    let digest = f.need(0, "digest", codec::digest)?;
    let bytes = f.need(1, "bytes", codec::u32)?;
    match f.need(2, "kind", BlobKind::read)? {
        BlobKind::Records => Err(Fault::new("a round has one record").within("kind")),
        kind => Ok(RoundResult::Blob { digest, bytes, kind }),
    }
}

impl Phase {
    fn read(d: &mut Decoder<'_>) -> Result<Self, Fault> {
        Ok(match codec::u8(d)? {
            0 => Self::Gathering,
            1 => Self::Collecting,
            2 => Self::Paused,
            3 => Self::Finished,
            other => return Err(Fault::new(format!("{other} is no phase (0 to 3)"))),
        })
    }
}

impl BlobKind {
    pub(crate) fn read(d: &mut Decoder<'_>) -> Result<Self, Fault> {
        Ok(match codec::u8(d)? {
            0 => Self::Record,
            1 => Self::Records,
            2 => Self::Snapshot,
            other => return Err(Fault::new(format!("{other} is no kind of blob (0 to 2)"))),
        })
    }
}
