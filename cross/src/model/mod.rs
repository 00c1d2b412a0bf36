//! `cargo xtask model`: fetch a model once, checked, and print where it is.

mod source;

use crate::sys;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
pub use source::find_file;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments of `cargo xtask model`.
#[derive(clap::Args)]
pub struct Args {
    /// Which model: smollm2, or gemma3, whose terms are shown first
    #[arg(default_value = "smollm2")]
    name: String,
    /// Agree to the terms of a model that is not free software
    #[arg(long)]
    accept_terms: bool,
    /// Write a model of random weights instead, of this geometry
    #[arg(long, value_enum, requires = "out", conflicts_with = "name")]
    synthetic: Option<Geometry>,
    /// The new file to write it to; Llama-2-7B takes 3.8 GB
    #[arg(long, value_name = "FILE", requires = "synthetic")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of the path
    #[arg(long)]
    json: bool,
}

/// Geometries of synthetic models.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Geometry {
    /// 3 blocks of width 64: for quick tests
    Tiny,
    /// As tiny, with Llama 3's factors of the rotary angles
    Llama3,
    /// As tiny, with biases as Qwen 2 and 2.5 have them
    Qwen2,
    /// As tiny, with a norm for each head and heads of a width of their own, as Qwen 3 has them
    Qwen3,
    /// As tiny, with norms behind each branch, windows and a vocabulary of pieces, as Gemma 3 has them
    Gemma3,
    /// 32 blocks of width 960, 0.36 billion weights
    #[value(name = "smollm2-360m")]
    Smollm2x360m,
    /// 24 blocks of width 896 and 151,936 tokens, 0.49 billion weights
    #[value(name = "qwen2.5-0.5b")]
    Qwen2x500m,
    /// 1.1 billion weights
    Tinyllama,
    /// 6.7 billion weights
    #[value(name = "llama-2-7b")]
    Llama2x7b,
}

impl Geometry {
    /// Numbers in all its tensors.
    pub fn weights(self) -> u64 {
        match self {
            Self::Tiny => 130_240,
            Self::Llama3 => 130_248,
            Self::Qwen2 => 130_624,
            Self::Qwen3 => 167_296,
            Self::Gemma3 => 167_680,
            Self::Smollm2x360m => 361_821_120,
            Self::Qwen2x500m => 494_032_768,
            Self::Tinyllama => 1_100_048_384,
            Self::Llama2x7b => 6_738_415_616,
        }
    }

    /// About the size of the file, from above: 4.5 bits a weight in Q4_0, some more in SmolLM2's types.
    fn bytes(self) -> u64 {
        let sixteenths = match self {
            Self::Tiny | Self::Llama3 | Self::Qwen2 | Self::Qwen3 | Self::Gemma3 | Self::Smollm2x360m => 11,
            Self::Qwen2x500m | Self::Tinyllama | Self::Llama2x7b => 9,
        };
        self.weights() / 16 * sixteenths + (4 << 20)
    }
}

/// A model on this machine, checked.
#[derive(Debug, Serialize)]
pub struct Model {
    /// Absolute path of the GGUF file.
    pub path: PathBuf,
    /// The licence that came with it.
    pub license: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whether this call downloaded it.
    pub fetched: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let (Some(geometry), Some(out)) = (args.synthetic, &args.out) {
        let bytes = synthesise(geometry, out)?;
        if args.json {
            println!("{}", serde_json::json!({ "path": out, "bytes": bytes }));
        } else {
            println!("{}", out.display());
        }
        return Ok(());
    }
    let model = source::named(&args.name)?.fetch(args.accept_terms)?;
    if args.json {
        println!("{}", serde_json::to_string(&model)?);
    } else {
        eprintln!("{}: {} bytes, sha256 {}", args.name, model.bytes, model.sha256);
        println!("{}", model.path.display());
    }
    Ok(())
}

/// Writes a model of random weights to a new file and returns its size.
pub fn synthesise(geometry: Geometry, out: &Path) -> Result<u64> {
    let value = geometry.to_possible_value().context("every geometry has a name")?;
    // The commands run in the workspace root; a relative path is the caller's.
    let out = std::path::absolute(out)?;
    // Gigabytes must not be written over by a slip, nor half written for want of a look.
    if out.exists() {
        bail!("{} exists; delete it, or give --out another name", out.display());
    }
    let folder = out.parent().context("a file needs a folder")?;
    if !folder.is_dir() {
        bail!("the folder {} does not exist", folder.display());
    }
    let needed = geometry.bytes();
    if let Some(free) = sys::free_bytes(folder).filter(|free| *free < needed) {
        bail!(
            "{} would take {} MiB, but {} has {} MiB free; give --out a folder on another disk",
            out.display(),
            needed >> 20,
            folder.display(),
            free >> 20
        );
    }
    let mut cargo = sys::command("cargo", true);
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "sprig-cross",
        "--example",
        "synthetic",
    ]);
    sys::check(&mut cargo)?;
    let program = sys::target_dir().join("release/examples/synthetic");
    sys::output(Command::new(program).arg(value.get_name()).arg(&out))?;
    Ok(fs::metadata(&out).with_context(|| format!("cannot read {}", out.display()))?.len())
}

/// Makes sure the model called `name`, which is free software, is on this machine.
pub fn fetch(name: &str) -> Result<Model> {
    source::named(name)?.fetch(false)
}

/// `SPRIG_MODEL_CACHE` when set, else `target/models` of the workspace.
pub fn folder() -> PathBuf {
    match std::env::var_os("SPRIG_MODEL_CACHE").filter(|dir| !dir.is_empty()) {
        Some(dir) => sys::workspace_root().join(dir),
        None => sys::workspace_root().join("target/models"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synthetic_model_overwrites_nothing_and_needs_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.gguf");
        fs::write(&path, "kept").unwrap();
        let error = synthesise(Geometry::Tiny, &path).unwrap_err().to_string();
        assert!(error.contains("exists; delete it"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        let error = synthesise(Geometry::Tiny, &folder.path().join("no/x.gguf")).unwrap_err().to_string();
        assert!(error.contains("does not exist"), "{error}");
    }
}
