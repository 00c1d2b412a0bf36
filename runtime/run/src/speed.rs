//! How long a step will take, before anything is loaded: its arithmetic over the rate of a product that is timed here.

use sprig_engine::kernels::{Ctx, Matrix, Rows, RowsMut, Write, matmul, matmul_scratch_len};
use sprig_engine::model::{Geometry, Module};
use sprig_learn::LearnError;
use sprig_learn::workload::Workload;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rows, inputs and outputs of the product: operands of 0.8 MiB.
const SHAPE: (usize, usize, usize) = (128, 512, 256);
/// How long it is repeated: the best of some hundred.
const SAMPLE: Duration = Duration::from_millis(40);
/// Share of that rate which a whole pass reaches: 82 to 88 % in the project's benchmarks.
const SHARE: f64 = 0.85;

/// Floating-point operations of a plain forward pass over one example of `work`, its longest: two a weight and token, the
/// head's for the rows whose statistics are wanted, four a feature of each causal pair of tokens.
pub fn forward_flop(g: &Geometry, work: &Workload) -> f64 {
    let block: usize = Module::ALL.iter().map(|m| m.shape(g)).map(|(rows, cols)| rows * cols).sum();
    let (len, wanted) = (work.length as f64, work.objective.wants(work.extent()).rows as f64);
    let pairs = len * (len + 1.0) / 2.0;
    let attention = 4.0 * g.q_width() as f64 * pairs;
    g.blocks as f64 * (2.0 * block as f64 * len + attention) + 2.0 * (g.width * g.vocabulary) as f64 * wanted
}

/// Floating-point operations a second that a pass with `threads` threads reaches on this machine, by a product that is
/// timed for 40 ms.
///
/// # Errors
/// The environment asks for instructions that this machine does not have.
pub fn rate(threads: usize) -> Result<f64, LearnError> {
    let ctx = Ctx::new(threads).map_err(|e| LearnError::Settings(e.to_string()))?;
    let (rows, inputs, outputs) = SHAPE;
    let (x, w) = (vec![0.5f32; rows * inputs], vec![0.25f32; outputs * inputs]);
    let (mut y, mut panels) =
        (vec![0.0f32; rows * outputs], vec![0.0f32; matmul_scratch_len(threads, ctx.panel_rows(), inputs)]);
    let matrix = Matrix::from_f32(outputs, inputs, &w).map_err(|e| LearnError::Settings(e.to_string()))?;
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    while began.elapsed() < SAMPLE {
        let start = Instant::now();
        let out = RowsMut::new(&mut y, rows, outputs);
        matmul(&ctx, Rows::new(&x, rows, inputs), &matrix, out, Write::Set, &mut panels);
        black_box(&y);
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(SHARE * 2.0 * (rows * inputs * outputs) as f64 / best.max(1e-9))
}
