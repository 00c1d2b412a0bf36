//! Classification among named candidates: with lᵢ the candidates' logits after the last position and m their maximum,
//! f = ln Σ exp(lᵢ − m) + m − l_answer; ḟ = Σ qᵢ·l̇ᵢ − l̇_answer, with q their softmax. Logits: candidates × (1+K).

use super::{Ask, Dual, Extent, Found, Objective, Verdict, Wants};
use crate::data::{Example, Target};
use crate::error::LearnError;

/// Cross-entropy of the answer among an example's candidates.
#[derive(Clone, Copy, Debug)]
pub struct Choice;

impl Objective for Choice {
    fn wants(&self, extent: Extent) -> Wants {
        Wants { rows: 0, logits: extent.candidates, sequences: 1 }
    }

    fn ask(&self, _: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        let Target::Label { row, candidates, .. } = example.target else {
            return Err(LearnError::Settings(
                "an answer cannot be chosen in records without candidates; use records of task label or choice".into(),
            ));
        };
        ask.logits(row, candidates);
        Ok(())
    }

    fn judge(&self, _: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict {
        Verdict { rows: 1, hits: u32::from(self.chosen(found) == answer(example)) }
    }

    fn chosen(&self, found: &Found<'_>) -> Option<usize> {
        let first = (0, f64::NEG_INFINITY);
        let best = found.logits().enumerate().fold(first, |b, (i, l)| if l.v > b.1 { (i, l.v) } else { b });
        Some(best.0)
    }

    fn confidence(&self, example: &Example<'_>, found: &Found<'_>) -> Option<f64> {
        answer(example)?;
        let logits = || found.logits().map(|logit| logit.v);
        let top = logits().fold(f64::NEG_INFINITY, f64::max);
        Some(1.0 / logits().map(|logit| libm::exp(logit - top)).sum::<f64>())
    }

    fn loss(&self, _: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let answer = found.logit(answer(example).unwrap_or(0));
        parts[0] = cross_entropy(found.logits(), answer);
    }
}

/// Place of the right answer among the candidates.
pub(super) fn answer(example: &Example<'_>) -> Option<usize> {
    match example.target {
        Target::Label { answer, .. } => Some(answer),
        Target::Lm { .. } | Target::Pair { .. } => None,
    }
}

/// −log of the answer's share of the candidates' probability.
pub(super) fn cross_entropy(logits: impl Iterator<Item = Dual> + Clone, answer: Dual) -> Dual {
    let shift = Dual::constant(logits.clone().map(|l| l.v).fold(f64::NEG_INFINITY, f64::max));
    let sum = logits.fold(Dual::constant(0.0), |sum, l| sum + (l - shift).exp());
    sum.ln() + shift - answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_match_central_differences() {
        let (l, dl) = ([1.0f64, -2.0, 0.5], [0.3f64, 0.1, -0.7]);
        let at = |h: f64| {
            let moved = l.iter().zip(dl).map(|(l, d)| Dual::constant(l + h * d));
            cross_entropy(moved.clone(), moved.clone().nth(2).unwrap()).v
        };
        let dual: Vec<Dual> = l.iter().zip(dl).map(|(&v, d)| Dual { v, d }).collect();
        let found = cross_entropy(dual.iter().copied(), dual[2]);
        assert!((found.v - at(0.0)).abs() < 1e-15);
        assert!((found.d - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8);
    }
}
