//! Speed of the kernels at SmolLM2's shapes, next to a plain f32 product by the `gemm` crate in the same run.
//!
//! `cargo run --release -p sprig-engine --example kernel_speed`. Figures are the best of many repetitions:
//! what the kernel can do, on a machine that may have other work.

use sprig_engine::gguf::TensorType;
use sprig_engine::kernels::{
    Ctx, Isa, Matrix, Pool, Rows, RowsMut, Write, matmul, matmul_nn, matmul_scratch_len, matmul_serial,
    matvec, matvec_scratch_len,
};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("chosen {}; available {:?}", Isa::chosen()?, Isa::available());
    let budget = Duration::from_millis(400);

    println!("\nproduct of many rows, GFLOP/s            gemm f32 |     ours (share of gemm)");
    for (rows, cols, outputs, ty) in [
        (512, 576, 1536, TensorType::Q4_1),
        (512, 1536, 576, TensorType::Q4_1),
        (512, 576, 192, TensorType::Q4_1),
        (512, 576, 49152, TensorType::Q8_0),
        (64, 576, 1536, TensorType::Q4_1),
        (512, 576, 1536, TensorType::Q6_K),
    ] {
        // K-quants need whole blocks of 256.
        let cols = if ty == TensorType::Q6_K { 768 } else { cols };
        let bytes = blocks(ty, outputs * cols);
        let w = Matrix::new(ty, outputs, cols, &bytes)?;
        let plain: Vec<f32> = (0..outputs * cols).map(|i| (i % 17) as f32 * 0.01).collect();
        let x = ramp(rows * cols);
        let mut y = vec![0.0; rows * outputs];
        let gflop = 2e-9 * (rows * cols * outputs) as f64;
        for threads in [1, 2] {
            let theirs = gflop / best(budget, || gemm_f32(threads, rows, cols, outputs, &x, &plain, &mut y));
            print!("{rows:5} x {cols:4} -> {outputs:5} {ty:5} {threads} thread(s) {theirs:8.1} |");
            for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Scalar) {
                let ctx = Ctx::new(threads)?.with_isa(isa);
                let mut scratch = vec![0.0; matmul_scratch_len(threads, ctx.panel_rows(), cols)];
                let ours = best(budget, || {
                    let y = RowsMut::new(&mut y, rows, outputs);
                    matmul(&ctx, Rows::new(&x, rows, cols), &w, y, Write::Set, &mut scratch);
                });
                print!("  {isa} {:.1} ({:.0} %)", gflop / ours, 100.0 * gflop / ours / theirs);
            }
            println!();
        }
    }

    println!("\nsmall products on one thread, µs");
    for (rows, cols, outputs) in [(64, 576, 8), (64, 8, 576), (64, 64, 64)] {
        let (x, w) = (ramp(rows * cols), ramp(outputs * cols));
        let mut y = vec![0.0; rows * outputs];
        let mut scratch = vec![0.0; matmul_scratch_len(1, 64, cols)];
        let time = best(budget / 4, || {
            let w = Matrix::from_f32(outputs, cols, &w).expect("its own shape");
            let y = RowsMut::new(&mut y, rows, outputs);
            matmul_serial(Isa::fastest(), Rows::new(&x, rows, cols), &w, y, Write::Set, &mut scratch);
        });
        let gflops = 2e-9 * (rows * cols * outputs) as f64 / time;
        println!("{rows:5} x {cols:4} -> {outputs:5} {:8.2} µs, {gflops:.1} GFLOP/s", 1e6 * time);
    }

    println!("\nplain right-hand side in place, GFLOP/s");
    for (rows, depth, outputs) in [(512, 256, 576), (64, 64, 64)] {
        let (x, w) = (ramp(rows * depth), ramp(depth * outputs));
        let mut y = vec![0.0; rows * outputs];
        for threads in [1, 2] {
            let ctx = Ctx::new(threads)?;
            let time = best(budget / 4, || {
                let (x, w) = (Rows::new(&x, rows, depth), Rows::new(&w, depth, outputs));
                matmul_nn(&ctx, x, w, RowsMut::new(&mut y, rows, outputs), Write::Add { scale: 0.5 });
            });
            let gflops = 2e-9 * (rows * depth * outputs) as f64 / time;
            println!("{rows:5} x {depth:4} -> {outputs:5} {threads} thread(s) {gflops:8.1}");
        }
    }

    println!("\nproduct of few rows, GB/s of weights");
    for (cols, outputs, ty) in [
        (576, 1536, TensorType::Q4_1),
        (1536, 576, TensorType::Q4_1),
        (576, 192, TensorType::Q4_1),
        (576, 49152, TensorType::Q8_0),
        (4096, 11008, TensorType::Q4_0),
        (4096, 11008, TensorType::Q4_1),
        (4096, 11008, TensorType::Q4_K),
        (4096, 11008, TensorType::Q5_K),
        (4096, 11008, TensorType::Q6_K),
        (4096, 4096, TensorType::F16),
    ] {
        let bytes = blocks(ty, outputs * cols);
        let w = Matrix::new(ty, outputs, cols, &bytes)?;
        for rows in [1, 4] {
            let x = ramp(rows * cols);
            let mut y = vec![0.0; rows * outputs];
            let mut scratch = vec![0.0; matvec_scratch_len(rows, cols)];
            for threads in [1, 2] {
                print!("{rows} x {cols:4} -> {outputs:5} {ty:5} {threads} thread(s)");
                for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Scalar) {
                    let ctx = Ctx::new(threads)?.with_isa(isa);
                    let time = best(budget / 2, || {
                        let y = RowsMut::new(&mut y, rows, outputs);
                        matvec(&ctx, Rows::new(&x, rows, cols), &w, y, Write::Set, &mut scratch);
                    });
                    print!("  {isa} {:6.1} ({:.1} µs)", 1e-9 * bytes.len() as f64 / time, 1e6 * time);
                }
                println!();
            }
        }
    }

    let pool = Pool::new(2);
    let time = best(budget, || pool.run(2, |i| assert!(i < 2)));
    println!("\nan empty run of 2 tasks on 2 threads: {:.2} µs", 1e6 * time);
    Ok(())
}

/// Seconds of the fastest call within `budget`, after one to warm up.
fn best(budget: Duration, mut call: impl FnMut()) -> f64 {
    call();
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < budget {
        let one = Instant::now();
        call();
        best = best.min(one.elapsed());
    }
    best.as_secs_f64()
}

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 101) as f32 * 0.01 - 0.5).collect()
}

/// Blocks with small scales; what the numbers are does not matter, as long as they are not subnormal.
fn blocks(ty: TensorType, n: usize) -> Vec<u8> {
    let (len, bytes) = ty.block().expect("a known type");
    (0..n / len * bytes).map(|i| if i % 2 == 0 { (i * 7 % 251) as u8 } else { 0x28 }).collect()
}

/// y = x · wᵀ.
#[allow(clippy::too_many_arguments, reason = "shapes and operands of a product")]
fn gemm_f32(threads: usize, rows: usize, cols: usize, outputs: usize, x: &[f32], w: &[f32], y: &mut [f32]) {
    let parallel = if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
    let (m, n, k) = (rows, outputs, cols);
    assert!(x.len() == m * k && w.len() == n * k && y.len() == m * n);
    // SAFETY: the assertion covers every element that the strides below reach.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            n as isize,
            false,
            x.as_ptr(),
            1,
            k as isize,
            w.as_ptr(),
            k as isize,
            1,
            0.0f32,
            1.0,
            false,
            false,
            false,
            parallel,
        );
    }
}
