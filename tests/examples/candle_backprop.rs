//! What plain backprop costs on candle: SmolLM2, a batch of 8, LoRA of rank 8 on q and v, language-model loss.
//!
//! ```text
//! candle_backprop [--tokens N] [--repeats N] [--at-once] [--own-products] [--forward-only]
//! ```
//!
//! Prints JSON: median milliseconds of one forward and of one forward and backward of the whole batch; bytes of the
//! weights (f32), and the most that was resident above them while this ran. The backward pass comes after each
//! sequence, its graph freed before the next, which costs an eighth of the memory; `--at-once` holds the graphs of
//! the whole batch, as plain backprop does. With `--repeats 0` each is run once and nothing is timed. `--own-products` leaves the frozen layers to candle's product, which also
//! forms the gradients of the frozen weights. `--forward-only` leaves the backward pass out, so that the peak is the
//! forward's.

use sprig_budget::process;
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_tests::{Adapter, DType, Objective, Oracle, Random, real_model};
use std::error::Error;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

const SEQUENCES: usize = 8;

fn main() -> Outcome<()> {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let (tokens, repeats) = (number("--tokens", 64)?, number("--repeats", 3)?);
    let path = real_model();
    let mut oracle = Oracle::load(&path, DType::F32)?;
    oracle.weight_gradients = flag("--own-products");
    let adapter = Adapter::random_lora(&oracle.geometry, 0..oracle.geometry.blocks, &["q", "v"], 8, 2.0, 1);
    let mut rng = Random::new(2);
    let vocabulary = oracle.geometry.vocabulary as u64;
    let batch: Vec<Vec<u32>> =
        (0..SEQUENCES).map(|_| (0..tokens).map(|_| (rng.bits() % vocabulary) as u32).collect()).collect();
    let batch: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
    let targets = vec![true; tokens];
    let objective = Objective::Language { targets: &targets };

    // Reading the file holds its bytes for a moment; that is not the work's.
    process::reset_peak_rss()?;
    let forward = median(repeats, || {
        for sequence in &batch {
            oracle.loss(sequence, Some(&adapter), objective)?;
        }
        Ok(())
    })?;
    let backprop = || {
        let mut sum = adapter.empty();
        let parts = if flag("--at-once") { SEQUENCES } else { 1 };
        for part in batch.chunks(parts) {
            let share = part.len() as f32 / SEQUENCES as f32;
            sum.add_scaled(&oracle.batch_gradient(part, &adapter, objective)?.1, share);
        }
        Ok(())
    };
    let backprop = if flag("--forward-only") { None } else { median(repeats, backprop)? };
    let weights = weights_in_f32(&path)?;
    let peak = process::status().peak_rss.ok_or("the kernel tells no VmHWM")?.0;
    let report = serde_json::json!({
        "tokens": tokens, "at_once": flag("--at-once"), "forward_ms": forward, "backprop_ms": backprop,
        "weights_bytes": weights, "peak_rss_bytes": peak, "above_weights_bytes": peak.saturating_sub(weights),
    });
    println!("{report}");
    Ok(())
}

/// The number after `name`.
fn number(name: &str, otherwise: usize) -> Outcome<usize> {
    let given = std::env::args().skip_while(|argument| argument != name).nth(1);
    Ok(given.map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}

/// Median milliseconds of `work`, after one unmeasured call; `None` if that is the only one.
fn median(repeats: usize, mut work: impl FnMut() -> Outcome<()>) -> Outcome<Option<f64>> {
    work()?;
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(repeats / 2).copied())
}

fn weights_in_f32(path: &std::path::Path) -> Outcome<u64> {
    let map = Mapped::open(path)?;
    Ok(Gguf::parse(map.bytes())?.tensors().map(|tensor| 4 * tensor.elements() as u64).sum())
}
