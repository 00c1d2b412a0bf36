//! Classification whose answer a model has to say: cross-entropy of the answer's token over the whole vocabulary after the
//! last position, f = lse − l_answer; ḟ = lṡe − l̇_answer. A model that learnt it answers with a label when it is asked
//! greedily, anywhere; one that learnt to share probability among the labels alone need not. Judged among the candidates
//! all the same, so that accuracies of both losses compare. Statistics of one row, and candidates × (1+K) logits.

use super::choice::{self, Choice};
use super::{Ask, Dual, Extent, Found, Objective, Verdict, Wants};
use crate::data::{Example, Target};
use crate::error::LearnError;
use sprig_ground::names;

/// Which tokens the loss of a label or choice shares probability among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelLoss {
    /// All tokens.
    Full,
    /// The candidates.
    #[default]
    Labels,
}

names!(LabelLoss, "label loss", [Full = "full", Labels = "labels"]);

/// Cross-entropy of the answer, with what the whole vocabulary says of it: an evaluation learns whether the model would say
/// an answer at all.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Which loss is trained and reported.
    pub loss: LabelLoss,
}

impl Objective for Answer {
    fn wants(&self, extent: Extent) -> Wants {
        Wants { rows: 1, ..Choice.wants(extent) }
    }

    fn ask(&self, id: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        Choice.ask(id, example, ask)?;
        if let Target::Label { row, candidates, answer } = example.target {
            ask.row(row, candidates[answer]);
        }
        Ok(())
    }

    fn judge(&self, id: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict {
        Choice.judge(id, example, found)
    }

    fn chosen(&self, found: &Found<'_>) -> Option<usize> {
        Choice.chosen(found)
    }

    fn answered(&self, example: &Example<'_>, found: &Found<'_>) -> Option<bool> {
        let (Target::Label { candidates, .. }, Some(row)) = (example.target, found.rows().next()) else {
            return None;
        };
        // The target is a candidate; of equals the smaller id is said.
        let target = choice::answer(example).map(|answer| candidates[answer]);
        let said = row.target.v > row.rival.v || row.target.v == row.rival.v && target < Some(row.rival_id);
        Some(said || candidates.contains(&row.rival_id))
    }

    fn confidence(&self, example: &Example<'_>, found: &Found<'_>) -> Option<f64> {
        Choice.confidence(example, found)
    }

    fn loss(&self, id: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        match self.loss {
            LabelLoss::Full => parts[0] = found.rows().map(|row| row.lse - row.target).sum(),
            LabelLoss::Labels => Choice.loss(id, example, found, parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_engine::dual::RowStats;

    /// All logits of a row of five tokens, and their derivatives along one direction.
    const LOGITS: [f64; 5] = [0.5, -1.0, 2.0, 1.5, 0.0];
    const SLOPES: [f64; 5] = [0.3, 0.1, -0.7, 0.2, 1.1];
    /// Tokens that are answers.
    const CANDIDATES: [u32; 2] = [3, 1];

    fn lse(logits: &[f64]) -> f64 {
        logits.iter().map(|l| l.exp()).sum::<f64>().ln()
    }

    /// Hands an example whose answer is token 3 and what the head says of it to `read`.
    fn found<T>(logits: [f64; 5], read: impl FnOnce(&Example<'_>, &Found<'_>) -> T) -> T {
        let target = Target::Label { row: 0, candidates: &CANDIDATES, answer: 0 };
        let example = Example { tokens: &[7], target };
        let rivals = (0..5).filter(|&v| v != 3);
        let rival = rivals.fold(0, |best, v| if logits[v] > logits[best] { v } else { best });
        let whole = lse(&logits);
        let pull: f64 = logits.iter().zip(SLOPES).map(|(l, d)| (l - whole).exp() * d).sum();
        let stats = RowStats {
            lse: &mut [whole as f32],
            target: &mut [logits[3] as f32],
            rival: &mut [logits[rival] as f32],
            rival_id: &mut [rival as f32],
            d_lse: &mut [pull as f32],
            d_target: &mut [SLOPES[3] as f32],
            d_rival: &mut [SLOPES[rival] as f32],
        };
        let named = [logits[3], SLOPES[3], logits[1], SLOPES[1]].map(|v| v as f32);
        read(&example, &Found::new(&stats, &named, 1))
    }

    fn loss_of(loss: LabelLoss) -> Dual {
        let mut parts = [Dual::constant(0.0)];
        found(LOGITS, |example, found| Answer { loss }.loss(0, example, found, &mut parts));
        parts[0]
    }

    #[test]
    fn derivatives_match_central_differences() {
        let moved = |h: f64| std::array::from_fn::<f64, 5, _>(|v| LOGITS[v] + h * SLOPES[v]);
        let full = |h: f64| lse(&moved(h)) - moved(h)[3];
        let labels = |h: f64| lse(&[moved(h)[3], moved(h)[1]]) - moved(h)[3];
        for (loss, at) in [(LabelLoss::Full, &full as &dyn Fn(f64) -> f64), (LabelLoss::Labels, &labels)] {
            let found = loss_of(loss);
            assert!((found.v - at(0.0)).abs() < 1e-6, "{loss:?}: {found:?}");
            assert!((found.d - (at(1e-5) - at(-1e-5)) / 2e-5).abs() < 1e-6, "{loss:?}: {found:?}");
        }
    }

    #[test]
    fn an_answer_is_one_when_no_other_token_is_likelier() {
        let answered = |logits| {
            found(logits, |example, found| Answer { loss: LabelLoss::Full }.answered(example, found))
        };
        let right = |logits| {
            found(logits, |example, found| Answer { loss: LabelLoss::Full }.judge(0, example, found).hits)
        };
        // Token 2 is likelier than the answer, which is the likeliest candidate.
        assert_eq!((answered(LOGITS), right(LOGITS)), (Some(false), 1));
        assert_eq!(answered([0.5, -1.0, 1.0, 1.5, 0.0]), Some(true));
        // The wrong answer, and yet an answer.
        assert_eq!((answered([0.5, 3.0, 1.0, 1.5, 0.0]), right([0.5, 3.0, 1.0, 1.5, 0.0])), (Some(true), 0));
        // Of equals the smaller id: 2 before 3, 3 before 4.
        assert_eq!(answered([0.5, -1.0, 1.5, 1.5, 0.0]), Some(false));
        assert_eq!(answered([0.5, -1.0, 0.0, 1.5, 1.5]), Some(true));
        assert_eq!(answered([f64::NAN; 5]), Some(false));
    }

    #[test]
    fn it_wants_a_row_beside_the_candidates() {
        let extent = Extent { tokens: 9, candidates: 4 };
        for loss in [LabelLoss::Full, LabelLoss::Labels] {
            assert_eq!(Answer { loss }.wants(extent), Wants { rows: 1, logits: 4, sequences: 1 });
        }
        assert_eq!(Choice.wants(extent).rows, 0);
    }
}
