//! What a device's noisy scalars have told of its records so far.

use super::Epsilon;
use super::scalars::{part, rho, variance};
use serde::{Deserialize, Serialize};

/// How a device visits its records, and the noise of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    /// Records it has.
    pub records: u32,
    /// Of which it visits so many a round, in the order of a permutation for each pass.
    pub each_round: u32,
    /// Variance of the noise, as of [`variance`](super::variance).
    pub variance: u64,
    /// Devices that share it, of which each adds a part; 1 where each adds all.
    #[serde(default = "alone", skip_serializing_if = "is_alone")]
    pub among: u32,
}

/// What was spent in a run. A record is visited at most once a pass over the data: so a pass that any round touched costs one
/// batch's ρ, and nobody has to count record by record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    entries: Vec<Entry>,
    /// The last round that was counted.
    round: Option<u32>,
}

/// Rounds with the same visits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    visits: Visits,
    /// Passes that were touched.
    passes: u64,
    /// The first pass that was not.
    next: u64,
}

impl Visits {
    /// Those of a device with `records` records, `each_round` of them a round, with noise enough that `rounds` rounds spend
    /// `epsilon`. `None` where that is more than can be drawn.
    pub fn planned(epsilon: Epsilon, rounds: u32, records: u32, each_round: u32) -> Option<Self> {
        let variance = variance(epsilon, Self::passes(records, each_round, rounds))?;
        Some(Self { records, each_round, variance, among: 1 })
    }

    /// The same where so many devices share the noise.
    #[must_use]
    pub fn among(self, among: u32) -> Self {
        Self { among, ..self }
    }

    /// Variance of what one device adds.
    pub fn part(&self) -> u64 {
        part(self.variance, self.among)
    }

    /// Passes over the data that `rounds` rounds touch.
    pub fn passes(records: u32, each_round: u32, rounds: u32) -> u64 {
        (u64::from(rounds) * u64::from(each_round)).div_ceil(u64::from(records.max(1)))
    }

    /// First and last pass that `round` touches.
    fn touched(self, round: u32) -> (u64, u64) {
        let (records, each) = (u64::from(self.records.max(1)), u64::from(self.each_round));
        let first = u64::from(round) * each;
        (first / records, (first + each.max(1) - 1) / records)
    }
}

impl Account {
    /// The account with `round` as well; `None` where that round is in it already, or a later one.
    pub fn with(&self, round: u32, visits: Visits) -> Option<Self> {
        if self.round.is_some_and(|last| last >= round) {
            return None;
        }
        let (first, last) = visits.touched(round);
        let mut account = self.clone();
        match account.entries.last_mut().filter(|entry| entry.visits == visits) {
            Some(entry) => {
                entry.passes += (last + 1).saturating_sub(first.max(entry.next));
                entry.next = last + 1;
            }
            // Other records or other noise: what was told before stays told of all of them.
            None => account.entries.push(Entry { visits, passes: last + 1 - first, next: last + 1 }),
        }
        account.round = Some(round);
        Some(account)
    }

    /// ρ of zero-concentrated differential privacy, for the record that was visited most.
    pub fn rho(&self) -> f64 {
        self.entries.iter().map(|entry| entry.passes as f64 * rho(entry.visits.variance)).sum()
    }

    /// The same as an ε.
    pub fn spent(&self) -> f64 {
        Epsilon::spent(self.rho())
    }

    /// Whether no more was told than `epsilon` allows.
    pub fn is_within(&self, epsilon: Epsilon) -> bool {
        self.rho() <= epsilon.rho()
    }
}

fn alone() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_alone(among: &u32) -> bool {
    *among == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Shuffle;
    use sprig_ground::random::SplitMix64;

    fn visits(records: u32, each_round: u32, rounds: u32, epsilon: f64) -> (Visits, Epsilon) {
        let epsilon = Epsilon::new(epsilon).unwrap();
        (Visits::planned(epsilon, rounds, records, each_round).unwrap(), epsilon)
    }

    /// Against a count record by record, of rounds of which some are left out.
    #[test]
    fn no_record_was_told_of_more_often_than_the_account_says() {
        let mut random = SplitMix64::new(11);
        for _ in 0..200 {
            let records = 1 + random.below(60) as u32;
            let each = 1 + random.below(records as usize) as u32;
            let (visits, _) = visits(records, each, 1, 8.0);
            let order = Shuffle::new(random.draw(), records as usize).unwrap();
            let (mut account, mut told) = (Account::default(), vec![0u64; records as usize]);
            for round in 0..40u32 {
                if random.below(3) == 0 {
                    continue;
                }
                account = account.with(round, visits).unwrap();
                let first = u64::from(round) * u64::from(each);
                let mut batch: Vec<usize> = (first..first + u64::from(each)).map(|i| order.at(i)).collect();
                batch.sort_unstable();
                batch.dedup();
                batch.iter().for_each(|&record| told[record] += 1);
            }
            let most = told.iter().max().copied().unwrap_or(0) as f64 * rho(visits.variance);
            assert!(account.rho() >= most * (1.0 - 1e-12), "{} {most}", account.rho());
        }
    }

    #[test]
    fn a_run_as_planned_spends_its_epsilon_and_no_more_and_longer_ones_are_told() {
        for (records, each, rounds) in [(400, 8, 60), (400, 8, 50), (40, 40, 25), (7, 5, 33)] {
            let (visits, epsilon) = visits(records, each, rounds, 4.0);
            let mut account = Account::default();
            for round in 0..rounds {
                account = account.with(round, visits).unwrap();
                assert!(account.is_within(epsilon), "{records} {round}");
            }
            assert!(account.spent() > 0.99 * 4.0 && account.spent() <= 4.0 + 1e-6, "{}", account.spent());
            assert_eq!(account.with(rounds - 1, visits), None);
            let more = account.with(rounds + records, visits).unwrap();
            assert!(!more.is_within(epsilon));
        }
    }

    #[test]
    fn other_records_or_other_noise_add_up() {
        let (few, _) = visits(100, 10, 10, 4.0);
        let many = Visits { records: 200, ..few };
        let account = Account::default().with(0, few).unwrap();
        let both = account.with(1, many).unwrap();
        assert!((both.rho() - 2.0 * account.rho()).abs() < 1e-12);
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), both);
    }
}
