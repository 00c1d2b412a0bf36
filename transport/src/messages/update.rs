//! What one device learned in a round, or says on the way there.

use super::codec::{self, FRAME, Fields, Map, fields};
use super::error::Fault;
use super::{Digest, GroupSet, MAX_WORD, RunId};
use minicbor::Decoder;

/// Scalars of an update at most: with the other fields, one message of 64 KiB.
pub const MAX_SCALARS: usize = 16_000;
/// Bins of an update at most.
pub const MAX_BINS: usize = 15;
/// Bytes of a bin: two numbers of 32 bits, one of 64.
const BIN: usize = 16;
/// Bytes of a bin that is told with its place.
const PLACED: usize = 1 + BIN;

/// Sent to `update/<device>` until a receipt arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The run.
    pub run: RunId,
    /// Number of the round.
    pub round: u32,
    /// The device's number.
    pub number: u32,
    /// The groups that were trained: those of the task it answers.
    pub groups: GroupSet,
    /// The adapter it started from.
    pub base: Digest,
    /// Examples trained on.
    pub examples: u32,
    /// Mean loss over them.
    pub loss: f32,
    /// How sure the device's model was of its answers to them, and whether rightly: (examples, those right, the sum of
    /// their confidences in steps of 2⁻³²) a bin, at most [`MAX_BINS`]; none where there are no answers to choose among.
    pub bins: Vec<[u64; 3]>,
    /// What was learned.
    pub body: Body,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The coefficients of the directions, at most [`MAX_SCALARS`].
    Scalars(Vec<f32>),
    /// The share's weights, sent as a blob at `up/<device>/<digest>/<n>`.
    Dense {
        /// Of the blob's bytes.
        digest: Digest,
        /// Length of the blob.
        bytes: u32,
    },
    /// Nothing yet: what the device says at a stage of secure aggregation, at most [`MAX_WORD`] bytes. It has no receipt; the
    /// task is given again until it is there.
    Word(Vec<u8>),
}

super::message!(Update, FRAME + 18 + 6 + 6 + 11 + 35 + 6 + 6 + (4 + 4 * MAX_SCALARS) + (3 + BIN * MAX_BINS));

impl Update {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.uint(3, self.number);
        map.groups(4, self.groups);
        map.bytes(5, &self.base.0);
        map.uint(6, self.examples);
        map.f32(7, self.loss);
        match &self.body {
            Body::Scalars(values) => map.floats(8, values),
            Body::Dense { digest, bytes } => map.map(9, |blob| {
                blob.bytes(0, &digest.0);
                blob.uint(1, *bytes);
            }),
            Body::Word(_) => {}
        }
        let few = few(&self.bins);
        if few.len() < BIN * self.bins.len() {
            map.bytes(11, &few);
        } else if !self.bins.is_empty() {
            map.bytes(10, &self.bins.iter().flat_map(|bin| to_bytes(*bin)).collect::<Vec<u8>>());
        }
        if let Body::Word(word) = &self.body {
            map.bytes(12, word);
        }
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        let mut update = Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            number: f.need(3, "number", codec::u32)?,
            groups: f.need(4, "groups", codec::groups)?,
            base: f.need(5, "base", codec::digest)?,
            examples: f.need(6, "examples", codec::u32)?,
            loss: f.need(7, "loss", codec::f32)?,
            bins: Vec::new(),
            body: Body::Word(Vec::new()),
        };
        let scalars = f.maybe(8, "scalars", codec::floats(MAX_SCALARS))?.map(Body::Scalars);
        let dense = f.maybe(9, "dense", read_dense)?;
        update.bins = match (f.maybe(10, "bins", read_bins)?, f.maybe(11, "few bins", read_few)?) {
            (Some(_), Some(_)) => return Err(Fault::new("bins twice").within("few bins")),
            (all, few) => all.or(few).unwrap_or_default(),
        };
        let word = f.maybe(12, "word", codec::bytes(MAX_WORD))?.map(Body::Word);
        update.body = match (scalars, dense, word) {
            (Some(body), None, None) | (None, Some(body), None) | (None, None, Some(body)) => body,
            _ => {
                let needed = "either scalars (key 8), a blob (key 9) or a word (key 12) are needed";
                return Err(Fault::new(needed).within("body"));
            }
        };
        Ok(update)
    }
}

fn read_bins(d: &mut Decoder<'_>) -> Result<Vec<[u64; 3]>, Fault> {
    let bytes = codec::bytes(BIN * MAX_BINS)(d)?;
    let (bins, rest) = bytes.as_chunks::<BIN>();
    if !rest.is_empty() || bins.is_empty() {
        return Err(Fault::new("a byte string of whole bins of 16 bytes is needed"));
    }
    Ok(bins.iter().map(from_bytes).collect())
}

/// How many bins there are, then those with examples, each behind its place: a batch of two fills two of fifteen.
fn few(bins: &[[u64; 3]]) -> Vec<u8> {
    let filled = (0u8..).zip(bins).filter(|(_, bin)| **bin != [0; 3]);
    let placed = filled.flat_map(|(place, bin)| std::iter::once(place).chain(to_bytes(*bin)));
    std::iter::once(bins.len().min(usize::from(u8::MAX)) as u8).chain(placed).collect()
}

fn read_few(d: &mut Decoder<'_>) -> Result<Vec<[u64; 3]>, Fault> {
    let bytes = codec::bytes(1 + PLACED * MAX_BINS)(d)?;
    let wrong = || {
        Fault::new(format!("a count of 1 to {MAX_BINS} and bins of {PLACED} bytes, ascending, are needed"))
    };
    let (count, filled) = bytes.split_first().ok_or_else(wrong)?;
    let (filled, rest) = filled.as_chunks::<PLACED>();
    let mut bins = vec![[0; 3]; usize::from(*count)];
    let mut from = 0;
    for [place, bin @ ..] in filled {
        let place = usize::from(*place);
        *bins.get_mut(place).filter(|_| place >= from).ok_or_else(wrong)? = from_bytes(bin);
        from = place + 1;
    }
    if !rest.is_empty() || bins.is_empty() || bins.len() > MAX_BINS {
        return Err(wrong());
    }
    Ok(bins)
}

/// A device's examples are no more than 32 bits hold; what cannot be is no count, and is refused as one.
fn to_bytes([n, hits, confidence]: [u64; 3]) -> [u8; BIN] {
    let short = |count: u64| u128::from(u32::try_from(count).unwrap_or(u32::MAX));
    (short(n) | short(hits) << 32 | u128::from(confidence) << 64).to_le_bytes()
}

fn from_bytes(bin: &[u8; BIN]) -> [u64; 3] {
    let bits = u128::from_le_bytes(*bin);
    let [n, hits] = [bits as u32, (bits >> 32) as u32].map(u64::from);
    [n, hits, (bits >> 64) as u64]
}

fn read_dense(d: &mut Decoder<'_>) -> Result<Body, Fault> {
    fields(d, |f| {
        Ok(Body::Dense {
            digest: f.need(0, "digest", codec::digest)?,
            bytes: f.need(1, "bytes", codec::u32)?,
        })
    })
}
