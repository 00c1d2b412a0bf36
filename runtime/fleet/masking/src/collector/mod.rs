//! The collector: the coordinator, which gets a round's total and no member's values (the paper's server, figure 4).

mod course;
mod opening;
#[cfg(test)]
mod tests;
mod total;

pub use total::Total;

use crate::context::Context;
use crate::derive;
use crate::error::Stage;
use crate::messages::{Answer, Delivery, Keys, Package, Packages, Peer, Question, Roster, Veiled};
use crate::sealing::scalar;
use crate::{MaskingError, Terms};
use curve25519_dalek::Scalar;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The collector of one round. Each stage takes messages until the caller closes it by asking for what follows; when that
/// is, is the caller's to decide. What came twice counts once; what came late is refused.
///
/// It has no randomness: a coordinator that keeps messages in their order has it again by giving them again. Memory is that
/// of packages, 84 n² bytes until the round ends, and one vector of values.
pub struct Collector {
    terms: Terms,
    context: Context,
    keys: BTreeMap<u32, Keys>,
    listed: Option<(Roster, Context)>,
    packages: BTreeMap<u32, Packages>,
    dealt: Option<(Vec<u32>, Context)>,
    /// Of veiled values, modulo 2⁶⁴.
    sums: Vec<u64>,
    /// Who reported, with SHA-256 of what.
    reported: BTreeMap<u32, [u8; 32]>,
    asked: Option<(Question, Context)>,
    answers: BTreeMap<u32, Vec<Zeroizing<Scalar>>>,
}

impl Collector {
    /// One that knows nobody yet.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            context: Context::of_terms(&terms),
            keys: BTreeMap::new(),
            listed: None,
            packages: BTreeMap::new(),
            dealt: None,
            sums: vec![0; terms.values()],
            reported: BTreeMap::new(),
            asked: None,
            answers: BTreeMap::new(),
        }
    }

    /// What was agreed on.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How many have sent what the present stage waits for.
    pub fn waiting(&self) -> (Stage, usize) {
        match (&self.listed, &self.dealt, &self.asked) {
            (None, ..) => (Stage::Keys, self.keys.len()),
            (_, None, _) => (Stage::Packages, self.packages.len()),
            (.., None) => (Stage::Veiled, self.reported.len()),
            _ => (Stage::Answers, self.answers.len()),
        }
    }

    /// Stage 0: takes a member's keys; false if it has them already.
    ///
    /// That they are the member's own, the caller has to know from how they came: nothing here is signed.
    ///
    /// # Errors
    /// [`Member`](MaskingError::Member): of other terms, other than before, a key twice or of no use, too many members, or
    /// late.
    pub fn take_keys(&mut self, keys: Keys) -> Result<bool, MaskingError> {
        let member = keys.member;
        tagged(member, keys.tag, &self.context)?;
        if let Some(known) = self.keys.get(&member) {
            return same(member, *known == keys);
        }
        if self.listed.is_some() {
            return Err(MaskingError::Late { member, what: "keys after the list was closed" });
        }
        if self.keys.len() >= self.terms.members() {
            return Err(MaskingError::member(member, "keys of more members than were agreed on"));
        }
        let theirs = self.keys.values().flat_map(|known| [known.sealing, known.veiling]);
        if keys.sealing == keys.veiling
            || theirs.into_iter().any(|key| key == keys.sealing || key == keys.veiling)
        {
            return Err(MaskingError::member(member, "a key that is there already"));
        }
        // Every other member would refuse the list for it.
        if !derive::is_usable(&keys.sealing) || !derive::is_usable(&keys.veiling) {
            return Err(MaskingError::member(member, "a public key that gives one secret with everybody"));
        }
        self.keys.insert(member, keys);
        Ok(true)
    }

    /// Stage 0 is over: who takes part, for everybody.
    ///
    /// # Errors
    /// [`TooFew`](MaskingError::TooFew) below the threshold; the stage stays open.
    pub fn roster(&mut self) -> Result<Roster, MaskingError> {
        if let Some((roster, _)) = &self.listed {
            return Ok(roster.clone());
        }
        self.enough(Stage::Keys, self.keys.len())?;
        let peer = |keys: &Keys| Peer { member: keys.member, sealing: keys.sealing, veiling: keys.veiling };
        let roster = Roster { tag: self.context.tag(), peers: self.keys.values().map(peer).collect() };
        self.listed = Some((roster.clone(), self.context.with_peers(&roster.peers)));
        Ok(roster)
    }

    /// Stage 1: takes a member's packages; false if it has them already.
    ///
    /// # Errors
    /// [`Member`](MaskingError::Member): of another list, other than before, not one for each other member, or late;
    /// [`Ours`](MaskingError::Ours) before the list.
    pub fn take_packages(&mut self, packages: Packages) -> Result<bool, MaskingError> {
        let member = packages.member;
        let (roster, context) = self.listed.as_ref().ok_or_else(|| before("packages"))?;
        tagged(member, packages.tag, context)?;
        if let Some(known) = self.packages.get(&member) {
            return same(member, *known == packages);
        }
        if self.dealt.is_some() {
            return Err(MaskingError::Late { member, what: "packages after those of others were passed on" });
        }
        let wanted = roster.peers.iter().map(|peer| peer.member).filter(|peer| *peer != member);
        let found = packages.packages.iter().map(|package| package.peer);
        if !self.keys.contains_key(&member) || !wanted.eq(found) {
            return Err(MaskingError::member(member, "packages that are not one for each other member"));
        }
        self.packages.insert(member, packages);
        Ok(true)
    }

    /// Stage 1 is over: who dealt pieces. Each of them is sent its [`delivery`](Self::delivery).
    ///
    /// # Errors
    /// [`TooFew`](MaskingError::TooFew) below the threshold; the stage stays open.
    pub fn dealers(&mut self) -> Result<Vec<u32>, MaskingError> {
        let (_, context) = self.listed.as_ref().ok_or_else(|| before("dealers"))?;
        if let Some((dealers, _)) = &self.dealt {
            return Ok(dealers.clone());
        }
        self.enough(Stage::Packages, self.packages.len())?;
        let dealers: Vec<u32> = self.packages.keys().copied().collect();
        self.dealt = Some((dealers.clone(), context.with_dealers(&dealers)));
        Ok(dealers)
    }

    /// What is passed on to a dealer.
    ///
    /// # Errors
    /// [`Ours`](MaskingError::Ours), if it is none, or the stage is not over.
    pub fn delivery(&self, member: u32) -> Result<Delivery, MaskingError> {
        let (dealers, context) = self.dealt.as_ref().ok_or_else(|| before("a delivery"))?;
        if dealers.binary_search(&member).is_err() {
            return Err(MaskingError::ours(format!("a delivery to {member}, who dealt no pieces")));
        }
        let package = |from: &Packages| {
            let at = from.packages.binary_search_by_key(&member, |package| package.peer).ok()?;
            Some(Package { peer: from.member, sealed: from.packages[at].sealed })
        };
        let packages = self.packages.values().filter_map(package).collect();
        Ok(Delivery { tag: context.tag(), member, packages })
    }

    /// Stage 2: adds a member's veiled values; false if they are in already.
    ///
    /// # Errors
    /// [`Member`](MaskingError::Member): of other dealers, other than before, not as many as agreed on, or late: of one that
    /// counts as lost nothing may be known, and nothing can be;
    /// [`Ours`](MaskingError::Ours) before the deliveries.
    pub fn take_veiled(&mut self, veiled: &Veiled) -> Result<bool, MaskingError> {
        let member = veiled.member;
        let (dealers, context) = self.dealt.as_ref().ok_or_else(|| before("values"))?;
        tagged(member, veiled.tag, context)?;
        if dealers.binary_search(&member).is_err() {
            return Err(MaskingError::member(member, "values of one that dealt no pieces"));
        }
        if veiled.values.len() != self.terms.values() {
            let why = format!("{} values where {} were agreed on", veiled.values.len(), self.terms.values());
            return Err(MaskingError::member(member, why));
        }
        let mut hash = Sha256::new();
        veiled.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        let digest = hash.finalize().into();
        if let Some(known) = self.reported.get(&member) {
            return same(member, *known == digest);
        }
        if self.asked.is_some() {
            return Err(MaskingError::Late { member, what: "values after it counted as lost" });
        }
        self.sums.iter_mut().zip(&veiled.values).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
        self.reported.insert(member, digest);
        Ok(true)
    }

    /// Stage 2 is over: what those that reported are asked.
    ///
    /// # Errors
    /// [`TooFew`](MaskingError::TooFew) below the threshold; the stage stays open.
    pub fn question(&mut self) -> Result<Question, MaskingError> {
        let (dealers, context) = self.dealt.as_ref().ok_or_else(|| before("a question"))?;
        if let Some((question, _)) = &self.asked {
            return Ok(question.clone());
        }
        self.enough(Stage::Veiled, self.reported.len())?;
        let (reported, lost): (Vec<u32>, Vec<u32>) =
            dealers.iter().partition(|dealer| self.reported.contains_key(dealer));
        let context_of_it = context.with_question(&reported, &lost);
        let question = Question { tag: context.tag(), reported, lost };
        self.asked = Some((question.clone(), context_of_it));
        Ok(question)
    }

    /// Stage 3: takes a member's answer; false if it has that already.
    ///
    /// # Errors
    /// [`Member`](MaskingError::Member): to another question, other than before, or not one piece of each dealer;
    /// [`Ours`](MaskingError::Ours) before the question.
    pub fn take_answer(&mut self, answer: &Answer) -> Result<bool, MaskingError> {
        let member = answer.member;
        let (question, context) = self.asked.as_ref().ok_or_else(|| before("an answer"))?;
        tagged(member, answer.tag, context)?;
        if question.reported.binary_search(&member).is_err() {
            return Err(MaskingError::member(member, "an answer of one that did not report"));
        }
        let wanted = question.reported.iter().chain(&question.lost).copied();
        if !wanted.eq(answer.pieces.iter().map(|piece| piece.of)) {
            return Err(MaskingError::member(
                member,
                "an answer with not one piece of each that it was asked of",
            ));
        }
        let pieces: Option<Vec<_>> = answer.pieces.iter().map(|piece| scalar(piece.piece)).collect();
        let pieces =
            pieces.ok_or_else(|| MaskingError::member(member, "a piece that is no number of the field"))?;
        if let Some(known) = self.answers.get(&member) {
            return same(member, *known == pieces);
        }
        self.answers.insert(member, pieces);
        Ok(true)
    }

    fn enough(&self, stage: Stage, have: usize) -> Result<(), MaskingError> {
        let need = self.terms.threshold();
        if have < need { Err(MaskingError::TooFew { stage, have, need }) } else { Ok(()) }
    }
}

fn tagged(member: u32, tag: crate::Tag, context: &Context) -> Result<(), MaskingError> {
    if tag == context.tag() {
        return Ok(());
    }
    let what = "a message of another round, list of members, set of dealers or question";
    Err(MaskingError::Late { member, what })
}

/// Known already: fine, if it is the same.
fn same(member: u32, same: bool) -> Result<bool, MaskingError> {
    if same { Ok(false) } else { Err(MaskingError::member(member, "a second and other message of a stage")) }
}

fn before(what: &str) -> MaskingError {
    MaskingError::ours(format!("{what} before their stage"))
}
