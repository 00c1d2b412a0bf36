//! Confidence@k over a set of questions, beside the votes that it has to beat, and whether it may be the best there is: taking
//! the surest of k candidates is optimal where a candidate's confidence says all of its correctness, and those of the others
//! beside it say nothing more.

use super::bins::Bins;
use super::vote::{Vote, answer};
use serde::Serialize;
use sprig_ground::random::SplitMix64;
use std::ops::Range;

/// Numbers of candidates that are told of.
const COUNTS: [usize; 3] = [1, 4, 8];

/// Bins of confidence within which correctness is shuffled.
const BINS: usize = 10;

/// Shuffles behind a p-value.
const SHUFFLES: usize = 2000;

/// A question, and what the model made of its options behind each of several reasonings.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Place of the right option.
    pub answer: usize,
    /// Probabilities of the options, one list a candidate.
    pub candidates: Vec<Vec<f64>>,
}

/// Shares of right answers by what is done with the first k candidates of each question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtK {
    /// Candidates looked at.
    pub k: usize,
    /// Questions.
    pub n: usize,
    /// The answer of the surest one.
    pub confidence: f64,
    /// The answer of the first one.
    pub single: f64,
    /// The answer of most.
    pub majority: f64,
    /// The answer with the largest sum of probabilities.
    pub soft_vote: f64,
    /// Any of them right: what a perfect choice among them would give.
    pub oracle: f64,
}

/// Numbers of candidates that are told of where there are `most`: 1, 4, 8 as far as they are fewer, and all.
pub fn counts(most: usize) -> impl Iterator<Item = usize> {
    COUNTS.into_iter().filter(move |k| *k < most).chain((most > 0).then_some(most))
}

impl AtK {
    /// For 1, 4 and 8 candidates, as far as there are so many, and for all.
    pub fn each(questions: &[Question]) -> Vec<Self> {
        let most = questions.iter().map(|question| question.candidates.len()).min().unwrap_or(0);
        counts(most).map(|k| Self::of(questions, k)).collect()
    }

    /// Of the candidate at `place` of each question alone, which is told of as one of `k`.
    pub fn alone(questions: &[Question], place: usize, k: usize) -> Self {
        Self { k, ..Self::among(questions, place..place + 1) }
    }

    fn of(questions: &[Question], k: usize) -> Self {
        Self { k, ..Self::among(questions, 0..k) }
    }

    fn among(questions: &[Question], places: Range<usize>) -> Self {
        let mut right = [0u32; 5];
        for Question { answer: wanted, candidates } in questions {
            let first = &candidates[places.clone()];
            let Some(vote) = Vote::of(first) else { continue };
            let oracle = first.iter().any(|shares| answer(shares).0 == *wanted);
            let hits = [vote.chosen, vote.single, vote.majority, vote.soft].map(|place| place == *wanted);
            let hits = hits.into_iter().chain([oracle]);
            right.iter_mut().zip(hits).for_each(|(sum, hit)| *sum += u32::from(hit));
        }
        let n = questions.len();
        let [confidence, single, majority, soft_vote, oracle] =
            right.map(|sum| f64::from(sum) / n.max(1) as f64);
        Self { k: places.len(), n, confidence, single, majority, soft_vote, oracle }
    }
}

/// Whether correctness depends on the other candidates' confidences when one's own is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dependence {
    /// Questions, each with its first candidate: candidates of one question are not independent of each other.
    pub n: usize,
    /// Correlation of its correctness with the mean confidence of the others, within bins of its own confidence.
    pub correlation: f64,
    /// How often shuffles of correctness within the bins give a correlation as far from 0: small, and it depends.
    pub p: f64,
}

impl Dependence {
    /// Of questions with at least two candidates each; `None` where there are none, or nothing varies.
    pub fn of(questions: &[Question], seed: u64) -> Option<Self> {
        let mut bins: Vec<Vec<[f64; 3]>> = vec![Vec::new(); BINS];
        let places = Bins::new(BINS);
        for Question { answer: wanted, candidates } in questions {
            let (own, others) = candidates.split_first().filter(|(_, others)| !others.is_empty())?;
            let (place, confidence) = answer(own);
            let mean = others.iter().map(|shares| answer(shares).1).sum::<f64>() / others.len() as f64;
            let right = f64::from(u8::from(place == *wanted));
            bins[places.place(confidence)].push([confidence, mean, right]);
        }
        bins.iter_mut().for_each(|bin| leave_rest(bin));
        let sum = |of: fn(&[f64; 3]) -> f64| bins.iter().flatten().map(of).sum::<f64>();
        let size = (sum(|item| item[1] * item[1]) * sum(|item| item[2] * item[2])).sqrt();
        if size < 1e-12 {
            return None;
        }
        let correlation = sum(|item| item[1] * item[2]) / size;
        let (mut random, mut as_far) = (SplitMix64::new(seed), 0);
        for _ in 0..SHUFFLES {
            let mut together = 0.0;
            for bin in &mut bins {
                for i in (1..bin.len()).rev() {
                    let j = random.below(i + 1);
                    let right = bin[i][2];
                    bin[i][2] = bin[j][2];
                    bin[j][2] = right;
                }
                together += bin.iter().map(|item| item[1] * item[2]).sum::<f64>();
            }
            as_far += usize::from((together / size).abs() >= correlation.abs() - 1e-12);
        }
        let p = (1 + as_far) as f64 / (1 + SHUFFLES) as f64;
        Some(Self { n: questions.len(), correlation, p })
    }
}

/// Takes from each item's \[own confidence, others' mean, correctness\] the bin's means, and from the others' what a straight line over
/// the own tells of it: within a bin confidences still differ, and those of one question together.
fn leave_rest(bin: &mut [[f64; 3]]) {
    let n = bin.len().max(1) as f64;
    let means = [0, 1, 2].map(|i| bin.iter().map(|item| item[i]).sum::<f64>() / n);
    bin.iter_mut().for_each(|item| item.iter_mut().zip(means).for_each(|(value, mean)| *value -= mean));
    let spread = bin.iter().map(|item| item[0] * item[0]).sum::<f64>();
    let slope = bin.iter().map(|item| item[0] * item[1]).sum::<f64>() / spread.max(f64::MIN_POSITIVE);
    bin.iter_mut().for_each(|item| item[1] -= slope * item[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_of_two_questions_by_hand() {
        let first =
            vec![vec![0.4, 0.35, 0.25], vec![0.4, 0.35, 0.25], vec![0.0, 0.1, 0.9], vec![0.0, 0.9, 0.1]];
        let second = vec![vec![0.7, 0.3], vec![0.2, 0.8], vec![0.6, 0.4], vec![0.5, 0.5]];
        let questions =
            [Question { answer: 2, candidates: first }, Question { answer: 1, candidates: second }];
        let [one, four] = AtK::each(&questions).try_into().unwrap();
        // Of the first candidates one says 0 of 2 and the other 0 of 1: all wrong.
        let nothing =
            AtK { k: 1, n: 2, confidence: 0.0, single: 0.0, majority: 0.0, soft_vote: 0.0, oracle: 0.0 };
        assert_eq!(one, nothing);
        // The surest are right; most say 0 of both; the sums are 0.8, 1.7, 1.5 and 2.0, 2.0, of equals the first.
        assert_eq!(four, AtK { k: 4, confidence: 1.0, oracle: 1.0, ..nothing });
        assert_eq!(AtK::each(&[]), []);
        let many = [Question { answer: 0, candidates: vec![vec![0.6, 0.4]; 9] }];
        assert_eq!(AtK::each(&many).iter().map(|at| at.k).collect::<Vec<_>>(), [1, 4, 8, 9]);
    }

    /// Candidates as sure as a question is easy, each right as often as it is sure: by itself, or by what the others say as well.
    fn questions(random: &mut SplitMix64, n: usize, pull: f64) -> Vec<Question> {
        let mut one = || {
            let easy = random.fraction();
            let sure = |random: &mut SplitMix64| 0.5 + 0.25 * (easy + random.fraction());
            let confidences: Vec<f64> = (0..4).map(|_| sure(random)).collect();
            let others = confidences[1..].iter().sum::<f64>() / 3.0;
            let right = random.fraction() < confidences[0] + pull * (others - confidences[0]);
            let candidates = confidences.into_iter().map(|c| vec![c, 1.0 - c]).collect();
            Question { answer: usize::from(!right), candidates }
        };
        (0..n).map(|_| one()).collect()
    }

    #[test]
    fn what_the_others_say_beside_ones_own_confidence_is_found() {
        let mut random = SplitMix64::new(9);
        let found = Dependence::of(&questions(&mut random, 4000, 1.0), 1).unwrap();
        assert!(found.p < 0.01 && found.correlation > 0.05, "{found:?}");
        // Where they say nothing it is seldom found: in one of twenty sets at a level of 5 %.
        let seldom =
            (0..60).filter(|&seed| Dependence::of(&questions(&mut random, 300, 0.0), seed).unwrap().p < 0.05);
        let seldom = seldom.count();
        assert!(seldom <= 8, "{seldom} of 60");
        let alone = [Question { answer: 0, candidates: vec![vec![0.6, 0.4]] }];
        assert_eq!(Dependence::of(&alone, 1), None);
        assert_eq!(Dependence::of(&[], 1), None);
    }
}
