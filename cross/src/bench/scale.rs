//! Models far larger than their budgets: random weights, written, trained on for a step, deleted.

use super::work::{Bench, Work};
use crate::model::{self, Geometry};
use crate::sprig::Done;
use crate::sys;
use anyhow::{Context, Result};
use std::fs;

/// Geometry, its name, and the budget it must train in.
const MODELS: &[(Geometry, &str, &str)] =
    &[(Geometry::Tinyllama, "TinyLlama", "256MiB"), (Geometry::Llama2x7b, "Llama-2-7B", "1GiB")];

/// A step on such a model.
pub struct Scaled {
    /// Its name.
    pub name: &'static str,
    /// Its geometry.
    pub geometry: Geometry,
    /// Size of its file.
    pub file_bytes: u64,
    /// The step; its peak is the one seen from outside.
    pub run: Done,
}

/// One step of the usual work on each; the plan decides how.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Scaled>> {
    MODELS.iter().map(|&(geometry, name, budget)| step(bench, geometry, name, budget)).collect()
}

fn step(bench: &Bench<'_>, geometry: Geometry, name: &'static str, budget: &str) -> Result<Scaled> {
    let models = sys::target_dir().join("models");
    fs::create_dir_all(&models).with_context(|| format!("cannot create {}", models.display()))?;
    // Removed with what it holds when it goes out of scope, also after an error.
    let folder = tempfile::tempdir_in(&models)?;
    let file = folder.path().join(format!("{name}.gguf"));
    eprintln!("writing {}", file.display());
    let file_bytes = model::synthesise(geometry, &file)?;
    let run =
        bench.train(&file, &Work { budget: Some(budget.to_owned()), steps: 1, ..bench.work.clone() })?;
    Ok(Scaled { name, geometry, file_bytes, run })
}
