//! What stands beside our figures: backprop by candle and PyTorch on the same work, and what the machine can do at all.

use super::work::{Bench, Work, figure};
use crate::sys;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The built examples of the tests' crate, which has candle.
pub struct Peers {
    folder: PathBuf,
}

/// Plain backprop by candle in f32.
#[derive(Clone, Copy, Debug)]
pub struct Candle {
    /// Milliseconds of a plain forward pass of the batch, if it was timed.
    pub forward_ms: Option<f64>,
    /// Milliseconds of a forward and a backward pass, if they were timed.
    pub backprop_ms: Option<f64>,
    /// Most bytes resident above the weights.
    pub above_weights: u64,
}

/// When candle's backward pass comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backward {
    /// Once, for the whole batch: plain backprop.
    AtOnce,
    /// After each sequence: an eighth of the memory.
    BySequence,
}

/// What the machine can do.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Best rate of an f32 product, in GFLOP/s.
    pub product_gflops: f64,
    /// Milliseconds to read the model file's bytes from memory once.
    pub read_ms: f64,
}

/// A step of the same work by PyTorch in f32, weights of the same geometry: milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Torch {
    /// One directional derivative by forward-mode differentiation.
    pub jvp_ms: f64,
    /// Four of them, one after another, as published.
    pub four_jvp_ms: f64,
    /// Forward and backward pass with a checkpoint at each block.
    pub checkpointed_ms: f64,
    /// Forward and backward pass without.
    pub backprop_ms: f64,
}

impl Torch {
    /// Times them with the torch of `python`.
    pub fn take(python: &Path, bench: &Bench<'_>) -> Result<Self> {
        eprintln!("PyTorch");
        let Work { batch, len, threads, .. } = &bench.work;
        let mut command = Command::new(python);
        command.arg(sys::workspace_root().join("tests/compat/torch_step.py"));
        for (flag, value) in [("--batch", batch.to_string()), ("--len", len.to_string())] {
            command.args([flag, &value]);
        }
        let printed = sys::output(command.args(["--threads", &threads.to_string()]))?;
        serde_json::from_str(&printed).context("what torch_step.py printed")
    }
}

impl Peers {
    /// Builds them. Candle takes minutes the first time.
    pub fn build() -> Result<Self> {
        eprintln!("building candle");
        let mut cargo = sys::command("cargo", true);
        cargo.args(["build", "--release", "--locked", "--quiet", "--package", "sprig-tests"]);
        sys::check(cargo.args(["--example", "candle_backprop", "--example", "machine_speed"]))?;
        Ok(Self { folder: sys::target_dir().join("release/examples") })
    }

    /// Backprop of a batch of 8 sequences of `tokens`; with no `repeats` nothing is timed.
    pub fn candle(&self, bench: &Bench<'_>, tokens: u32, repeats: u32, backward: Backward) -> Result<Candle> {
        eprintln!("candle, 8 x {tokens}, {backward:?}");
        let (tokens, repeats) = (tokens.to_string(), repeats.to_string());
        let mut arguments = vec!["--tokens", &tokens, "--repeats", &repeats];
        if backward == Backward::AtOnce {
            arguments.push("--at-once");
        }
        let printed = self.output("candle_backprop", bench, &arguments)?;
        Ok(Candle {
            forward_ms: printed["forward_ms"].as_f64(),
            backprop_ms: printed["backprop_ms"].as_f64(),
            above_weights: printed["above_weights_bytes"].as_u64().context("no above_weights_bytes")?,
        })
    }

    /// The machine's own speed on the model's bytes.
    pub fn machine(&self, bench: &Bench<'_>) -> Result<Machine> {
        let (model, threads) = (bench.model.to_string_lossy(), bench.work.threads.to_string());
        let printed = self.output("machine_speed", bench, &[&*model, &*threads])?;
        Ok(Machine {
            product_gflops: figure(&printed, "product_gflops")?,
            read_ms: figure(&printed, "read_ms")?,
        })
    }

    fn output(&self, program: &str, bench: &Bench<'_>, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(self.folder.join(program));
        command.args(arguments).env("SPRIG_MODEL", &bench.model);
        let printed = sys::output(command.env("RAYON_NUM_THREADS", bench.work.threads.to_string()))?;
        serde_json::from_str(&printed).with_context(|| format!("{program} printed no JSON"))
    }
}
