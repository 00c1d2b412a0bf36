//! Takes the veils off the sum of all that reported: their own ones, and those they have with members that were lost.

use super::{Collector, Total};
use crate::MaskingError;
use crate::context::Context;
use crate::derive;
use crate::error::Stage;
use crate::messages::Question;
use crate::pieces::Joining;
use crate::veil;
use curve25519_dalek::Scalar;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

impl Collector {
    /// The total of those that reported, once enough have answered. Bit for bit the sum of their values modulo 2⁶⁴.
    ///
    /// # Errors
    /// [`TooFew`](MaskingError::TooFew) below the threshold; [`Unopened`](MaskingError::Unopened), if a secret that pieces
    /// give is not the one that was promised; [`Ours`](MaskingError::Ours) before the question.
    pub fn total(&self) -> Result<Total, MaskingError> {
        let (question, _) = self.asked.as_ref().ok_or_else(|| super::before("a total"))?;
        self.enough(Stage::Answers, self.answers.len())?;
        let values = opened(self, question)?;
        Ok(Total { members: question.reported.clone(), values })
    }
}

/// The total (figure 4, round 4). What of secrets is opened for it is wiped on the way.
fn opened(collector: &Collector, question: &Question) -> Result<Vec<i64>, MaskingError> {
    let opening = Opening::of(collector)?;
    let mut sums = collector.sums.clone();
    for (at, member) in question.reported.iter().enumerate() {
        let own_seed = opening.own_seed(at, *member)?;
        veil::subtract(&mut sums, &derive::own_veil(&own_seed, opening.listed));
    }
    for (at, lost) in question.lost.iter().enumerate() {
        let veiling = opening.veiling(question.reported.len() + at, *lost)?;
        for member in &question.reported {
            opening.take_off(&mut sums, &veiling, *lost, *member)?;
        }
    }
    Ok(sums.into_iter().map(u64::cast_signed).collect())
}

/// How secrets are put together from the answers that are used: of as many members as the threshold, in their order.
pub(super) struct Opening<'c> {
    collector: &'c Collector,
    pub(super) listed: &'c Context,
    givers: Vec<u32>,
    joining: Joining,
}

impl<'c> Opening<'c> {
    pub(super) fn of(collector: &'c Collector) -> Result<Self, MaskingError> {
        let (_, listed) = collector.listed.as_ref().ok_or_else(|| super::before("a total"))?;
        let givers: Vec<u32> = collector.answers.keys().copied().take(collector.terms.threshold()).collect();
        let joining = Joining::of(&givers);
        Ok(Self { collector, listed, givers, joining })
    }

    /// The seed of a reported member's own veil, if it is the one that was promised.
    pub(super) fn own_seed(&self, at: usize, owner: u32) -> Result<Zeroizing<Scalar>, MaskingError> {
        let seed = self.join(at);
        let promised = self.collector.keys.get(&owner).map(|keys| keys.promise);
        if promised != Some(derive::promise(&seed, &self.collector.context)) {
            return Err(self.unopened(owner));
        }
        Ok(seed)
    }

    /// A lost member's key for veils, if its public half is the one that was listed.
    pub(super) fn veiling(&self, at: usize, owner: u32) -> Result<StaticSecret, MaskingError> {
        let key = derive::veiling_key(&self.join(at), &self.collector.context);
        let listed = self.collector.keys.get(&owner).map(|keys| keys.veiling);
        if listed != Some(PublicKey::from(&key).to_bytes()) {
            return Err(self.unopened(owner));
        }
        Ok(key)
    }

    /// Takes off the veil that `member` has put on with respect to one that was lost.
    fn take_off(
        &self,
        sums: &mut [u64],
        veiling: &StaticSecret,
        lost: u32,
        member: u32,
    ) -> Result<(), MaskingError> {
        let theirs = self.collector.keys.get(&member).map(|keys| keys.veiling);
        let key = theirs.and_then(|theirs| derive::pair_veil(veiling, &theirs, self.listed, [lost, member]));
        let key = key.ok_or_else(|| MaskingError::member(member, "a public key that is none"))?;
        // The other way round than it was put on.
        let change = if lost < member { veil::subtract } else { veil::add };
        change(sums, &key);
        Ok(())
    }

    /// The secret whose pieces stand at that place in every answer.
    fn join(&self, at: usize) -> Zeroizing<Scalar> {
        let answers = self.givers.iter().filter_map(|giver| self.collector.answers.get(giver));
        self.joining.join(answers.filter_map(|pieces| pieces.get(at)).map(|piece| &**piece))
    }

    fn unopened(&self, owner: u32) -> MaskingError {
        MaskingError::Unopened { owner, givers: self.givers.clone() }
    }
}
