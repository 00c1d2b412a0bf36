//! What a round's members and its collector have agreed on before it begins.

use crate::MaskingError;
use crate::messages::{Reader, Writer};

/// Fewest members: of two, each could tell the other's values from the total.
pub const MIN_MEMBERS: u32 = 3;
/// Most members.
pub const MAX_MEMBERS: u32 = 1024;
/// Most values of a member.
pub const MAX_VALUES: u32 = 1 << 20;

/// What a round's members and its collector have agreed on before it begins. A message made under other terms is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    run: [u8; 16],
    round: u64,
    members: u32,
    threshold: u32,
    values: u32,
}

impl Terms {
    /// Terms for so many chosen members, of which ⌈2n/3⌉ have to stay to the end.
    ///
    /// A third may be lost, and that is also how far a collector can be trusted least: one that asks some members for the
    /// pieces of one secret of a device and others for those of the other needs 2t answers from n members, or from n + c
    /// where c collude with it and give both. With t = ⌈2n/3⌉ it fails for all c < n/3 (the paper, section 6.2).
    ///
    /// # Errors
    /// [`Ours`](MaskingError::Ours), with the limits.
    pub fn new(run: [u8; 16], round: u64, members: u32, values: u32) -> Result<Self, MaskingError> {
        if !(MIN_MEMBERS..=MAX_MEMBERS).contains(&members) {
            let why = format!("{members} members; {MIN_MEMBERS} to {MAX_MEMBERS} are possible");
            return Err(MaskingError::ours(why));
        }
        if !(1..=MAX_VALUES).contains(&values) {
            return Err(MaskingError::ours(format!("{values} values; 1 to {MAX_VALUES} are possible")));
        }
        Ok(Self { run, round, members, threshold: (2 * members).div_ceil(3), values })
    }

    /// The same with another threshold: above half of the members, so that no secret is given twice over.
    ///
    /// # Errors
    /// [`Ours`](MaskingError::Ours), with the limits.
    pub fn with_threshold(self, threshold: u32) -> Result<Self, MaskingError> {
        let least = self.members / 2 + 1;
        if !(least..=self.members).contains(&threshold) {
            let why = format!(
                "a threshold of {threshold} of {} members; {least} is the least, all the most",
                self.members
            );
            return Err(MaskingError::ours(why));
        }
        Ok(Self { threshold, ..self })
    }

    /// The run.
    pub fn run(&self) -> [u8; 16] {
        self.run
    }

    /// The round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Members that were chosen: that many may take part.
    pub fn members(&self) -> usize {
        self.members as usize
    }

    /// Members that have to stay to the end.
    pub fn threshold(&self) -> usize {
        self.threshold as usize
    }

    /// Values of each member.
    pub fn values(&self) -> usize {
        self.values as usize
    }

    /// As the collector tells its members.
    pub(crate) fn to_message(self) -> Vec<u8> {
        let mut out = Writer::new(Self::KIND, Self::BYTES);
        out.bytes(&self.to_bytes());
        out.end()
    }

    /// Reads what came over the wire, held to the same limits.
    pub(crate) fn from_message(bytes: &[u8]) -> Result<Self, MaskingError> {
        let mut from = Reader::new("terms", Self::KIND, bytes)?;
        let found = Self::from_bytes(from.array()?);
        let terms = found.map_err(|e| from.wrong(e.to_string()))?;
        from.end(terms)
    }

    /// Each field in turn, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..16].copy_from_slice(&self.run);
        out[16..24].copy_from_slice(&self.round.to_le_bytes());
        out[24..28].copy_from_slice(&self.members.to_le_bytes());
        out[28..32].copy_from_slice(&self.threshold.to_le_bytes());
        out[32..].copy_from_slice(&self.values.to_le_bytes());
        out
    }

    /// Terms as they were written, held to the same limits.
    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Result<Self, MaskingError> {
        let (mut run, mut round) = ([0; 16], [0; 8]);
        run.copy_from_slice(&bytes[..16]);
        round.copy_from_slice(&bytes[16..24]);
        let (words, _) = bytes[24..].as_chunks::<4>();
        let [members, threshold, values] = [0, 1, 2].map(|at| u32::from_le_bytes(words[at]));
        Self::new(run, u64::from_le_bytes(round), members, values)?.with_threshold(threshold)
    }

    /// Bytes of terms.
    pub(crate) const BYTES: usize = 36;
    /// Kind of the message that they are.
    pub(crate) const KIND: u8 = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thirds_must_stay_and_never_a_half_or_fewer() {
        for (members, threshold) in [(3, 2), (4, 3), (5, 4), (6, 4), (9, 6), (10, 7), (100, 67), (1024, 683)]
        {
            let terms = Terms::new([1; 16], 2, members, 3).unwrap();
            assert_eq!(terms.threshold(), threshold);
            assert!(2 * terms.threshold() > terms.members());
            let least = members / 2 + 1;
            assert!(terms.with_threshold(least).is_ok() && terms.with_threshold(members).is_ok());
            assert!(terms.with_threshold(least - 1).is_err() && terms.with_threshold(members + 1).is_err());
        }
    }

    #[test]
    fn terms_outside_their_limits_are_refused() {
        for (members, values) in [(2, 1), (1025, 1), (u32::MAX, 1), (3, 0), (3, MAX_VALUES + 1)] {
            assert!(Terms::new([0; 16], 0, members, values).is_err(), "{members} {values}");
        }
    }
}
