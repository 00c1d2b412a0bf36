//! Who takes part in a round, and with which groups: a function of who is here and of the seed.

use super::state::Member;
use sprig_learn::spry::{self, Dealing};
use sprig_transport::messages::GroupSet;

/// Up to `most` of the candidates, each as likely as any other, ascending.
pub fn choose(mut candidates: Vec<u32>, most: usize, seed: u64, round: u32, attempt: u8) -> Vec<u32> {
    let most = most.min(candidates.len());
    let mut random =
        SplitMix(seed ^ (u64::from(round) << 16 | u64::from(attempt)).wrapping_mul(0xD129_0C6E_5E7B_1D55));
    for at in 0..most {
        let left = (candidates.len() - at) as u64;
        // The high half of a 64 × 64 product: its bias is below 2⁻⁴⁰ for any fleet.
        let pick = at + ((u128::from(random.next()) * u128::from(left)) >> 64) as usize;
        candidates.swap(at, pick);
    }
    candidates.truncate(most);
    candidates.sort_unstable();
    candidates
}

/// Deals `groups` groups to the devices `chosen`, which ascend; one slot each.
pub fn deal(
    dealing: Dealing,
    groups: usize,
    chosen: &[u32],
    strength: impl Fn(u32) -> f32,
    seed: u64,
    round: u32,
) -> Vec<Member> {
    let members: Vec<_> =
        chosen.iter().map(|&number| spry::Member { number, strength: strength(number) }).collect();
    let shares = spry::deal(dealing, groups, &members, seed, round);
    (0..)
        .zip(chosen)
        .zip(shares)
        .map(|((slot, &number), share)| Member {
            number,
            groups: GroupSet { first: share.first, step: share.step, count: share.count },
            slot,
        })
        .collect()
}

/// Vigna's SplitMix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_chosen_equally_often() {
        let mut times = [0u32; 20];
        for round in 0..4000 {
            let chosen = choose((1..=20).collect(), 5, 7, round, 0);
            assert_eq!(chosen.len(), 5);
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            chosen.iter().for_each(|&n| times[n as usize - 1] += 1);
        }
        // 1000 expected; the standard deviation is 27.
        assert!(times.iter().all(|&t| (880..1120).contains(&t)), "{times:?}");
    }

    #[test]
    fn a_choice_depends_on_round_attempt_and_seed_only() {
        let choice = |seed, round, attempt| choose((1..=50).collect(), 10, seed, round, attempt);
        assert_eq!(choice(1, 2, 0), choice(1, 2, 0));
        assert_ne!(choice(1, 2, 0), choice(1, 3, 0));
        assert_ne!(choice(1, 2, 0), choice(1, 2, 1));
        assert_ne!(choice(1, 2, 0), choice(2, 2, 0));
        assert_eq!(choose(vec![3, 9], 10, 1, 1, 0), [3, 9]);
    }
}
