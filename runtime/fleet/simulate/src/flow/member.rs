//! Devices of a study: who has which examples, and how well each is served.

use super::finding::Served;
use crate::personal::split;
use sprig_engine::adapter::{Adapter, Policy};
use sprig_learn::LearnError;
use sprig_learn::data::{DataSet, Shuffle};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;

/// One of so many devices takes no part in rounds and is served all the same.
const UNSEEN: usize = 5;
/// Fewest examples of a device: one to be tested on, and one for each half.
const FEWEST: usize = 3;

/// One device.
#[derive(Debug)]
pub(super) struct Member {
    /// Examples to learn from, as places in the data.
    pub train: Vec<usize>,
    /// Examples to be tested on.
    pub test: Vec<usize>,
    /// Whether it takes part in rounds.
    pub seen: bool,
}

impl Member {
    /// The devices that have examples enough: a fifth of each one's is for testing, and a fifth of the devices takes no part.
    pub(super) fn all(dealt: Vec<Vec<usize>>, seed: u64) -> Vec<Self> {
        let enough = dealt.into_iter().filter(|ids| ids.len() >= FEWEST).enumerate();
        let members = enough.map(|(i, mut train)| {
            let test = split(&mut train, seed);
            Self { train, test, seen: (i + 1) % UNSEEN != 0 }
        });
        members.collect()
    }

    /// As many of its training examples, ascending, or all.
    pub(super) fn some(&self, most: Option<usize>, seed: u64) -> Vec<usize> {
        let Some(most) = most.filter(|most| *most < self.train.len()) else { return self.train.clone() };
        let Some(order) = Shuffle::new(seed, self.train.len()) else { return Vec::new() };
        let mut some: Vec<usize> = (0..most as u64).map(|i| self.train[order.at(i)]).collect();
        some.sort_unstable();
        some
    }
}

/// Evaluates ways to answer on a device's test part.
pub(super) struct Judge<'j, 'm> {
    pub session: &'j mut Session<'m>,
    pub data: &'m DataSet,
    /// Examples of a pass.
    pub examples: usize,
}

impl Judge<'_, '_> {
    /// One outcome an example of `test` by `policy`, and the shares of its routed blocks.
    pub(super) fn judge(
        &mut self,
        adapter: &mut Adapter,
        policy: Policy,
        test: &[usize],
        shares: &mut Vec<Vec<f32>>,
    ) -> Result<Vec<Outcome>, LearnError> {
        adapter.follow(policy);
        let mut outcomes = vec![Outcome::default(); test.len()];
        for (ids, outcomes) in test.chunks(self.examples).zip(outcomes.chunks_mut(self.examples)) {
            self.session.judge(adapter, Minibatch::new(self.data, ids), outcomes)?;
            let (found, n) = (self.session.shares(), ids.len());
            shares.extend((0..n).map(|e| found.iter().skip(e).step_by(n).copied().collect::<Vec<_>>()));
        }
        Ok(outcomes)
    }

    /// How a derived state serves `member`: personally, by hard shares where it `routes`, and by its own adapter alone, where
    /// it has one.
    pub(super) fn serve(
        &mut self,
        adapter: &mut Adapter,
        (personal, routes): (Policy, bool),
        member: &Member,
        served: &mut Served,
    ) -> Result<(), LearnError> {
        let test = &member.test;
        served.personal = self.judge(adapter, personal, test, &mut served.shares)?;
        let hard = if routes { Policy::Hard } else { personal };
        served.hard = self.judge(adapter, hard, test, &mut Vec::new())?;
        let own = if personal == Policy::Global { personal } else { Policy::Local };
        served.local = self.judge(adapter, own, test, &mut Vec::new())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_devices_is_new_and_small_ones_are_left_out() {
        let dealt = (0..12).map(|i| (10 * i..10 * i + i).collect()).collect();
        let members = Member::all(dealt, 3);
        assert_eq!(members.len(), 9, "those of 0, 1 and 2 examples are left out");
        assert_eq!(members.iter().filter(|m| !m.seen).count(), 1);
        let last = &members[8];
        assert_eq!((last.train.len(), last.test.len()), (9, 2));
        for most in [0, 4, 9, 20] {
            let some = last.some(Some(most), 3);
            assert_eq!(some.len(), most.min(9));
            assert!(some.is_sorted() && some.iter().all(|id| last.train.contains(id)));
        }
        assert_eq!(last.some(None, 3), last.train);
    }
}
