//! Who takes part in a round, and with which groups: a function of who is here and of the seed.

use crate::ids::{DeviceNumber, RoundId, Slot};
use crate::rows::Member;
use sprig_ground::random::SplitMix64;
use sprig_learn::spry::{self, Dealing};
use sprig_transport::messages::GroupSet;

/// Up to `most` of the candidates, each as likely as any other, ascending.
pub fn choose(
    mut candidates: Vec<DeviceNumber>,
    most: usize,
    seed: u64,
    round: RoundId,
    attempt: u8,
) -> Vec<DeviceNumber> {
    let most = most.min(candidates.len());
    let mut random = SplitMix64::new(
        seed ^ (u64::from(round.0) << 16 | u64::from(attempt)).wrapping_mul(0xD129_0C6E_5E7B_1D55),
    );
    for at in 0..most {
        let pick = at + random.below(candidates.len() - at);
        candidates.swap(at, pick);
    }
    candidates.truncate(most);
    candidates.sort_unstable();
    candidates
}

/// Leaves `most` of the `chosen`, any of them, and returns the others; both ascend.
pub fn split(chosen: &mut Vec<DeviceNumber>, most: usize, seed: u64, round: RoundId) -> Vec<DeviceNumber> {
    let kept = choose(chosen.clone(), most, !seed, round, 0);
    let others = chosen.iter().copied().filter(|number| kept.binary_search(number).is_err()).collect();
    *chosen = kept;
    others
}

/// How groups are dealt.
#[derive(Clone, Copy, Debug)]
pub struct Deal {
    /// In which way.
    pub dealing: Dealing,
    /// Groups there are.
    pub groups: usize,
    /// Devices that have the same, at least.
    pub team: usize,
    /// Seed of who has which.
    pub seed: u64,
}

/// Deals groups to the devices `chosen`, which ascend, for `round`; one slot each.
pub fn deal(
    deal: Deal,
    chosen: &[DeviceNumber],
    strength: impl Fn(DeviceNumber) -> f32,
    round: RoundId,
) -> Vec<Member> {
    let members: Vec<_> =
        chosen.iter().map(|&number| spry::Member { number: number.0, strength: strength(number) }).collect();
    let Deal { dealing, groups, team, seed } = deal;
    let shares = spry::deal_to_teams(dealing, groups, (&members, team), seed, round.0);
    (0..)
        .map(Slot)
        .zip(chosen)
        .zip(shares)
        .map(|((slot, &number), share)| Member {
            number,
            groups: GroupSet { first: share.first, step: share.step, count: share.count },
            slot,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u32) -> Vec<DeviceNumber> {
        (1..=count).map(DeviceNumber).collect()
    }

    #[test]
    fn each_device_is_chosen_equally_often() {
        let mut times = [0u32; 20];
        for round in 0..4000 {
            let chosen = choose(numbers(20), 5, 7, RoundId(round), 0);
            assert_eq!(chosen.len(), 5);
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            chosen.iter().for_each(|&n| times[n.place().unwrap()] += 1);
        }
        // 1000 expected; the standard deviation is 27.
        assert!(times.iter().all(|&t| (880..1120).contains(&t)), "{times:?}");
    }

    #[test]
    fn spares_are_those_that_are_not_kept() {
        let mut chosen = numbers(7);
        let others = split(&mut chosen, 5, 3, RoundId(2));
        assert_eq!((chosen.len(), others.len()), (5, 2));
        let mut all = [chosen.clone(), others].concat();
        all.sort_unstable();
        assert_eq!(all, numbers(7));
        assert!(split(&mut chosen, 5, 3, RoundId(2)).is_empty());
    }

    #[test]
    fn a_choice_depends_on_round_attempt_and_seed_only() {
        let choice = |seed, round, attempt| choose(numbers(50), 10, seed, RoundId(round), attempt);
        assert_eq!(choice(1, 2, 0), choice(1, 2, 0));
        assert_ne!(choice(1, 2, 0), choice(1, 3, 0));
        assert_ne!(choice(1, 2, 0), choice(1, 2, 1));
        assert_ne!(choice(1, 2, 0), choice(2, 2, 0));
        let few = vec![DeviceNumber(3), DeviceNumber(9)];
        assert_eq!(choose(few.clone(), 10, 1, RoundId(1), 0), few);
    }
}
