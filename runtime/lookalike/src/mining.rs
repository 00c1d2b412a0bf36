//! Pairs out of the model's own inconsistencies (specification 3 and 4): of each question's candidates those that contradict
//! it, the likeliest first.

use crate::wrong::{Form, Kind, Wrong};
use serde::{Deserialize, Serialize};
use sprig_mcq::Item;
use std::collections::BTreeMap;

/// An answer that the model gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// As it was written, to the end of its line.
    pub text: String,
    /// Logarithm of its probability under the model.
    pub log_probability: f64,
    /// What it is.
    pub wrong: Wrong,
}

/// What was found on the way. The kinds' sum is the number of pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Pairs by kind.
    pub pairs: BTreeMap<Kind, u64>,
    /// Candidates looked at.
    pub candidates: u64,
    /// Of these, those that answer as asked.
    pub consistent: u64,
    /// Those without a canonical form.
    pub malformed: u64,
    /// Those that say the same as a likelier one.
    pub repeated: u64,
    /// Copies of the key beyond the cap, and what was not asked for.
    pub left_out: u64,
}

/// Picks negatives.
#[derive(Clone, Debug)]
pub struct Miner {
    /// Most of a question.
    pub most: usize,
    /// Of so many pairs at most one rejects a copy of the key: else it would be learnt that no answer is ever the key's.
    pub key_cap: u64,
    /// Kinds that are wanted.
    pub kinds: Vec<Kind>,
    /// What was found so far.
    pub counts: Counts,
}

impl Miner {
    /// The likeliest wrong ones of `candidates` to one question about `item`, each once; a copy of the key only while the cap
    /// allows it.
    pub fn pick(&mut self, item: &Item, mut candidates: Vec<Candidate>) -> Vec<(Kind, String)> {
        candidates.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
        let mut picked: Vec<(Kind, String)> = Vec::new();
        let mut seen: Vec<Form> = Vec::new();
        for candidate in candidates {
            self.counts.candidates += 1;
            let (kind, form) = match candidate.wrong {
                Wrong::Not => {
                    self.counts.consistent += 1;
                    continue;
                }
                Wrong::Malformed => {
                    self.counts.malformed += 1;
                    continue;
                }
                Wrong::So(kind, form) => (kind, form),
            };
            if seen.iter().any(|other| other.same(&form, item)) {
                self.counts.repeated += 1;
                continue;
            }
            seen.push(form);
            if picked.len() == self.most || !self.takes(kind) {
                self.counts.left_out += 1;
                continue;
            }
            *self.counts.pairs.entry(kind).or_default() += 1;
            picked.push((kind, candidate.text));
        }
        picked
    }

    fn takes(&self, kind: Kind) -> bool {
        let keys = self.counts.pairs.get(&Kind::Key).copied().unwrap_or(0);
        let capped = kind == Kind::Key && (keys + 1) * self.key_cap > self.counts.total() + 1;
        self.kinds.contains(&kind) && !capped
    }
}

impl Counts {
    /// Pairs of all kinds.
    pub fn total(&self) -> u64 {
        self.pairs.values().sum()
    }

    /// Adds what another mining found.
    pub fn add(&mut self, other: &Self) {
        for (kind, n) in &other.pairs {
            *self.pairs.entry(*kind).or_default() += n;
        }
        self.candidates += other.candidates;
        self.consistent += other.consistent;
        self.malformed += other.malformed;
        self.repeated += other.repeated;
        self.left_out += other.left_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrong::tests::item;
    use crate::wrong::wrong_answer;
    use sprig_mcq::Code;

    fn miner(most: usize) -> Miner {
        Miner { most, key_cap: 4, kinds: Kind::ALL.to_vec(), counts: Counts::default() }
    }

    fn candidates(texts: &[&str]) -> Vec<Candidate> {
        let candidate = |(i, text): (usize, &&str)| Candidate {
            text: format!(" {text}\n"),
            log_probability: -(i as f64),
            wrong: wrong_answer(&item(), Code::AddSame, text),
        };
        texts.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn the_likeliest_wrong_answers_are_kept_once_each() {
        let mut miner = miner(2);
        let mut given = candidates(&["17", "-8", "24", "34/2", "?", "5", "99"]);
        given.reverse();
        let picked = miner.pick(&item(), given);
        assert_eq!(picked, [(Kind::Mismatch, " 17\n".to_owned()), (Kind::Swap, " 24\n".to_owned())]);
        let Counts { candidates, consistent, malformed, repeated, left_out, .. } = miner.counts;
        assert_eq!((candidates, consistent, malformed, repeated, left_out), (7, 1, 1, 1, 2));
        assert_eq!(miner.counts.total(), 2);
    }

    /// V10: no more than one pair in four rejects a copy of the key, whatever the order, and the kinds sum to the pairs.
    #[test]
    fn copies_of_the_key_are_capped() {
        let mut miner = miner(3);
        assert_eq!(miner.pick(&item(), candidates(&["-5"])), []);
        let mut pairs = 0;
        for round in 0..50 {
            let texts: &[&str] = if round % 3 == 0 { &["17", "24"] } else { &["-5", "18"] };
            pairs += miner.pick(&item(), candidates(texts)).len() as u64;
            let keys = miner.counts.pairs.get(&Kind::Key).copied().unwrap_or(0);
            assert!(4 * keys <= miner.counts.total(), "{:?}", miner.counts);
        }
        assert_eq!(miner.counts.total(), pairs);
        assert!(miner.counts.pairs[&Kind::Key] > 10);
    }

    #[test]
    fn kinds_that_are_not_wanted_are_left_out() {
        let mut miner = Miner { kinds: vec![Kind::Swap], ..miner(3) };
        assert_eq!(miner.pick(&item(), candidates(&["17", "24", "-5"])), [(Kind::Swap, " 24\n".to_owned())]);
        assert_eq!(miner.counts.left_out, 2);
    }
}
