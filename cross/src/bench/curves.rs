//! Scaling curves: time and memory of a step as one thing about it varies.

use super::Args;
use super::round::{BLOCKS, Round};
use super::scale::Scaled;
use super::work::{Bench, Work};
use crate::model::{self, Geometry};
use crate::sprig::Done;
use crate::sys;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;

/// What the smallest model is called.
pub const TINY: &str = "tiny";

/// One curve.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// What varies.
    pub title: &'static str,
    /// The x axis.
    pub x: &'static str,
    /// What stays, and what one must know to read it.
    pub note: String,
    /// In order of x.
    pub points: Vec<Point>,
}

/// One run on a curve.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Where it lies on the x axis.
    pub x: f64,
    /// What to call it there, if not by its number.
    pub label: Option<&'static str>,
    /// The run.
    pub run: Done,
}

/// The curve over tangents, which the rounds have measured, and with `--curves` all others.
pub fn curves(bench: &Bench<'_>, rounds: &[Round], scaled: &[Scaled], args: &Args) -> Result<Vec<Curve>> {
    let mut curves = vec![tangents(rounds)];
    if !args.curves {
        return Ok(curves);
    }
    let usual = Work { steps: if args.quick { 1 } else { 3 }, ..bench.work.clone() };
    let work = || usual.clone();
    // Tokens and examples up to the largest a small board would train on; quick runs stop early.
    let few = |values: &[u32]| values[..if args.quick { 2 } else { values.len() }].to_vec();
    let mut vary = |title, x, note: &str, values: Vec<u32>, with: &dyn Fn(u32) -> Work| {
        let run = |value: u32| {
            let run = bench.train(&bench.model, &with(value))?;
            Ok(Point { x: f64::from(value), label: None, run })
        };
        let points = values.into_iter().map(run).collect::<Result<_>>()?;
        curves.push(Curve { title, x, note: note.to_owned(), points });
        anyhow::Ok(())
    };
    vary("Length", "tokens an example", "8 examples, K = 1.", few(&[16, 32, 64, 128, 256]), &|len| Work {
        len,
        ..work()
    })?;
    vary("Batch", "examples a step", "64 tokens an example, K = 1.", few(&[1, 2, 4, 8, 16]), &|batch| {
        Work { batch, ..work() }
    })?;
    vary("Rank", "rank of the adapter", "8 × 64, K = 1.", few(&[1, 2, 4, 8, 16, 32, 64]), &|rank| Work {
        rank,
        ..work()
    })?;
    vary(
        "Layers trained",
        "blocks trained, from the top",
        "8 × 64, K = 1. What the frozen blocks below give is computed once and read from disk from the second \
         step on; the forward pass uses it too.",
        few(&[1, 2, 4, 8, 15, 30]),
        &|trained| Work { layers: Some((trained, BLOCKS)), ..work() },
    )?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    vary("Threads", "threads", "8 × 64, K = 1.", powers_to(cores), &|threads| Work {
        threads: threads as usize,
        ..work()
    })?;
    curves.push(sizes(bench, scaled, &usual)?);
    Ok(curves)
}

fn tangents(rounds: &[Round]) -> Curve {
    let mut points = Vec::new();
    for &tangents in rounds.first().map(|round| &round.training).into_iter().flat_map(|t| t.keys()) {
        let mut runs: Vec<&Done> = rounds.iter().filter_map(|round| round.training.get(&tangents)).collect();
        runs.sort_by(|a, b| a.step_ms_median.total_cmp(&b.step_ms_median));
        let run = runs[runs.len() / 2].clone();
        points.push(Point { x: f64::from(tangents), label: None, run });
    }
    let note = "8 × 64. All tangents share one primal pass.".to_owned();
    Curve { title: "Tangents", x: "tangents a pass (K)", note, points }
}

/// The same work on models of several sizes.
fn sizes(bench: &Bench<'_>, scaled: &[Scaled], work: &Work) -> Result<Curve> {
    let folder = tempfile::tempdir_in(sys::target_dir()).context("cannot write in the target folder")?;
    let mut points = Vec::new();
    for (geometry, label) in [(Geometry::Tiny, TINY), (Geometry::Smollm2x360m, "SmolLM2-360M")] {
        let file = folder.path().join(format!("{label}.gguf"));
        model::synthesise(geometry, &file)?;
        let run = bench.train(&file, work)?;
        points.push(Point { x: geometry.weights() as f64, label: Some(label), run });
        fs::remove_file(&file)?;
    }
    let run = bench.train(&bench.model, work)?;
    points.insert(1, Point { x: 134_515_008.0, label: Some("SmolLM2-135M"), run });
    for scaled in scaled.iter().filter(|scaled| matches!(scaled.geometry, Geometry::Tinyllama)) {
        let run = scaled.held.run.clone();
        points.push(Point { x: scaled.geometry.weights() as f64, label: Some("TinyLlama"), run });
    }
    let mut note =
        "8 × 64, K = 1. SmolLM2-135M is the real model, the others have random weights.".to_owned();
    if points.len() > 3 {
        note.push_str(" TinyLlama runs within 256 MiB.");
    }
    Ok(Curve { title: "Model size", x: "weights", note, points })
}

/// 1, 2, 4 … and `last`.
fn powers_to(last: u32) -> Vec<u32> {
    let mut powers: Vec<u32> = (0..).map(|i| 1 << i).take_while(|&power| power < last).collect();
    powers.push(last);
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_end_at_the_number_of_cores() {
        assert_eq!(powers_to(1), [1]);
        assert_eq!(powers_to(4), [1, 2, 4]);
        assert_eq!(powers_to(6), [1, 2, 4, 6]);
    }
}
