//! The numbers that devices go by on the wire: their own, throughout a run, or others each round, which the coordinator alone
//! can tell. Records say whose scalars are whose by number, to every device: with others each round nobody else can line up one
//! device's scalars over the rounds.

use crate::ids::{DeviceNumber, RoundId};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Which number a device goes by in which round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aliases(Option<Drawn>);

#[derive(Clone, Debug)]
struct Drawn {
    /// What nobody else knows; the ledger keeps it.
    key: Arc<[u8; KEY]>,
    /// Numbers go from 1 to this.
    most: u32,
}

/// Bytes of the key.
pub(crate) const KEY: usize = 32;
/// Rounds of the permutation (Luby and Rackoff 1988, of which four are enough against whoever sees all of it).
const PASSES: u8 = 6;

impl Aliases {
    /// Others each round, of 1 to `most`, by `key`; their own without one.
    pub(crate) fn new(key: Option<[u8; KEY]>, most: u32) -> Self {
        Self(key.map(|key| Drawn { key: Arc::new(key), most: most.max(2) }))
    }

    /// The number of a device in `round`: no two have the same.
    pub(crate) fn of(&self, round: RoundId, number: DeviceNumber) -> u32 {
        match (&self.0, number.place()) {
            (Some(drawn), Some(place)) => 1 + drawn.at(round, place as u32),
            _ => number.0,
        }
    }

    /// Whether devices have others than their own.
    pub(crate) fn are_drawn(&self) -> bool {
        self.0.is_some()
    }
}

impl Drawn {
    /// A permutation of 0 to `most` less one: of the numbers of so many bits, until one is below.
    fn at(&self, round: RoundId, place: u32) -> u32 {
        let half = (u32::BITS - (self.most - 1).leading_zeros()).div_ceil(2);
        let low = (1 << half) - 1;
        let mut at = place;
        loop {
            let (mut left, mut right) = (at >> half, at & low);
            for pass in 0..PASSES {
                (left, right) = (right, left ^ self.draw(round, pass, right) & low);
            }
            at = left << half | right;
            if at < self.most {
                return at;
            }
        }
    }

    fn draw(&self, round: RoundId, pass: u8, half: u32) -> u32 {
        let mut hash = Sha256::new();
        hash.update(*self.key);
        hash.update(round.0.to_le_bytes());
        hash.update([pass]);
        hash.update(half.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let (words, _) = digest.as_chunks::<4>();
        u32::from_le_bytes(words[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_others_each_round_and_no_two_the_same() {
        for most in [2, 3, 20, 1000, 20_000] {
            let aliases = Aliases::new(Some([9; KEY]), most);
            let of = |round: u32| -> Vec<u32> {
                (1..=most).map(|number| aliases.of(RoundId(round), DeviceNumber(number))).collect()
            };
            for round in 0..3 {
                let all: BTreeSet<u32> = of(round).into_iter().collect();
                assert!(all.len() == most as usize && all.iter().eq(&(1..=most).collect::<BTreeSet<_>>()));
            }
            // One in `most` stays by chance.
            let stay = of(0).iter().zip(of(1)).filter(|(a, b)| **a == *b).count();
            assert!(most < 20 || stay < 10, "{stay} of {most}");
            assert_eq!(of(5), of(5));
        }
        let other = Aliases::new(Some([8; KEY]), 1000);
        let same = (1..=1000)
            .map(DeviceNumber)
            .filter(|&n| other.of(RoundId(0), n) == Aliases::new(Some([9; KEY]), 1000).of(RoundId(0), n));
        assert!(same.count() < 10);
        assert_eq!(Aliases::default().of(RoundId(7), DeviceNumber(3)), 3);
    }
}
