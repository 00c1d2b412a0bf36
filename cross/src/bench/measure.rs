//! Takes the measurements: rounds that go through all of them, so that a slow minute falls on every peer.

use super::peers::{Backward, Candle, Peers};
use super::round::Round;
use super::scale::{self, Scaled};
use super::shapes::{self, Shaped};
use super::work::{Bench, Work};
use super::{Args, curves};
use crate::sprig::Done;
use anyhow::Result;

/// Rounds. The median of three is not moved by one that was disturbed.
const ROUNDS: u32 = 3;

/// Everything that was measured.
pub struct Measured {
    /// The repeated measurements.
    pub rounds: Vec<Round>,
    /// The work of one tangent within the budget that the plan calls the smallest.
    pub tight: Done,
    /// 8 × 128 tokens, one tangent.
    pub long: Done,
    /// The same by candle, graphs of the whole batch held.
    pub candle_long: Candle,
    /// The same by candle, one graph at a time.
    pub candle_by_sequence: Candle,
    /// Forward and exact gradients in several shapes.
    pub shaped: Vec<Shaped>,
    /// Models far larger than their budgets.
    pub scaled: Vec<Scaled>,
    /// How time and memory grow, when asked for.
    pub curves: Vec<curves::Curve>,
}

impl Measured {
    /// Runs everything `args` asks for.
    pub fn take(bench: &Bench<'_>, args: &Args) -> Result<Self> {
        let peers = Peers::build()?;
        // First, so that a failure comes before the minutes of the rest.
        let scaled = if args.scale { scale::run(bench)? } else { Vec::new() };
        let shaped = if args.memory { shapes::run(bench)? } else { Vec::new() };
        let rounds = if args.quick { 1 } else { ROUNDS };
        let rounds = (0..rounds).map(|_| Round::take(bench, &peers, args)).collect::<Result<Vec<_>>>()?;

        let smallest = bench.planned(&bench.model, &bench.work, "smallest_budget_bytes")?;
        let budget = Some(smallest.to_string());
        let tight = bench.train(&bench.model, &Work { budget, steps: 1, ..bench.work.clone() })?;
        let long = bench.train(&bench.model, &Work { len: 128, steps: 1, ..bench.work.clone() })?;
        let candle_long = peers.candle(bench, 128, 0, Backward::AtOnce)?;
        let candle_by_sequence = peers.candle(bench, 128, 0, Backward::BySequence)?;
        let curves = curves::curves(bench, &rounds, &scaled, args)?;
        Ok(Self { rounds, tight, long, candle_long, candle_by_sequence, shaped, scaled, curves })
    }

    /// Every training run whose budget and plan can be judged: not the tiny model's, whose process is little but
    /// the program.
    pub fn runs(&self) -> impl Iterator<Item = &Done> {
        let rounds = self.rounds.iter().flat_map(|round| round.training.values());
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        let curves = points.filter(|point| point.label != Some(curves::TINY)).map(|point| &point.run);
        let shapes = self.shaped.iter().map(|shaped| &shaped.held.run);
        let scaled = self.scaled.iter().map(|scaled| &scaled.held.run);
        rounds.chain([&self.tight, &self.long]).chain(shapes).chain(scaled).chain(curves)
    }
}
