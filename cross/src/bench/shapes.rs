//! What forward and exact gradients take in several shapes: as planned, and as measured in a memory control group of exactly
//! that, pages of files counted.

use super::round::BLOCKS;
use super::row::{Row, Stat};
use super::work::{Bench, Held, Way, Work};
use anyhow::Result;

/// Examples and tokens an example.
const SHAPES: &[(u32, u32)] = &[(8, 64), (8, 128), (8, 512), (1, 256)];
const MIB: f64 = 1_048_576.0;

/// One shape and way.
pub struct Shaped {
    /// Shape and way.
    pub work: Work,
    /// A step within what was planned for it.
    pub held: Held,
}

/// All shapes by forward gradients of one tangent and of four, and by exact gradients; one step each.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Shaped>> {
    let mut shaped = Vec::new();
    for &(batch, len) in SHAPES {
        let work = Work { batch, len, steps: 1, ..bench.work.clone() };
        let four = Work { tangents: 4, ..work.clone() };
        for work in [work.clone(), four, work.exact(BLOCKS)] {
            let held = bench.train_within(&bench.model, &work, None)?;
            shaped.push(Shaped { work, held });
        }
    }
    Ok(shaped)
}

/// A row for each, and one that compares exact gradients with four tangents.
pub fn rows(shaped: &[Shaped]) -> Vec<Row> {
    let part = "Memory of a step, by shape";
    let mut rows: Vec<Row> = shaped.iter().map(|shaped| row(part, shaped)).collect();
    let above = |way: Way, tangents: u32| {
        let found = shaped.iter().find(|shaped| {
            let Work { way: its, tangents: k, batch, len, .. } = shaped.work;
            (its, k, batch, len) == (way, tangents, 8, 128)
        })?;
        Some(found.held.run.above_weights() as f64)
    };
    if let (Some(exact), Some(four)) = (above(Way::Exact, 1), above(Way::Forward, 4)) {
        let name = "Exact gradients against forward, K = 4, 8 × 128";
        rows.push(Row::new(part, name, "Above the weights", Stat::one(exact / four), "×").at_most(1.35));
    }
    rows
}

fn row(part: &'static str, Shaped { work, held }: &Shaped) -> Row {
    let mib = |bytes: u64| bytes as f64 / MIB;
    let run = &held.run;
    let how = format!(
        "Planned {:.1} MiB; process {:.1}, above the weights {:.1}; smallest budget {:.1}",
        mib(held.planned),
        mib(run.peak()),
        mib(run.above_weights()),
        mib(held.smallest)
    );
    let name = format!("{} × {}, {}", work.batch, work.len, work.way());
    // What the group was charged, where there was one.
    let most = held.charged.unwrap_or(run.peak());
    Row::new(part, name, how, Stat::one(mib(most)), "MiB").at_most(mib(held.planned))
}
