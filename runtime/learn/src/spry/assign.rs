//! Who trains which groups in which round (specification 3.1 and 6.7). A pure function of the members, the seed and the
//! round: a coordinator that restarts deals the same hands.

use serde::{Deserialize, Serialize};
use sprig_ground::names;
use sprig_ground::random::mix;

/// Most groups of a fleet: a share names them by 16 bits.
pub const MAX_GROUPS: usize = u16::MAX as usize;

/// A member below this part of the strength of its tier's strongest is of the next tier. Speeds that boards measure of
/// themselves scatter by some ten per cent; kinds of boards differ by two or more.
const TIER: f32 = 2.0 / 3.0;

/// How groups are dealt. Each has min(L, M) hands; with more members than groups (M > L) the hand at place i of M is
/// group ⌊iL/M⌋, or i mod L if cyclic, so that the holders of two groups differ by one at most.
///
/// Hands rotate. Rounds are cut into periods of as many rounds as there are places (within a tier, if device-aware);
/// each period begins with another seeded order of the members and moves everyone one place on a round. A member that
/// takes part in all rounds of a period has every place in it once, so every group within reach, and the place of a
/// member in any one round is uniformly distributed over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealing {
    /// Place i has the groups j with j mod M = i (the paper's).
    Cyclic,
    /// Runs of neighbouring groups, which differ by one group at most.
    Contiguous,
    /// All groups to everybody: no split, as in federated averaging.
    Unsplit,
    /// Runs too, but the weakest members have the uppermost, where tangents start late: a step is then shorter. Hands
    /// rotate among members of like strength only, so lower groups learn from the strong members' data alone.
    DeviceAware,
}

names!(
    Dealing,
    "way of dealing groups",
    [Contiguous = "contiguous", Cyclic = "cyclic", DeviceAware = "device-aware", Unsplit = "unsplit"]
);

/// One who takes part in a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Stable number of the device.
    pub number: u32,
    /// Its speed, in any unit; what is not a number counts as 0.
    pub strength: f32,
}

/// Groups of one member: `first`, `first + step`, … , `count` of them. `step` is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// First group.
    pub first: u16,
    /// Distance of two neighbours.
    pub step: u16,
    /// Groups in all.
    pub count: u16,
}

impl Share {
    /// All of `groups` groups.
    pub fn all(groups: usize) -> Self {
        Self { first: 0, step: 1, count: groups.min(MAX_GROUPS) as u16 }
    }

    /// Its groups, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..usize::from(self.count)).map(move |i| usize::from(self.first) + i * usize::from(self.step))
    }

    /// Its last group.
    pub fn last(self) -> Option<usize> {
        let steps = usize::from(self.count.checked_sub(1)?);
        Some(usize::from(self.first) + steps * usize::from(self.step))
    }

    /// Whether it has `group`.
    pub fn contains(self, group: usize) -> bool {
        self.iter().any(|g| g == group)
    }
}

/// Deals `groups` groups (at most [`MAX_GROUPS`]) among `members`: one share a member, in the order of `members`.
pub fn deal(dealing: Dealing, groups: usize, members: &[Member], seed: u64, round: u32) -> Vec<Share> {
    deal_to_teams(dealing, groups, (members, 1), seed, round)
}

/// The same with each hand dealt to a team of at least so many members, or to all where they are fewer: as many hands as there
/// are teams, to neighbouring places.
pub fn deal_to_teams(
    dealing: Dealing,
    groups: usize,
    (members, team): (&[Member], usize),
    seed: u64,
    round: u32,
) -> Vec<Share> {
    let places = members.len();
    let mut shares = vec![Share { first: 0, step: 1, count: 0 }; places];
    if groups == 0 || places == 0 {
        return shares;
    }
    let teams = (places / team.max(1)).max(1);
    let mut first = 0;
    for tier in tiers(dealing, members) {
        for (member, place) in rotate(&tier, members, seed, round) {
            let team = (first + place) * teams / places;
            shares[member] = hand(dealing, groups.min(MAX_GROUPS), teams, team);
        }
        first += tier.len();
    }
    shares
}

/// The hand of one of `places` places.
fn hand(dealing: Dealing, groups: usize, places: usize, place: usize) -> Share {
    let (first, step, end) = match dealing {
        Dealing::Unsplit => (0, 1, groups),
        Dealing::Cyclic if groups < places => (place % groups, 1, place % groups + 1),
        Dealing::Cyclic => (place, places, groups),
        _ if groups < places => (place * groups / places, 1, place * groups / places + 1),
        _ => (place * groups / places, 1, (place + 1) * groups / places),
    };
    let count = (end - first).div_ceil(step);
    Share { first: first as u16, step: step as u16, count: count as u16 }
}

/// Members, as places in `members`, in tiers from the strongest to the weakest.
fn tiers(dealing: Dealing, members: &[Member]) -> Vec<Vec<usize>> {
    if dealing != Dealing::DeviceAware {
        return vec![(0..members.len()).collect()];
    }
    let strength = |i: usize| if members[i].strength.is_nan() { 0.0 } else { members[i].strength };
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|&a, &b| {
        strength(b).total_cmp(&strength(a)).then(members[a].number.cmp(&members[b].number))
    });
    let mut tiers: Vec<Vec<usize>> = Vec::new();
    for member in order {
        match tiers.last_mut() {
            Some(tier) if strength(member) >= TIER * strength(tier[0]) => tier.push(member),
            _ => tiers.push(vec![member]),
        }
    }
    tiers
}

/// (member, place in the tier) in `round`.
fn rotate<'a>(
    tier: &'a [usize],
    members: &'a [Member],
    seed: u64,
    round: u32,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let (period, round) = (tier.len() as u64, u64::from(round));
    let key = mix(seed ^ mix(round / period));
    let mut order = tier.to_vec();
    order.sort_by_cached_key(|&i| (mix(key ^ u64::from(members[i].number)), members[i].number));
    order.into_iter().enumerate().map(move |(i, member)| (member, ((i as u64 + round) % period) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_have_enough_members_and_hold_every_group_once() {
        for (dealing, m) in ALL.into_iter().flat_map(|d| (1..60).map(move |m| (d, m))) {
            for (l, team) in [(24, 3), (24, 5), (4, 3)] {
                let shares = deal_to_teams(dealing, l, (&members(m), team), 3, 8);
                let mut holders = vec![0; l];
                shares.iter().flat_map(|share| share.iter()).for_each(|group| holders[group] += 1);
                assert!(holders.iter().all(|&n| n >= team.min(m)), "{dealing:?} {m} {l} {holders:?}");
                let teams: std::collections::HashSet<Vec<usize>> =
                    shares.iter().map(|share| share.iter().collect()).collect();
                assert_eq!(teams.iter().map(Vec::len).sum::<usize>(), l, "no group is in two teams");
            }
        }
    }

    const ALL: [Dealing; 3] = [Dealing::Cyclic, Dealing::Contiguous, Dealing::DeviceAware];

    #[test]
    fn unsplit_groups_are_everybodys() {
        for (l, m) in [(7, 3), (3, 7), (1, 1)] {
            assert_eq!(deal(Dealing::Unsplit, l, &members(m), 3, 5), vec![Share::all(l); m]);
        }
    }

    /// Three kinds of boards.
    fn members(count: usize) -> Vec<Member> {
        let member = |i: usize| Member {
            number: 1000 + 7 * i as u32,
            strength: [40.0, 100.0, 15.0][i % 3] + (i % 5) as f32,
        };
        (0..count).map(member).collect()
    }

    /// T7, for all sizes: every group is held, loads differ by one at most, weights of holders sum to 1.
    #[test]
    fn every_group_is_held_and_loads_are_even() {
        for (dealing, m) in ALL.into_iter().flat_map(|d| (1..130).map(move |m| (d, m))) {
            let members = members(m);
            for l in 1..130usize {
                let shares = deal(dealing, l, &members, 3, l as u32);
                assert_eq!(shares.len(), m);
                let (mut examples, mut holders) = (vec![0usize; l], vec![0usize; l]);
                for (i, g) in shares.iter().enumerate().flat_map(|(i, s)| s.iter().map(move |g| (i, g))) {
                    examples[g] += 1 + i % 4;
                    holders[g] += 1;
                }
                // The weight of a holder is its share of the examples behind the group.
                let mut weights = vec![0.0f64; l];
                for (i, g) in shares.iter().enumerate().flat_map(|(i, s)| s.iter().map(move |g| (i, g))) {
                    weights[g] += (1 + i % 4) as f64 / examples[g] as f64;
                }
                assert!(weights.iter().all(|w| (w - 1.0).abs() < 1e-6), "{dealing:?} {l} {m}");
                let spread = |loads: &mut dyn Iterator<Item = usize>| {
                    let loads: Vec<usize> = loads.collect();
                    loads.iter().max().unwrap() - loads.iter().min().unwrap()
                };
                let loads = spread(&mut shares.iter().map(|s| s.iter().count()));
                assert!(loads <= 1 && spread(&mut holders.iter().copied()) <= 1, "{dealing:?} {l} {m}");
                let once = if l >= m { holders.iter().all(|&h| h == 1) } else { loads == 0 };
                assert!(once, "{dealing:?} {l} {m}");
            }
        }
    }

    /// T11: within a period of aligned rounds each member has had each place of its tier, so each group within reach.
    #[test]
    fn rotation_reaches_every_allowed_group() {
        for (dealing, l, m) in
            ALL.into_iter().flat_map(|d| [(96, 4), (7, 3), (3, 7), (12, 12), (5, 60)].map(|(l, m)| (d, l, m)))
        {
            let members = members(m);
            for tier in tiers(dealing, &members) {
                let period = tier.len();
                for start in [0, 5 * period] {
                    let rounds: Vec<Vec<Share>> =
                        (start..start + period).map(|r| deal(dealing, l, &members, 11, r as u32)).collect();
                    let reach = |i: usize| {
                        let mut reach: Vec<usize> = rounds.iter().flat_map(|r| r[i].iter()).collect();
                        reach.sort_unstable();
                        reach
                    };
                    let whole = reach(tier[0]);
                    assert!(tier.iter().all(|&i| reach(i) == whole), "{dealing:?} {l} {m}");
                    if dealing != Dealing::DeviceAware {
                        assert!((0..l).all(|g| whole.contains(&g)), "{dealing:?} {l} {m}");
                    }
                }
            }
        }
    }

    #[test]
    fn weak_members_have_upper_blocks() {
        let members = members(9);
        for round in 0..20 {
            let shares = deal(Dealing::DeviceAware, 24, &members, 5, round);
            for (a, b) in (0..9).flat_map(|a| (0..9).map(move |b| (a, b))) {
                if members[a].strength > 2.0 * members[b].strength {
                    assert!(shares[a].last() < Some(usize::from(shares[b].first)), "{round}: {a} over {b}");
                }
            }
        }
    }

    /// Places do not depend on the order in which members are named, change with the seed, and are equally likely.
    #[test]
    fn places_are_fair() {
        let members = members(4);
        let backwards: Vec<Member> = members.iter().rev().copied().collect();
        let mut counts = [[0usize; 4]; 4];
        for seed in 0..4000 {
            let shares = deal(Dealing::Contiguous, 4, &members, seed, 9);
            let mut again = deal(Dealing::Contiguous, 4, &backwards, seed, 9);
            again.reverse();
            assert_eq!(shares, again);
            shares.iter().enumerate().for_each(|(i, s)| counts[i][usize::from(s.first)] += 1);
        }
        // 1000 ± 5 standard deviations of 27.
        assert!(counts.as_flattened().iter().all(|c| c.abs_diff(1000) < 137), "{counts:?}");
    }

    /// A coordinator that restarts, in another version too, deals the same hands.
    #[test]
    fn hands_are_pinned() {
        let firsts = |dealing, round| {
            let shares = deal(dealing, 24, &members(4), 42, round);
            shares.iter().map(|s| s.first).collect::<Vec<_>>()
        };
        assert_eq!(firsts(Dealing::Contiguous, 0), [12, 0, 18, 6]);
        assert_eq!(firsts(Dealing::Cyclic, 5), [0, 3, 2, 1]);
        assert_eq!(deal(Dealing::Cyclic, 1, &[], 0, 0), []);
    }
}
