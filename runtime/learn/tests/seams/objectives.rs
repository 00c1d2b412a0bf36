//! Objectives that the product does not have.

use super::world::WORLD;
use sprig_budget::Arena;
use sprig_engine::adapter::Adapter;
use sprig_engine::dual::Batch;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Checkpoints, Pass, PassInput, PassLayout, PassSize};
use sprig_learn::LearnError;
use sprig_learn::data::{Example, Target};
use sprig_learn::objective::{Ask, Dual, Extent, Found, Objective, Verdict, Wants};

/// Two parts: the answer's cross-entropy over the whole vocabulary, and (1 − margin)² to the mean of the candidates.
#[derive(Clone, Debug)]
pub struct LabelAndMargin {
    pub weights: [f64; 2],
}

impl Objective for LabelAndMargin {
    fn wants(&self, extent: Extent) -> Wants {
        Wants { rows: 1, logits: extent.candidates, sequences: 1 }
    }

    fn ask(&self, _: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        let Target::Label { row, candidates, answer } = example.target else { panic!("a text") };
        ask.row(row, candidates[answer]);
        ask.logits(row, candidates);
        Ok(())
    }

    fn judge(&self, _: usize, _: &Example<'_>, found: &Found<'_>) -> Verdict {
        let row = found.rows().next().unwrap();
        Verdict { rows: 1, hits: u32::from(row.target.v > row.rival.v) }
    }

    fn loss(&self, _: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let Target::Label { answer, candidates, .. } = example.target else { panic!("a text") };
        let row = found.rows().next().unwrap();
        // The same logit, once by statistics and once by name.
        assert!((row.target.v - found.logit(answer).v).abs() < 1e-4);
        let mean = found.logits().sum::<Dual>().over(candidates.len() as f64);
        let short = Dual::constant(1.0) - (found.logit(answer) - mean);
        parts[0] = row.lse - row.target;
        parts[1] = short * short;
    }

    fn weights(&self) -> &[f64] {
        &self.weights
    }
}

/// DPO without a reference: ln(1 + exp(−h)), h = β·(S₁ − S₂), with S the sums of log-probabilities of an example's two
/// halves, each run alone.
#[derive(Clone, Debug)]
pub struct Preference {
    pub beta: f64,
}

impl Objective for Preference {
    fn wants(&self, extent: Extent) -> Wants {
        Wants { rows: extent.tokens, logits: 0, sequences: 2 }
    }

    fn ask(&self, _: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        let (tokens, half) = (example.tokens, example.tokens.len() / 2);
        ask.begin(half);
        for position in (1..tokens.len()).filter(|&position| position != half) {
            ask.row(position - 1, tokens[position]);
        }
        Ok(())
    }

    fn judge(&self, _: usize, _: &Example<'_>, _: &Found<'_>) -> Verdict {
        Verdict { rows: 1, hits: 0 }
    }

    fn loss(&self, _: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let first = example.tokens.len() / 2 - 1;
        let sum = |rows: &mut dyn Iterator<Item = Dual>| rows.sum::<Dual>();
        let likelihoods = || found.rows().map(|row| row.target - row.lse);
        let h = (sum(&mut likelihoods().take(first)) - sum(&mut likelihoods().skip(first))).times(self.beta);
        parts[0] = (Dual::constant(1.0) + (-h).exp()).ln();
    }
}

/// −log-probability of an example's second half.
#[derive(Clone, Debug)]
pub struct SecondHalf {
    /// Not seeing the first.
    pub alone: bool,
}

impl Objective for SecondHalf {
    fn wants(&self, extent: Extent) -> Wants {
        Wants { rows: extent.tokens, logits: 0, sequences: 2 }
    }

    fn ask(&self, _: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        let half = example.tokens.len() / 2;
        if self.alone {
            ask.begin(half);
        }
        (half + 1..example.tokens.len()).for_each(|position| ask.row(position - 1, example.tokens[position]));
        Ok(())
    }

    fn judge(&self, _: usize, _: &Example<'_>, found: &Found<'_>) -> Verdict {
        Verdict { rows: found.rows().len() as u32, hits: 0 }
    }

    fn loss(&self, _: usize, _: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        parts[0] = found.rows().map(|row| row.lse - row.target).sum();
    }
}

/// What [`SecondHalf`] is of `tokens` that are all there is.
pub fn likelihood(adapter: &Adapter, tokens: &[u32]) -> f64 {
    let (g, ctx) = (WORLD.model.geometry(), Ctx::new(1).unwrap());
    let size = PassSize {
        positions: tokens.len(),
        tangents: 0,
        wanted: tokens.len(),
        candidates: 0,
        rank: adapter.rank(),
        largest_tensor: 0,
        masked: 0,
        kept: Checkpoints::NONE,
        threads: 1,
        panel_rows: ctx.panel_rows(),
        head_tile: sprig_engine::dual::HEAD_TILE,
        routes: None,
    };
    let (layout, rope, starts) =
        (PassLayout::new(g, size), WORLD.model.rope(tokens.len()), [0, tokens.len()]);
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let batch = Batch::new(tokens, &starts, g.vocabulary).unwrap().plain();
    let input = PassInput { batch, adapter: Some(adapter), integer: false };
    let mut pass = Pass::new(&WORLD.model, &rope, &ctx, layout, arena.stack(), input).unwrap();
    pass.embed();
    pass.blocks(0..g.blocks).unwrap();
    let rows: Vec<usize> = (0..tokens.len() - 1).collect();
    let stats = pass.row_statistics(&rows, &tokens[1..]).unwrap();
    rows.iter().map(|&i| f64::from(stats.lse[i]) - f64::from(stats.target[i])).sum()
}

/// Wants a token that the model does not have.
#[derive(Clone, Debug)]
pub enum Unknown {
    Candidate,
    Target,
}

impl Objective for Unknown {
    fn wants(&self, _: Extent) -> Wants {
        Wants { rows: 1, logits: 1, sequences: 1 }
    }

    fn ask(&self, _: usize, _: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        match self {
            Self::Candidate => ask.logits(0, &[300]),
            Self::Target => ask.row(0, 300),
        }
        Ok(())
    }

    fn judge(&self, _: usize, _: &Example<'_>, _: &Found<'_>) -> Verdict {
        Verdict::default()
    }

    fn loss(&self, _: usize, _: &Example<'_>, _: &Found<'_>, _: &mut [Dual]) {}
}
