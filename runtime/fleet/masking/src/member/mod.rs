//! A member: a device that adds its values to a round's total and shows them to nobody (the paper's user u, figure 4).

mod agreed;
mod checks;
mod stored;

use crate::context::Context;
use crate::derive::{self, Key, Secrets};
use crate::messages::{Answer, Delivery, Keys, Package, Packages, Peer, Piece, Question, Roster, Veiled};
use crate::pieces::Polynomial;
use crate::sealing::Pieces;
use crate::veil::{self, Stream};
use crate::{MaskingError, Terms};
use agreed::{Held, Listed};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use zeroize::Zeroizing;

/// A member in one round. Each stage takes what the collector says and gives what to send; the same again gives the same
/// again, and anything else instead of it is refused.
///
/// *Commit, then speak*: after each stage [`to_bytes`](Self::to_bytes) is to be stored before anything is sent. A member that
/// forgot what it sent could be asked a second time, and otherwise.
pub struct Member {
    terms: Terms,
    number: u32,
    /// All secrets follow from it.
    root: Key,
    context: Context,
    secrets: Secrets,
    listed: Option<Listed>,
    held: Option<Held>,
    asked: Option<Question>,
}

impl Member {
    /// A member of that number, with secrets drawn from `source`, which nobody may foresee.
    ///
    /// # Errors
    /// [`Randomness`](MaskingError::Randomness): the source's.
    pub fn draw(terms: Terms, number: u32, source: &mut dyn Read) -> Result<Self, MaskingError> {
        let mut root = Key::default();
        source.read_exact(&mut root[..]).map_err(|error| MaskingError::Randomness(error.to_string()))?;
        Ok(Self::of_root(terms, number, root))
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What was agreed on.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Stage 0: its public keys.
    pub fn keys(&self) -> Keys {
        let Peer { member, sealing, veiling } = self.peer();
        let promise = derive::promise(&self.secrets.own_seed, &self.context);
        Keys { tag: self.context.tag(), member, sealing, veiling, promise }
    }

    /// Stage 1: pieces of its two secrets, sealed for each other member of the list.
    ///
    /// # Errors
    /// [`Collector`](MaskingError::Collector), if the list cannot be or is not the one given before;
    /// [`Member`](MaskingError::Member), if a member's key is none.
    pub fn deal(&mut self, roster: &Roster) -> Result<Packages, MaskingError> {
        match &self.listed {
            Some(listed) if listed.roster == *roster => self.packages(listed),
            Some(_) => Err(MaskingError::collector("a second and other list of members")),
            None => {
                let listed = self.list(roster)?;
                let packages = self.packages(&listed)?;
                self.listed = Some(listed);
                Ok(packages)
            }
        }
    }

    /// Stage 2: its values under their veils.
    ///
    /// # Errors
    /// [`Collector`](MaskingError::Collector), if the delivery cannot be or is not the one given before;
    /// [`Member`](MaskingError::Member), if a package was changed or made by a wrong key;
    /// [`TooFew`](MaskingError::TooFew), if fewer than the threshold dealt pieces;
    /// [`Ours`](MaskingError::Ours), if values are not as many as agreed on, or not those veiled before.
    pub fn veil(&mut self, delivery: &Delivery, values: &[i64]) -> Result<Veiled, MaskingError> {
        let listed = self.listed.as_ref().ok_or_else(|| MaskingError::ours("values before a list"))?;
        if values.len() != self.terms.values() {
            let why = format!("{} values where {} were agreed on", values.len(), self.terms.values());
            return Err(MaskingError::ours(why));
        }
        if let Some(held) = &self.held {
            if held.delivery != *delivery {
                return Err(MaskingError::collector("a second and other delivery"));
            }
            let veiled = self.veiled(listed, held, values)?;
            // Two vectors under one veil would give their difference away.
            return match digest(&veiled) == held.veiled {
                true => Ok(veiled),
                false => Err(MaskingError::ours("other values than those veiled before")),
            };
        }
        let mut held = self.hold(listed, delivery)?;
        let veiled = self.veiled(listed, &held, values)?;
        held.veiled = digest(&veiled);
        self.held = Some(held);
        Ok(veiled)
    }

    /// Stage 3: of each dealer a piece of one of its secrets.
    ///
    /// # Errors
    /// [`Collector`](MaskingError::Collector), if the question cannot be, or another one was answered.
    pub fn answer(&mut self, question: &Question) -> Result<Answer, MaskingError> {
        let held = self.held.as_ref().ok_or_else(|| MaskingError::ours("an answer before values"))?;
        match &self.asked {
            Some(asked) if asked != question => {
                return Err(MaskingError::collector("a second and other question"));
            }
            Some(_) => {}
            None => checks::question(&self.terms, self.number, held, question)?,
        }
        let Question { reported, lost, .. } = question;
        let own = reported.iter().map(|of| (of, true));
        let pieces = own.chain(lost.iter().map(|of| (of, false))).filter_map(|(of, own)| {
            let pieces = held.pieces.get(of)?;
            let piece = if own { &pieces.of_own } else { &pieces.of_veil };
            Some(Piece { of: *of, piece: piece.to_bytes() })
        });
        let tag = held.context.with_question(reported, lost).tag();
        let answer = Answer { tag, member: self.number, pieces: pieces.collect() };
        self.asked = Some(question.clone());
        Ok(answer)
    }

    fn of_root(terms: Terms, number: u32, root: Key) -> Self {
        let context = Context::of_terms(&terms);
        let secrets = Secrets::of(&root, &context, number);
        Self { terms, number, root, context, secrets, listed: None, held: None, asked: None }
    }

    fn peer(&self) -> Peer {
        let public = |secret| x25519_dalek::PublicKey::from(secret).to_bytes();
        let Secrets { sealing, veiling, .. } = &self.secrets;
        Peer { member: self.number, sealing: public(sealing), veiling: public(veiling) }
    }

    fn list(&self, roster: &Roster) -> Result<Listed, MaskingError> {
        checks::roster(&self.terms, &self.context, &self.peer(), roster)?;
        Ok(Listed { roster: roster.clone(), context: self.context.with_peers(&roster.peers) })
    }

    fn packages(&self, listed: &Listed) -> Result<Packages, MaskingError> {
        let polynomials = self.polynomials(listed);
        let others = listed.roster.peers.iter().filter(|peer| peer.member != self.number);
        let seal = |peer: &Peer| {
            let Secrets { sealing, .. } = &self.secrets;
            let key =
                derive::package_key(sealing, &peer.sealing, &listed.context, [self.number, peer.member]);
            let sealed = pieces(&polynomials, peer.member).seal(&key.ok_or_else(|| no_key(peer))?);
            Ok(Package { peer: peer.member, sealed })
        };
        let packages = others.map(seal).collect::<Result<_, MaskingError>>()?;
        Ok(Packages { tag: listed.context.tag(), member: self.number, packages })
    }

    /// Of the seed of its key for veils, and of that of its own veil; under this list, and the same each time.
    fn polynomials(&self, listed: &Listed) -> [Polynomial; 2] {
        let mut stream = Stream::new(&derive::dealing_key(&self.root, &listed.context, self.number));
        let Secrets { veil_seed, own_seed, .. } = &self.secrets;
        [veil_seed, own_seed].map(|secret| Polynomial::draw(secret, self.terms.threshold(), &mut stream))
    }

    /// Opens what came. Nothing is veiled yet.
    fn hold(&self, listed: &Listed, delivery: &Delivery) -> Result<Held, MaskingError> {
        let dealers = checks::delivery(&self.terms, self.number, listed, delivery)?;
        let mut held = BTreeMap::from([(self.number, pieces(&self.polynomials(listed), self.number))]);
        for package in &delivery.packages {
            let peer = listed.peer(package.peer)?;
            let Secrets { sealing, .. } = &self.secrets;
            let key =
                derive::package_key(sealing, &peer.sealing, &listed.context, [peer.member, self.number]);
            let pieces =
                Pieces::open(&package.sealed, &key.ok_or_else(|| no_key(peer))?).ok_or_else(|| {
                    MaskingError::member(peer.member, "a package that its key did not seal, or for another")
                })?;
            held.insert(peer.member, pieces);
        }
        let context = listed.context.with_dealers(&dealers);
        Ok(Held { delivery: delivery.clone(), context, pieces: held, veiled: [0; 32] })
    }

    /// y = x + PRG(b) + Σ ±PRG(s) over the other dealers: plus for those of lower numbers (figure 4, round 2).
    fn veiled(&self, listed: &Listed, held: &Held, values: &[i64]) -> Result<Veiled, MaskingError> {
        let mut sums = Zeroizing::new(values.iter().map(|value| value.cast_unsigned()).collect::<Vec<u64>>());
        veil::add(&mut sums, &derive::own_veil(&self.secrets.own_seed, &listed.context));
        for package in &held.delivery.packages {
            let peer = listed.peer(package.peer)?;
            let pair = [self.number, peer.member];
            let key = derive::pair_veil(&self.secrets.veiling, &peer.veiling, &listed.context, pair);
            let change = if peer.member < self.number { veil::add } else { veil::subtract };
            change(&mut sums, &key.ok_or_else(|| no_key(peer))?);
        }
        // Nothing secret is left in them.
        Ok(Veiled { tag: held.context.tag(), member: self.number, values: std::mem::take(&mut *sums) })
    }
}

fn pieces([of_veil, of_own]: &[Polynomial; 2], member: u32) -> Pieces {
    Pieces { of_veil: Zeroizing::new(of_veil.at(member)), of_own: Zeroizing::new(of_own.at(member)) }
}

fn no_key(peer: &Peer) -> MaskingError {
    MaskingError::member(peer.member, "a public key that gives one secret with everybody")
}

fn digest(veiled: &Veiled) -> [u8; 32] {
    let mut hash = Sha256::new();
    veiled.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    hash.finalize().into()
}
