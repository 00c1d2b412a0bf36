//! Confidence@k (CATTO): of k answers to one question, each with the probabilities that the model gives all options behind a
//! reasoning of its own, the one that the model is surest of; beside the votes that it has to beat.

/// What k candidates come to; options are known by their places.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// The candidate that is surest of its answer; the first of equals.
    pub surest: usize,
    /// Its answer.
    pub chosen: usize,
    /// The answer of the first candidate: what one would have had without the others.
    pub single: usize,
    /// The answer of most candidates; of equals the one that was given first.
    pub majority: usize,
    /// The answer with the largest sum of probabilities; of equals the first option.
    pub soft: usize,
}

/// The likeliest option of a candidate, and its probability: its answer and its confidence. Of equals the first.
pub fn answer(shares: &[f64]) -> (usize, f64) {
    let first = (0, f64::NEG_INFINITY);
    shares.iter().enumerate().fold(first, |best, (i, &p)| if p > best.1 { (i, p) } else { best })
}

impl Vote {
    /// Of candidates' probabilities of the same options; `None` without a candidate.
    pub fn of(candidates: &[Vec<f64>]) -> Option<Self> {
        let answers: Vec<(usize, f64)> = candidates.iter().map(|shares| answer(shares)).collect();
        let confidences: Vec<f64> = answers.iter().map(|(_, confidence)| *confidence).collect();
        let (surest, _) = answer(&confidences);
        let &(single, _) = answers.first()?;
        let votes = |option: usize| answers.iter().filter(|(a, _)| *a == option).count();
        let most = answers.iter().map(|(a, _)| votes(*a)).max()?;
        let majority = answers.iter().map(|(a, _)| *a).find(|a| votes(*a) == most)?;
        let options = candidates.iter().map(Vec::len).min()?;
        let sums: Vec<f64> = (0..options).map(|o| candidates.iter().map(|shares| shares[o]).sum()).collect();
        Some(Self { surest, chosen: answers[surest].0, single, majority, soft: answer(&sums).0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_the_most_and_the_sum_differ() {
        let candidates =
            [vec![0.4, 0.35, 0.25], vec![0.4, 0.35, 0.25], vec![0.0, 0.1, 0.9], vec![0.0, 0.9, 0.1]];
        let vote = Vote::of(&candidates).unwrap();
        assert_eq!(vote, Vote { surest: 2, chosen: 2, single: 0, majority: 0, soft: 1 });
        assert_eq!(Vote::of(&candidates[..1]).unwrap().chosen, 0);
        assert_eq!(Vote::of(&[]), None);
    }

    #[test]
    fn the_first_of_equals_counts() {
        let vote = Vote::of(&[vec![0.3, 0.7], vec![0.7, 0.3]]).unwrap();
        assert_eq!(vote, Vote { surest: 0, chosen: 1, single: 1, majority: 1, soft: 0 });
    }
}
