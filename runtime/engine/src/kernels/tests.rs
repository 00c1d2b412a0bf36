//! Every instruction set against the scalar one, and the scalar one against blocks taken apart by hand.

use super::*;
use crate::gguf::TensorType as T;
use proptest::prelude::*;

const TYPES: [T; 13] = [
    T::F32,
    T::F16,
    T::BF16,
    T::Q4_0,
    T::Q4_1,
    T::Q5_0,
    T::Q5_1,
    T::Q8_0,
    T::Q2_K,
    T::Q3_K,
    T::Q4_K,
    T::Q5_K,
    T::Q6_K,
];

/// A generator that needs no crate: the high bits of a 64-bit congruential sequence.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Uniform in −1..1.
    fn value(&mut self) -> f32 {
        self.next() as f32 / 2_147_483_648.0 - 1.0
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }

    /// Random blocks whose scales are finite half floats of about 0.01.
    fn blocks(&mut self, ty: T, n: usize) -> Vec<u8> {
        let (_, block_bytes) = ty.block().unwrap();
        let halves: &[usize] = match ty {
            T::F32 => return self.values(n).iter().flat_map(|v| v.to_le_bytes()).collect(),
            T::BF16 => {
                return self.values(n).iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
            }
            T::F16 => &[0],
            T::Q4_0 | T::Q5_0 | T::Q8_0 => &[0],
            T::Q4_1 | T::Q5_1 | T::Q4_K | T::Q5_K => &[0, 2],
            T::Q2_K => &[80, 82],
            T::Q3_K => &[108],
            T::Q6_K => &[208],
            T::Unknown(_) => unreachable!(),
        };
        let mut bytes: Vec<u8> = (0..n * block_bytes).map(|_| self.next() as u8).collect();
        for block in bytes.chunks_exact_mut(block_bytes) {
            for &at in halves {
                let scale = half::f16::from_f32(0.02 * self.value());
                block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        bytes
    }

    fn matrix(&mut self, ty: T, rows: usize, cols: usize) -> Vec<u8> {
        self.blocks(ty, rows * cols / ty.block().unwrap().0)
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Element `e` of a block, from the format's description, one at a time.
fn element(ty: T, b: &[u8], e: usize) -> f32 {
    let half = |at: usize| half::f16::from_le_bytes([b[at], b[at + 1]]).to_f32();
    let nibble = |at: usize| i32::from(if e < 16 { b[at + e] & 15 } else { b[at + e - 16] >> 4 });
    let high = |at: usize| i32::from(b[at + e / 8] >> (e % 8) & 1) << 4;
    // Six-bit scale and minimum number j of Q4_K and Q5_K.
    let six = |j: usize| {
        let s = &b[4..16];
        if j < 4 {
            (f32::from(s[j] & 63), f32::from(s[j + 4] & 63))
        } else {
            let scale = s[j + 4] & 15 | s[j - 4] >> 6 << 4;
            (f32::from(scale), f32::from(s[j + 4] >> 4 | s[j] >> 6 << 4))
        }
    };
    let (g, l) = (e / 32, e % 32);
    match ty {
        T::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        T::F16 => half(0),
        T::BF16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        T::Q4_0 => (nibble(2) - 8) as f32 * half(0),
        T::Q4_1 => nibble(4) as f32 * half(0) + half(2),
        T::Q5_0 => ((nibble(6) | high(2)) - 16) as f32 * half(0),
        T::Q5_1 => (nibble(8) | high(4)) as f32 * half(0) + half(2),
        T::Q8_0 => f32::from(b[2 + e] as i8) * half(0),
        T::Q2_K => {
            let q = b[16 + 32 * (e / 128) + l] >> (2 * (g % 4)) & 3;
            let s = b[e / 16];
            half(80) * f32::from(s & 15) * f32::from(q) - half(82) * f32::from(s >> 4)
        }
        T::Q3_K => {
            let q = i32::from(b[32 + 32 * (e / 128) + l] >> (2 * (g % 4)) & 3);
            let q = q - if b[l] >> g & 1 == 1 { 0 } else { 4 };
            let h = e / 16;
            // Scale h: low nibble at byte h%8, high pair at byte 8 + h%4.
            let low = i32::from(if h < 8 { b[96 + h] & 15 } else { b[96 + h - 8] >> 4 });
            let top = i32::from(b[96 + 8 + h % 4] >> (2 * (h / 4)) & 3);
            half(108) * ((low | top << 4) - 32) as f32 * q as f32
        }
        T::Q4_K => {
            let q = b[16 + 32 * (e / 64) + l] >> (4 * (g % 2)) & 15;
            half(0) * six(g).0 * f32::from(q) - half(2) * six(g).1
        }
        T::Q5_K => {
            let q = b[48 + 32 * (e / 64) + l] >> (4 * (g % 2)) & 15;
            let q = q + (b[16 + l] >> g & 1) * 16;
            half(0) * six(g).0 * f32::from(q) - half(2) * six(g).1
        }
        T::Q6_K => {
            let (n, j) = (e / 128, e % 128 / 32);
            let low = i32::from(b[64 * n + l + 32 * (j % 2)] >> (4 * (j / 2)) & 15);
            let top = i32::from(b[128 + 32 * n + l] >> (2 * j) & 3);
            half(208) * f32::from(b[192 + e / 16] as i8) * ((low | top << 4) - 32) as f32
        }
        T::Unknown(_) => unreachable!(),
    }
}

#[test]
fn dequantised_blocks_match_the_format_on_every_isa() {
    for ty in TYPES {
        let (block_len, block_bytes) = ty.block().unwrap();
        let cols = block_len.max(8) * 3;
        let bytes = Noise(u64::from(ty.id())).matrix(ty, 5, cols);
        let w = Matrix::new(ty, 5, cols, &bytes).unwrap();
        let expected: Vec<f32> = (0..5 * cols)
            .map(|e| element(ty, &bytes[e / block_len * block_bytes..][..block_bytes], e % block_len))
            .collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; 5 * cols];
            dequantize(isa, &w, 0..5, &mut out);
            assert_eq!(bits(&out), bits(&expected), "{ty} {isa}");
            dequantize(isa, &w, 2..4, &mut out[..2 * cols]);
            assert_eq!(bits(&out[..2 * cols]), bits(&expected[2 * cols..4 * cols]), "{ty} {isa} rows 2..4");
        }
    }
}

/// The contract of the product, literally.
fn reference(x: Rows<'_>, w: &[f32], y: &mut RowsMut<'_>, write: Write) {
    for i in 0..x.rows() {
        for o in 0..y.cols() {
            let w = &w[o * x.cols()..][..x.cols()];
            let y = &mut y.row_mut(i)[o];
            let start = if write == Write::Continue { *y } else { 0.0 };
            let acc = x.row(i).iter().zip(w).fold(start, |acc, (x, w)| x.mul_add(*w, acc));
            *y = match write {
                Write::Set | Write::Continue => acc,
                Write::Add { scale } => *y + scale * acc,
            };
        }
    }
}

fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        Just(Write::Set),
        Just(Write::Continue),
        (-2.0f32..2.0).prop_map(|scale| Write::Add { scale })
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_keep_the_contract(
        ty in proptest::sample::select(&TYPES[..]), rows in 1usize..40, outputs in 1usize..150, blocks in 1usize..5,
        gap in 0usize..5, threads in 1usize..4, panel in 1usize..5, write in any_write(), seed: u64,
    ) {
        let block_len = ty.block().unwrap().0;
        let cols = if block_len == 1 { 7 * blocks } else { block_len * blocks };
        let mut noise = Noise(seed);
        let bytes = noise.matrix(ty, outputs, cols);
        let w = Matrix::new(ty, outputs, cols, &bytes).unwrap();
        let mut plain = vec![0.0; outputs * cols];
        dequantize(Isa::Scalar, &w, 0..outputs, &mut plain);
        let x = noise.values(rows * (cols + gap));
        let x = Rows::strided(&x, rows, cols, cols + gap);
        let before = noise.values(rows * (outputs + gap));
        let mut expected = before.clone();
        reference(x, &plain, &mut RowsMut::strided(&mut expected, rows, outputs, outputs + gap), write);

        for isa in Isa::available() {
            let ctx = Ctx::new(threads).unwrap().with_isa(isa).with_panel_rows(16 * panel).unwrap();
            let mut scratch = vec![f32::NAN; matmul_scratch_len(threads, 16 * panel, cols)];
            let mut y = before.clone();
            let out = RowsMut::strided(&mut y, rows, outputs, outputs + gap);
            matmul(&ctx, x, &w, out, write, &mut scratch);
            prop_assert_eq!(bits(&y), bits(&expected), "{} {}", ty, isa);

            y.copy_from_slice(&before);
            let out = RowsMut::strided(&mut y, rows, outputs, outputs + gap);
            matmul_serial(isa, x, &w, out, write, &mut scratch);
            prop_assert_eq!(bits(&y), bits(&expected), "{} {} serial", ty, isa);
        }
    }

    #[test]
    fn plain_products_keep_the_contract(
        rows in 1usize..40, depth in 0usize..40, outputs in 1usize..150, gap in 0usize..5, threads in 1usize..4,
        write in any_write(), seed: u64,
    ) {
        let mut noise = Noise(seed);
        let x = noise.values(rows * (depth + gap));
        let x = Rows::strided(&x, rows, depth, depth + gap);
        let w = noise.values(depth * (outputs + gap));
        let w = Rows::strided(&w, depth, outputs, outputs + gap);
        let transposed: Vec<f32> = (0..outputs).flat_map(|o| (0..depth).map(move |k| w.row(k)[o])).collect();
        let before = noise.values(rows * (outputs + gap));
        let mut expected = before.clone();
        reference(x, &transposed, &mut RowsMut::strided(&mut expected, rows, outputs, outputs + gap), write);
        for isa in Isa::available() {
            let ctx = Ctx::new(threads).unwrap().with_isa(isa);
            let mut y = before.clone();
            matmul_nn(&ctx, x, w, RowsMut::strided(&mut y, rows, outputs, outputs + gap), write);
            prop_assert_eq!(bits(&y), bits(&expected), "{}", isa);
            y.copy_from_slice(&before);
            matmul_nn_serial(isa, x, w, RowsMut::strided(&mut y, rows, outputs, outputs + gap), write);
            prop_assert_eq!(bits(&y), bits(&expected), "{} serial", isa);
        }
    }

    #[test]
    fn integer_products_agree_on_every_isa_and_stay_within_the_rounding_of_x(
        ty in proptest::sample::select(&TYPES[..]), rows in 1usize..9, outputs in 1usize..70, blocks in 1usize..4,
        threads in 1usize..4, write in any_write(), seed: u64,
    ) {
        let block_len = ty.block().unwrap().0;
        let cols = if block_len == 1 { 19 * blocks } else { block_len * blocks };
        let mut noise = Noise(seed);
        let bytes = noise.matrix(ty, outputs, cols);
        let w = Matrix::new(ty, outputs, cols, &bytes).unwrap();
        let mut plain = vec![0.0; outputs * cols];
        dequantize(Isa::Scalar, &w, 0..outputs, &mut plain);
        let x = noise.values(rows * cols);
        let x = Rows::new(&x, rows, cols);
        let before = noise.values(rows * outputs);
        let mut scratch = vec![f32::NAN; matvec_scratch_len(rows, cols)];
        let mut run = |isa| {
            let ctx = Ctx::new(threads).unwrap().with_isa(isa);
            let mut y = before.clone();
            matvec(&ctx, x, &w, RowsMut::new(&mut y, rows, outputs), write, &mut scratch);
            y
        };
        let scalar = run(Isa::Scalar);
        for isa in Isa::available() {
            prop_assert_eq!(bits(&run(isa)), bits(&scalar), "{} {}", ty, isa);
        }
        let mut expected = before.clone();
        reference(x, &plain, &mut RowsMut::new(&mut expected, rows, outputs), write);
        let factor = match write { Write::Set | Write::Continue => 1.0, Write::Add { scale } => scale.abs() };
        for i in 0..rows {
            for o in 0..outputs {
                let w = &plain[o * cols..][..cols];
                // Half a step for each element of x where it is quantised, and the rounding of f32 sums.
                let steps = if block_len == 1 { 0.0 } else { 0.5 / 127.0 };
                let groups = x.row(i).chunks(32).zip(w.chunks(32));
                let bound: f32 = groups
                    .map(|(x, w)| {
                        let most = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                        w.iter().map(|w| w.abs() * most * (steps + 2e-6)).sum::<f32>()
                    })
                    .sum();
                let error = (scalar[i * outputs + o] - expected[i * outputs + o]).abs();
                // The minimum and s·q may cancel in w but not in the rounding of their sums.
                prop_assert!(error <= factor * (bound * 1.01 + 2e-3) + 1e-6, "{ty}: {error} of {bound}");
            }
        }
    }
}

#[test]
fn a_row_of_zeros_gives_zeros_and_nan_is_not_lost() {
    let ctx = Ctx::new(1).unwrap();
    let bytes = Noise(3).matrix(T::Q4_1, 4, 64);
    let w = Matrix::new(T::Q4_1, 4, 64, &bytes).unwrap();
    let mut scratch = vec![0.0; matvec_scratch_len(1, 64)];
    let mut y = [1.0; 4];
    matvec(&ctx, Rows::new(&[0.0; 64], 1, 64), &w, RowsMut::new(&mut y, 1, 4), Write::Set, &mut scratch);
    assert_eq!(y, [0.0; 4]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = [1.0; 64];
        x[40] = bad;
        matvec(&ctx, Rows::new(&x, 1, 64), &w, RowsMut::new(&mut y, 1, 4), Write::Set, &mut scratch);
        assert!(y.iter().all(|y| !y.is_finite()), "{bad}: {y:?}");
    }
}
