//! What plain backprop costs on candle: SmolLM2, batch 8 × 64, LoRA of rank 8 on q and v, language-model loss.
//!
//! ```text
//! candle_backprop [--own-products] [--forward-only]
//! ```
//!
//! Prints JSON: median milliseconds of one forward and of one forward and backward of the whole batch, and the peak
//! resident bytes of the process (weights in f32, hence 540 MB before the first step). `--own-products` leaves the
//! frozen layers to candle's product, which also forms the gradients of the frozen weights. `--forward-only` leaves
//! the backward pass out, so that the peak is the forward's.

use sprig_tests::{Adapter, DType, Objective, Oracle, Result, Rng, model_path};
use std::time::Instant;

const SEQUENCES: usize = 8;
const TOKENS: usize = 64;
const REPEATS: usize = 3;

fn main() -> Result<()> {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let mut oracle = Oracle::load(&model_path(), DType::F32)?;
    oracle.weight_gradients = flag("--own-products");
    let adapter = Adapter::random_lora(&oracle.geometry, 0..oracle.geometry.blocks, &["q", "v"], 8, 2.0, 1);
    let mut rng = Rng::new(2);
    let vocabulary = oracle.geometry.vocabulary as u64;
    let batch: Vec<Vec<u32>> =
        (0..SEQUENCES).map(|_| (0..TOKENS).map(|_| (rng.bits() % vocabulary) as u32).collect()).collect();
    let objective = Objective::Language { targets: &[true; TOKENS] };

    let forward =
        median(|| batch.iter().try_for_each(|x| oracle.loss(x, Some(&adapter), objective).map(drop)))?;
    let backprop = if flag("--forward-only") {
        None
    } else {
        Some(median(|| {
            let mut sum = adapter.empty();
            for sequence in &batch {
                sum.add_scaled(&oracle.gradient(sequence, &adapter, objective)?.1, 1.0 / SEQUENCES as f32);
            }
            Ok(())
        })?)
    };
    let report =
        serde_json::json!({ "forward_ms": forward, "backprop_ms": backprop, "peak_rss_bytes": peak_rss() });
    println!("{report}");
    Ok(())
}

/// Median milliseconds of `work`, after one unmeasured call.
fn median(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[REPEATS / 2])
}

/// `VmHWM` of this process; `None` where the kernel does not tell.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
