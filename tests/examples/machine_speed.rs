//! What this machine can do at all, for ratios in one run: `machine_speed FILE THREADS`.
//!
//! Prints JSON: the best rate of a plain f32 product (the `gemm` crate, by way of candle, whose tensors keep it free
//! of unsafe code) and of reading FILE from memory, each on THREADS threads.

use candle_core::{DType, Device, Tensor};
use sprig_engine::gguf::Mapped;
use std::error::Error;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// Each figure is the best within this time.
const TIME: Duration = Duration::from_millis(700);

/// (rows, depth, columns): a deep square that is all product, and the feed-forward product of SmolLM2.
const PRODUCTS: &[(usize, usize, usize)] = &[(1024, 4096, 1024), (512, 576, 1536)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, threads] = arguments.as_slice() else {
        return Err("usage: machine_speed FILE THREADS".into());
    };
    // Candle asks this variable, at its first product, how many threads to use.
    if std::env::var("RAYON_NUM_THREADS").as_ref() != Ok(threads) {
        return Err(format!("set RAYON_NUM_THREADS={threads}").into());
    }
    let threads: usize = threads.parse()?;
    let mut product = 0f64;
    for &(rows, depth, columns) in PRODUCTS {
        let x = Tensor::ones((rows, depth), DType::F32, &Device::Cpu)?;
        let w = Tensor::ones((depth, columns), DType::F32, &Device::Cpu)?;
        let time = best(|| {
            black_box(x.matmul(&w)?);
            Ok(())
        })?;
        product = product.max(2e-9 * (rows * depth * columns) as f64 / time);
    }
    let map = Mapped::open(file)?;
    map.populate();
    let read = best(|| {
        black_box(sum(map.bytes(), threads));
        Ok(())
    })?;
    let bytes = map.bytes().len();
    let report = serde_json::json!({
        "threads": threads, "product_gflops": product, "file_bytes": bytes, "read_ms": 1e3 * read,
        "read_gb_per_s": 1e-9 * bytes as f64 / read,
    });
    println!("{report}");
    Ok(())
}

/// Seconds of the fastest call, after one to warm up.
fn best(mut call: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    call()?;
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < TIME {
        let one = Instant::now();
        call()?;
        best = best.min(one.elapsed());
    }
    Ok(best.as_secs_f64())
}

/// Reads every byte once: the sum of all 8-byte words, an equal part on each thread.
fn sum(bytes: &[u8], threads: usize) -> u64 {
    let word = |word: &[u8]| u64::from_le_bytes(word.try_into().expect("chunks of eight"));
    let part = |part: &[u8]| part.chunks_exact(8).map(word).fold(0, u64::wrapping_add);
    thread::scope(|scope| {
        let parts = bytes.chunks(bytes.len().div_ceil(threads).max(8));
        let running: Vec<_> = parts.map(|p| scope.spawn(move || part(p))).collect();
        running.into_iter().map(|one| one.join().expect("a sum")).fold(0, u64::wrapping_add)
    })
}
