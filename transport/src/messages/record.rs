//! What a round brought: enough to replay it, or the adapter itself. Both usually travel as blobs.

use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;
use super::update::MAX_SCALARS;
use super::{Digest, GroupSet, MessageError, RunId};

/// Contributions of a record at most.
pub const MAX_CONTRIBUTIONS: usize = 1 << 16;
/// Values, and moments, of a snapshot at most.
pub const MAX_VALUES: usize = 8 << 20;

/// One round, in enough detail to replay it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The run.
    pub run: RunId,
    /// The round that was applied.
    pub round: u32,
    /// The adapter before it.
    pub base: Digest,
    /// The adapter after it.
    pub after: Digest,
    /// What was applied, in ascending order of [`Contribution::number`]; at most [`MAX_CONTRIBUTIONS`].
    pub contributions: Vec<Contribution>,
}

/// One device's part of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The device's number.
    pub number: u32,
    /// The groups it trained.
    pub groups: GroupSet,
    /// Examples it trained on: its weight in the mean.
    pub examples: u32,
    /// The coefficients of its directions, at most [`MAX_SCALARS`].
    pub scalars: Vec<f32>,
}

super::message!(Record, 16 << 20);

impl Record {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.bytes(3, &self.base.0);
        map.bytes(4, &self.after.0);
        map.maps(5, &self.contributions, |part, map| {
            map.uint(0, part.number);
            map.groups(1, part.groups);
            map.uint(2, part.examples);
            map.floats(3, &part.scalars);
        });
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        let record = Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            base: f.need(3, "base", codec::digest)?,
            after: f.need(4, "after", codec::digest)?,
            contributions: f.need(5, "contributions", codec::maps(MAX_CONTRIBUTIONS, Contribution::read))?,
        };
        if !record.contributions.is_sorted_by(|a, b| a.number < b.number) {
            return Err(Fault::new("device numbers must ascend").within("contributions"));
        }
        Ok(record)
    }
}

impl Contribution {
    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            number: f.need(0, "number", codec::u32)?,
            groups: f.need(1, "groups", codec::groups)?,
            examples: f.need(2, "examples", codec::u32)?,
            scalars: f.need(3, "scalars", codec::floats(MAX_SCALARS))?,
        })
    }
}

/// The adapter and the server optimiser's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The run.
    pub run: RunId,
    /// The first round that is not yet applied.
    pub round: u32,
    /// The adapter's digest.
    pub after: Digest,
    /// The adapter's values, at most [`MAX_VALUES`].
    pub values: Vec<f32>,
    /// The server optimiser's moments, at most [`MAX_VALUES`]; layout as `sprig-learn` says.
    pub moments: Vec<f32>,
}

super::message!(Snapshot, FRAME + 18 + 6 + 35 + 2 * (6 + 4 * MAX_VALUES));

impl Snapshot {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.bytes(3, &self.after.0);
        map.floats(4, &self.values);
        map.floats(5, &self.moments);
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            after: f.need(3, "after", codec::digest)?,
            values: f.need(4, "values", codec::floats(MAX_VALUES))?,
            moments: f.need(5, "moments", codec::floats(MAX_VALUES))?,
        })
    }
}

/// Joins encoded records into one blob: each after its length, 4 bytes little-endian.
pub fn join_records<R: AsRef<[u8]>>(records: &[R]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.iter().map(|r| 4 + r.as_ref().len()).sum());
    for record in records.iter().map(AsRef::as_ref) {
        // An encoded record is at most `Record::MAX` bytes, far below 4 GiB.
        out.extend_from_slice(&(record.len() as u32).to_le_bytes());
        out.extend_from_slice(record);
    }
    out
}

/// The encoded records that [`join_records`] joined, one at a time: nothing is copied.
pub fn split_records(mut blob: &[u8]) -> impl Iterator<Item = Result<&[u8], MessageError>> {
    std::iter::from_fn(move || {
        if blob.is_empty() {
            return None;
        }
        let next = blob.split_first_chunk::<4>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
        });
        let Some((record, rest)) = next else {
            let why = format!("a record longer than the {} bytes that are left", blob.len());
            blob = &[];
            return Some(Err(Fault::new(why).of("Records")));
        };
        blob = rest;
        Some(Ok(record))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_records_come_apart() {
        let blob = join_records(&[b"one".as_slice(), b"", b"three"]);
        let parts: Vec<_> = split_records(&blob).map(Result::unwrap).collect();
        assert_eq!(parts, [b"one".as_slice(), b"", b"three"]);
        assert_eq!(split_records(&[]).count(), 0);
        for cut in [1, 3, 6, 8, blob.len() - 1] {
            assert!(split_records(&blob[..cut]).last().unwrap().is_err(), "cut at {cut}");
        }
        assert!(split_records(&[255; 4]).next().unwrap().is_err());
    }
}
