//! How the next token is chosen: which tokens may be drawn at all, and by which shares.

use super::sampler::{Sampler, likeliest};
use crate::directions::run_key;
use sprig_budget::Bytes;
use std::cmp::Ordering;
use thiserror::Error;

/// How tokens are chosen. The default takes the likeliest each time: that is how an adapter is judged in training and by
/// `sprig eval`, and what small models are best at; chance is for whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoding {
    /// What logits are divided by; 0 takes the likeliest.
    pub temperature: f32,
    /// So many of the likeliest may be drawn; 0 for any number.
    pub top_k: u32,
    /// The likeliest may be drawn that together have this share, and the one that completes it; 1 for all.
    pub top_p: f32,
    /// Those may be drawn that have this share of the likeliest one's; 0 for all.
    pub min_p: f32,
    /// What the logits of tokens that were read or written already are divided by, or multiplied where they are below 0
    /// (Keskar and others, 2019); 1 for nothing.
    pub repetition_penalty: f32,
    /// The same seed draws the same.
    pub seed: u64,
}

/// What cannot be a way to choose.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{name} is {value}; {limits}")]
pub struct DecodingError {
    /// The number, as people call it.
    pub name: &'static str,
    value: f32,
    limits: &'static str,
}

/// A token that may be drawn.
#[derive(Clone, Copy)]
struct Candidate {
    logit: f32,
    id: u32,
}

/// Candidates that are sorted first, where it is not known how many will do.
const FIRST_SORTED: usize = 64;

impl Default for Decoding {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Decoding {
    /// Refuses numbers that choose nothing, or make no sense.
    ///
    /// # Errors
    /// The number and its limits.
    pub fn check(&self) -> Result<(), DecodingError> {
        let fails = |name, value, limits| Err(DecodingError { name, value, limits });
        if !(0.0..=100.0).contains(&self.temperature) {
            return fails("temperature", self.temperature, "use 0, for the likeliest, to 100");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fails("top_p", self.top_p, "use a share above 0 and up to 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fails("min_p", self.min_p, "use a share from 0 to 1");
        }
        if !(0.01..=100.0).contains(&self.repetition_penalty) {
            return fails("repetition_penalty", self.repetition_penalty, "use 0.01 to 100; 1 is none");
        }
        Ok(())
    }

    fn draws(&self) -> bool {
        self.temperature > 0.0
    }

    fn narrows(&self) -> bool {
        self.top_k > 0 || self.top_p < 1.0 || self.min_p > 0.0
    }
}

/// Chooses the tokens of texts, one text after another. Allocates nothing after it was made.
pub struct Chooser {
    how: Decoding,
    sampler: Sampler,
    vocabulary: usize,
    /// All tokens, or empty while none are drawn.
    candidates: Vec<Candidate>,
    /// A bit for each token that was read or written.
    seen: Vec<u64>,
}

impl Chooser {
    /// For logits of so many tokens.
    pub fn new(vocabulary: usize) -> Self {
        let how = Decoding::default();
        Self {
            how,
            sampler: Sampler { key: [0; 2], temperature: 1.0 },
            vocabulary,
            candidates: Vec::with_capacity(vocabulary),
            seen: vec![0; vocabulary.div_ceil(64)],
        }
    }

    /// What it holds.
    pub fn bytes(vocabulary: usize) -> Bytes {
        Bytes((vocabulary * size_of::<Candidate>() + vocabulary.div_ceil(64) * 8) as u64)
    }

    /// Begins a text behind the tokens `read`.
    pub fn begin(&mut self, how: Decoding, read: &[u32]) {
        self.how = how;
        self.sampler = Sampler { key: run_key(how.seed), temperature: how.temperature };
        self.seen.fill(0);
        read.iter().for_each(|&token| self.see(token));
    }

    /// The token at `place` of the text, from the logits there, one for each token. The repetition penalty comes first, then the temperature, then
    /// the narrowing: top-k, of what is left top-p, of what is left min-p. Of equal logits the smallest id is the likelier.
    pub fn choose(&mut self, logits: &[f32], place: u32) -> u32 {
        let plain = self.how.repetition_penalty == 1.0;
        let chosen = match (self.how.draws(), plain) {
            (false, true) => likeliest(logits),
            (false, false) => {
                let each = (0u32..).zip(logits).map(|(id, &l)| self.candidate(id, l));
                each.min_by(by_likelihood).map_or(0, |best| best.id)
            }
            (true, _) => self.draw(logits, place),
        };
        self.see(chosen);
        chosen
    }

    fn see(&mut self, token: u32) {
        if let Some(word) = self.seen.get_mut(token as usize / 64) {
            *word |= 1 << (token % 64);
        }
    }

    fn candidate(&self, id: u32, logit: f32) -> Candidate {
        let seen = self.seen.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1);
        let penalty = self.how.repetition_penalty;
        let logit = match (seen, logit > 0.0) {
            (false, _) => logit,
            (true, true) => logit / penalty,
            (true, false) => logit * penalty,
        };
        Candidate { logit, id }
    }

    fn draw(&mut self, logits: &[f32], place: u32) -> u32 {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend((0u32..).zip(logits).take(self.vocabulary).map(|(id, &l)| self.candidate(id, l)));
        if self.how.narrows() {
            let left = narrow(&mut candidates, &self.how);
            candidates.truncate(left);
        }
        let logits = candidates.iter().map(|candidate| candidate.logit);
        let drawn = self.sampler.draw_of(logits, [0, place, 0]);
        let chosen = candidates.get(drawn).map_or(0, |candidate| candidate.id);
        self.candidates = candidates;
        chosen
    }
}

fn by_likelihood(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

/// Puts those that may be drawn first, the likeliest before the others; how many they are, at least one.
fn narrow(candidates: &mut [Candidate], how: &Decoding) -> usize {
    let all = candidates.len();
    let most = if how.top_k > 0 { (how.top_k as usize).min(all) } else { all };
    let top = candidates.iter().fold(f32::NEG_INFINITY, |top, c| top.max(c.logit));
    let weight = |c: &Candidate| libm::exp(f64::from(c.logit - top) / f64::from(how.temperature));
    if how.top_k > 0 {
        sort_first(candidates, most);
    }
    let candidates = &mut candidates[..most];
    // A share of all that may still be drawn, by their unscaled weights.
    let wanted = match how.top_p < 1.0 {
        true => f64::from(how.top_p) * candidates.iter().map(weight).sum::<f64>(),
        false => f64::INFINITY,
    };
    let (mut sorted, mut sum) = (if how.top_k > 0 { most } else { 0 }, 0.0);
    for i in 0..most {
        if i == sorted {
            sorted = most.min((8 * sorted).max(FIRST_SORTED));
            sort_first(candidates, sorted);
        }
        let weight = weight(&candidates[i]);
        // The likeliest has weight 1.
        if i > 0 && (weight < f64::from(how.min_p) || sum >= wanted) {
            return i;
        }
        sum += weight;
    }
    most
}

/// Sorts the `first` likeliest to the front.
fn sort_first(candidates: &mut [Candidate], first: usize) {
    if first < candidates.len() {
        candidates.select_nth_unstable_by(first, by_likelihood);
    }
    candidates[..first].sort_unstable_by(by_likelihood);
}

#[cfg(test)]
#[path = "decoding_tests.rs"]
mod tests;
