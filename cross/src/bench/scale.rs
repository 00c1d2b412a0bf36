//! Models far larger than their budgets: random weights, written, trained on for a step, deleted.

use super::row::{Row, Stat};
use super::work::{Bench, Held, Work};
use crate::model::{self, Geometry};
use crate::sys;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A step on such a model.
pub struct Scaled {
    /// The model's name and the work.
    pub name: String,
    /// Its geometry.
    pub geometry: Geometry,
    /// Size of its file.
    pub file_bytes: u64,
    /// The work.
    pub work: Work,
    /// The step, in a memory control group of its budget.
    pub held: Held,
}

/// One step of each kind of work on each model, within its budget; the plan decides how.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Scaled>> {
    let usual = || Work { steps: 1, ..bench.work.clone() };
    // The shape of the best figure published for its geometry, 136 MB for a whole process (MeSP).
    let narrow = Work { batch: 1, len: 256, targets: "all", ..usual().exact(24) };
    let mut scaled = Vec::new();
    scaled.extend(step(bench, Geometry::Qwen2x500m, "Qwen2.5-0.5B", &[(narrow, 136_000_000)])?);
    scaled.extend(step(bench, Geometry::Tinyllama, "TinyLlama", &[(usual(), 256 * MIB)])?);
    let both = [(usual(), 1024 * MIB), (usual().exact(32), 300 * MIB)];
    scaled.extend(step(bench, Geometry::Llama2x7b, "Llama-2-7B", &both)?);
    Ok(scaled)
}

/// What each took.
pub fn rows(scaled: &[Scaled]) -> Vec<Row> {
    let part = "Models larger than the budget";
    let mut rows = Vec::new();
    for Scaled { name, file_bytes, work, held, .. } in scaled {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        let how = format!(
            "A file of {:.0} MiB, random weights, LoRA step {} × {}; in a memory control group of its budget; the process \
             alone, seen from outside. Smallest budget {:.1} MiB",
            mib(*file_bytes),
            work.batch,
            work.len,
            mib(held.smallest)
        );
        let run = &held.run;
        let peak = Row::new(part, format!("{name}: process peak"), how, Stat::one(mib(run.peak())), "MiB");
        rows.push(peak.at_most(mib(run.budget_bytes)));
        let step = Stat::one(run.step_ms_median / 1e3);
        rows.push(Row::new(part, format!("{name}: one step"), "", step, "s"));
    }
    rows
}

fn step(
    bench: &Bench<'_>,
    geometry: Geometry,
    name: &'static str,
    works: &[(Work, u64)],
) -> Result<Vec<Scaled>> {
    let models = sys::target_dir().join("models");
    fs::create_dir_all(&models).with_context(|| format!("cannot create {}", models.display()))?;
    // Removed with what it holds when it goes out of scope, also after an error.
    let folder = tempfile::tempdir_in(&models)?;
    let file = folder.path().join(format!("{name}.gguf"));
    eprintln!("writing {}", file.display());
    let file_bytes = model::synthesise(geometry, &file)?;
    let run = |(work, budget): &(Work, u64)| {
        let held = bench.train_within(Path::new(&file), work, Some(*budget))?;
        Ok(Scaled { name: format!("{name}, {}", work.way()), geometry, file_bytes, work: work.clone(), held })
    };
    works.iter().map(run).collect()
}
