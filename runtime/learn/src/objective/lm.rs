//! Causal language model (algorithm.md 3.5, CE): f = mean over target rows of −log p(target) = mean (lse − l_target);
//! ḟ = mean (lṡe − l̇_target). Statistics: rows × (1+K).

use super::{Ask, Dual, Extent, Found, Objective, Verdict, Wants};
use crate::data::{Example, Target};
use crate::error::LearnError;

/// Cross-entropy of the next token, over the whole vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct CausalLm;

impl Objective for CausalLm {
    fn wants(&self, extent: Extent) -> Wants {
        Wants { rows: extent.tokens, logits: 0, sequences: 1 }
    }

    fn ask(&self, _: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        let Target::Lm { first, pauses } = example.target else {
            return Err(LearnError::Settings(
                "a language model cannot be learnt from records with candidate answers; use records of task lm".into(),
            ));
        };
        let mut from = first.max(1);
        let ends = pauses.iter().map(|pause| (pause.from as usize, pause.to as usize));
        for (to, next) in ends.chain([(example.tokens.len(), 0)]) {
            (from..to).for_each(|position| ask.row(position - 1, example.tokens[position]));
            from = next;
        }
        Ok(())
    }

    fn judge(&self, _: usize, _: &Example<'_>, found: &Found<'_>) -> Verdict {
        let hits = found.rows().filter(|row| row.target.v > row.rival.v).count();
        Verdict { rows: found.rows().len() as u32, hits: hits as u32 }
    }

    fn loss(&self, _: usize, _: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let sum: Dual = found.rows().map(|row| row.lse - row.target).sum();
        parts[0] = sum.over(found.rows().len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_engine::dual::RowStats;

    /// A model that cannot tell the target from a rival has not found it.
    #[test]
    fn a_tie_is_no_hit() {
        let (mut target, mut rival) = ([1.0, 2.0, 3.0], [1.5, 2.0, 2.5]);
        let (mut lse, mut rival_id) = ([4.0; 3], [7.0; 3]);
        let stats = RowStats {
            lse: &mut lse,
            target: &mut target,
            rival: &mut rival,
            rival_id: &mut rival_id,
            d_lse: &mut [],
            d_target: &mut [],
            d_rival: &mut [],
        };
        let example = Example { tokens: &[1, 2, 3, 4], target: Target::Lm { first: 1, pauses: &[] } };
        let verdict = CausalLm.judge(0, &example, &Found::new(&stats, &[], 0));
        assert_eq!(verdict, Verdict { rows: 3, hits: 1 });
    }
}
