//! Element-wise operations and reductions over slices, to be called inside a [`Kernel`](super::Kernel).
//!
//! Results are the same bits on every machine: reductions run over [`LANES`] partial results that are
//! joined in a fixed tree, products and sums are rounded separately, and `exp` is our own polynomial.
//!
//! Everything here is `#[inline(always)]`: it takes on the vector instructions of the kernel that it is inlined
//! into, and whoever calls it elsewhere gets what the build's baseline has.

use super::Arch;

/// Partial results of a reduction. Element i belongs to partial i mod LANES.
pub(crate) const LANES: usize = 32;

/// 1.5·2²³. A float within ±2²² that it is added to is rounded to an integer, to nearest and ties to even, by every
/// implementation and without SSE4.1; the low bits of the sum are that integer.
const ROUND: f32 = 12_582_912.0;

/// Σ aᵢ·bᵢ; of the same length. By vectors of its own: left to the compiler, what [`dot4`] does was unrolled into single
/// elements first, and attention took three times as long.
#[inline(always)]
pub(crate) fn dot<A: Arch>(arch: A, a: &[f32], b: &[f32]) -> f32 {
    dots(arch, a, [b])[0]
}

/// Σ aᵢ·bᵢ for four b, with the bits of [`dot`]; a is read once. All of the same length.
#[inline(always)]
pub(crate) fn dot4<A: Arch>(arch: A, a: &[f32], b: [&[f32]; 4]) -> [f32; 4] {
    dots(arch, a, b)
}

/// The products of each vector of eight partials are summed over the whole length before the next vector's: all partials
/// of four b at once would not fit the registers.
#[inline(always)]
fn dots<A: Arch, const N: usize>(arch: A, a: &[f32], b: [&[f32]; N]) -> [f32; N] {
    let whole = a.len() - a.len() % LANES;
    let mut partials = [[[0.0f32; 8]; LANES / 8]; N];
    for part in 0..LANES / 8 {
        let mut sums = [arch.splat(0.0); N];
        for at in (8 * part..whole).step_by(LANES) {
            let x = load(arch, a, at);
            for n in 0..N {
                sums[n] = arch.add(sums[n], arch.mul(x, load(arch, b[n], at)));
            }
        }
        for n in 0..N {
            arch.store(sums[n], &mut partials[n][part]);
        }
    }
    let mut found = [0.0; N];
    for n in 0..N {
        let partials = partials[n].as_flattened_mut();
        for (l, i) in (whole..a.len()).enumerate() {
            partials[l] += a[i] * b[n][i];
        }
        let [p0, p1, p2, p3] = [
            load(arch, partials, 0),
            load(arch, partials, 8),
            load(arch, partials, 16),
            load(arch, partials, 24),
        ];
        // The tree of `join`, whose last three levels are those of `Arch::sum`.
        found[n] = arch.sum(arch.add(arch.add(p0, p2), arch.add(p1, p3)));
    }
    found
}

#[inline(always)]
fn load<A: Arch>(arch: A, values: &[f32], at: usize) -> A::Floats {
    let eight: &[f32; 8] = values[at..].first_chunk().expect("whole vectors");
    arch.load_f32(bytemuck::cast_ref(eight))
}

/// y += Σ aⱼ·xⱼ in the order of j, with the bits of four [`axpy`]: y is read and written once. All of the same
/// length.
#[inline(always)]
pub(crate) fn axpy4(a: [f32; 4], x: [&[f32]; 4], y: &mut [f32]) {
    let n = y.len();
    let (x0, x1, x2, x3) = (&x[0][..n], &x[1][..n], &x[2][..n], &x[3][..n]);
    for i in 0..n {
        y[i] = (((y[i] + a[0] * x0[i]) + a[1] * x1[i]) + a[2] * x2[i]) + a[3] * x3[i];
    }
}

/// y += a·x over the shorter length.
#[inline(always)]
pub(crate) fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// y *= a.
#[inline(always)]
pub(crate) fn scale(y: &mut [f32], a: f32) {
    for y in y {
        *y *= a;
    }
}

/// Σ xᵢ; 0 for none.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    reduce(x, 0.0, |a, b| a + b)
}

/// The greatest element; −∞ for none. NaN elements are passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    reduce(x, f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

/// eˣ within 2 units in the last place; exactly 0 below −87.33654 (where the result would leave the
/// normal range), ∞ above 88.72284, NaN for NaN.
///
/// x = n·ln 2 + r with |r| ≤ ½ ln 2, then 1 + r + r²·q(r) with q fitted for least greatest relative error.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Ten bits, so that n·LN2_HIGH is exact.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Outside these limits the result is decided below; inside, n fits the exponent.
    let t = x.clamp(-88.0, 89.0);
    let n = (t * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (t - n * LN2_HIGH) - n * LN2_LOW;
    let q = 0.001_381_939 * r + 0.008_368_893;
    let q = q * r + 0.041_668_29;
    let q = q * r + 0.166_665_2;
    let q = q * r + 0.499_999_94;
    let e = q * (r * r) + r + 1.0;
    // 2ⁿ in two factors: n = 128 has no f32 of its own.
    let n = nearest(n);
    let half = n >> 1;
    let e = e * power_of_two(half) * power_of_two(n - half);
    if x < -87.336_54 { 0.0 } else { e }
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The nearest integer, ties to even, of a float within ±2²², NaN giving any. A plain `as` saturates, which costs more
/// than the rest of `exp`.
#[inline(always)]
pub(crate) fn nearest(x: f32) -> i32 {
    (x + ROUND).to_bits() as i32 - ROUND.to_bits() as i32
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

#[inline(always)]
fn reduce(x: &[f32], empty: f32, op: impl Fn(f32, f32) -> f32 + Copy) -> f32 {
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    let mut acc = [empty; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            acc[l] = op(acc[l], chunk[l]);
        }
    }
    for (acc, &x) in acc.iter_mut().zip(rest) {
        *acc = op(*acc, x);
    }
    join(acc, op)
}

#[inline(always)]
fn join(mut acc: [f32; LANES], op: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            acc[l] = op(acc[l], acc[l + width]);
        }
        width /= 2;
    }
    acc[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arch::Scalar;
    use crate::kernels::{Arch, Isa, Kernel, dispatch};

    /// Every operation, in bits.
    struct All<'a>(&'a [f32], &'a [f32]);

    impl Kernel for All<'_> {
        type Output = Vec<u32>;

        #[inline(always)]
        fn run<A: Arch>(self, arch: A) -> Vec<u32> {
            let Self(a, b) = self;
            let (mut c, mut d) = (b.to_vec(), b.to_vec());
            axpy(0.3, a, &mut c);
            scale(&mut c, 0.7);
            axpy4([0.3, 0.2, -0.7, 1.1], [a, b, b, a], &mut d);
            let curved = b.iter().flat_map(|&b| [exp(b), sigmoid(b)]);
            let single = [dot(arch, a, b), sum(a), max(a)].into_iter().chain(dot4(arch, a, [a, b, b, a]));
            single.chain(curved).chain(c.iter().copied()).chain(d.iter().copied()).map(f32::to_bits).collect()
        }
    }

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 2_654_435_761) % 2_000_003) as f32 / 1e6 - 1.0).collect()
    }

    #[test]
    fn instruction_sets_agree_bit_for_bit() {
        for n in [0, 1, 31, 32, 33, 64, 100, 577] {
            let (a, b) = (noise(n), noise(2 * n)[n..].to_vec());
            let scalar = dispatch(Isa::Scalar, All(&a, &b));
            for isa in Isa::available() {
                assert_eq!(dispatch(isa, All(&a, &b)), scalar, "{isa}, {n} elements");
            }
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn sums_are_right() {
        let a = noise(1000);
        let exact: f64 = a.iter().map(|&a| f64::from(a)).sum();
        assert!((f64::from(sum(&a)) - exact).abs() < 1e-4);
        let exact: f64 = a.iter().map(|&a| f64::from(a).powi(2)).sum();
        assert!((f64::from(dot(Scalar, &a, &a)) - exact).abs() < 1e-4 * exact);
    }

    #[test]
    fn exp_is_within_two_ulps_and_right_at_the_ends() {
        let mut worst: f64 = 0.0;
        for i in 0..2_000_000 {
            let x = -87.3 + 176.0 * i as f32 / 2e6;
            let exact = f64::from(x).exp();
            if exact < f64::from(f32::MAX) {
                let ulp = f64::from(f32::from_bits((exact as f32).to_bits() + 1)) - f64::from(exact as f32);
                worst = worst.max((f64::from(exp(x)) - exact).abs() / ulp);
            }
        }
        assert!(worst < 2.0, "{worst} units in the last place");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-87.4), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert!(exp(88.7).is_finite());
        assert!(exp(f32::NAN).is_nan());
        // The same bits everywhere: recorded on x86-64.
        let mut hash = 0u64;
        for i in 0..10_000 {
            hash =
                hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(exp(-90.0 + 0.018 * i as f32).to_bits());
        }
        assert_eq!(hash, 0x5234_e4cd_1503_f6f0, "{hash:#x}");
    }

    #[test]
    fn sigmoid_meets_its_limits() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(200.0), 1.0);
        assert_eq!(sigmoid(-200.0), 0.0);
        assert!((sigmoid(1.0) - 0.731_058_6).abs() < 1e-6);
    }
}
