//! Directions: a pure function of (run key, round, iteration, device, k, example, tensor, index), the same bits on every
//! CPU. Never stored, never sent. Spec section 6.2.

use sprig_engine::adapter::Tensor;
use sprig_engine::dual::TensorId;
use sprig_ground::names;
use sprig_ground::philox::philox;

/// Distribution of a direction's elements; all have E[v vᵀ] = I.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Independent signs.
    Rademacher,
    /// Signs of one Rademacher draw times Walsh functions: the K directions of a pass are orthogonal, which makes the
    /// estimate exact at K = d and less noisy below.
    Walsh,
    /// Normal numbers through a software Box–Muller (the paper's choice).
    Gaussian,
}

names!(Family, "family of directions", [Rademacher = "rademacher", Walsh = "walsh", Gaussian = "gaussian"]);

/// Who shares a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One direction a tangent for the whole batch.
    Shared,
    /// Each example its own (algorithm.md 6.4).
    PerExample,
}

names!(Sharing, "sharing of directions", [Shared = "shared", PerExample = "per-example"]);

/// Example number that means "the whole batch".
const WHOLE_BATCH: u32 = 0xFFFF;
/// Stream that starts adapters; no training round is this one.
const INITIAL_ROUND: u32 = u32::MAX;

/// The directions of one iteration.
#[derive(Clone, Copy, Debug)]
pub struct Directions<'a> {
    /// Distribution.
    pub family: Family,
    /// Shared or per example.
    pub sharing: Sharing,
    /// Key of the run, from its seed.
    pub run_key: [u32; 2],
    /// Round of a fleet; 0 for a single device.
    pub round: u32,
    /// Optimiser step within the round.
    pub iteration: u32,
    /// Device number; 0 for a single device.
    pub device: u32,
    /// Directions an example in all (K): sets the length of the Walsh functions.
    pub tangents: usize,
    /// Number of the first tangent of this pass, when K is split over several.
    pub first_tangent: usize,
    /// Trainable tensors in canonical order; Walsh functions run over their concatenation.
    pub tensors: &'a [Tensor],
}

/// Names an iteration of a run: no two of them have directions in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// Round of a fleet.
    pub round: u32,
    /// Optimiser step within the round.
    pub number: u32,
    /// Device number; 0 for a single device.
    pub device: u32,
}

impl Iteration {
    /// Step `step` of a single device.
    pub fn of_step(step: u64) -> Self {
        Self { round: (step >> 32) as u32, number: step as u32, device: 0 }
    }
}

impl Directions<'_> {
    /// Adds `scale` times the direction of (`k`, `example`) to `gradient`, the slice of `tensor`. No fused
    /// multiply-add: every party that replays the scalars gets the same bits.
    pub fn accumulate(&self, k: usize, example: usize, tensor: &Tensor, scale: f32, gradient: &mut [f32]) {
        self.each(k, example, tensor.id, gradient, |g, v| *g += scale * v);
    }

    /// ⟨`vector`, the direction of (`k`, `example`)⟩ over `tensor`, whose slice `vector` is and stays.
    pub fn project(&self, k: usize, example: usize, tensor: TensorId, vector: &mut [f32]) -> f64 {
        let mut sum = 0.0;
        self.each(k, example, tensor, vector, |x, v| sum += f64::from(*x) * f64::from(v));
        sum
    }

    fn each(
        &self,
        k: usize,
        example: usize,
        tensor: TensorId,
        out: &mut [f32],
        mut put: impl FnMut(&mut f32, f32),
    ) {
        let walsh = self.family == Family::Walsh && self.tangents > 1;
        let lane = if walsh { 0 } else { k as u32 };
        let example = if self.sharing == Sharing::Shared { WHOLE_BATCH } else { example as u32 };
        let stream = philox(self.run_key, [self.round, self.iteration, self.device, lane << 16 | example]);
        let key = [stream[0], stream[1]];
        if self.family == Family::Gaussian {
            for (b, out) in out.chunks_mut(4).enumerate() {
                let z = normal4(philox(key, [b as u32, tensor.0, 1, 0]));
                out.iter_mut().zip(z).for_each(|(o, z)| put(o, z));
            }
            return;
        }
        // Walsh index of the tensor's first element, within the period 2^a ≥ K.
        let period = self.tangents.next_power_of_two();
        let first = if walsh { self.offset(tensor) } else { 0 };
        for (b, out) in out.chunks_mut(128).enumerate() {
            let words = philox(key, [b as u32, tensor.0, 1, 0]);
            for (j, o) in out.iter_mut().enumerate() {
                let mut bit = words[j / 32] >> (j % 32) & 1;
                if walsh {
                    bit ^= (k & ((first + b * 128 + j) % period)).count_ones() & 1;
                }
                put(o, if bit == 1 { 1.0 } else { -1.0 });
            }
        }
    }

    fn offset(&self, tensor: TensorId) -> usize {
        match self.tensors.binary_search_by_key(&tensor, |t| t.id) {
            Ok(at) => self.tensors[at].range.start,
            Err(_) => 0,
        }
    }
}

impl sprig_engine::dual::Directions for Directions<'_> {
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]) {
        self.each(self.first_tangent + tangent, example, tensor, out, |o, v| *o = v);
    }
}

/// Key of a run from its seed.
pub fn run_key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Standard normal numbers for the start of `tensor`: a stream no training round uses.
pub fn initial_normals(run_key: [u32; 2], tensor: TensorId, out: &mut [f32]) {
    let stream = philox(run_key, [INITIAL_ROUND, 0, 0, WHOLE_BATCH]);
    for (b, out) in out.chunks_mut(4).enumerate() {
        let z = normal4(philox([stream[0], stream[1]], [b as u32, tensor.0, 1, 0]));
        out.iter_mut().zip(z).for_each(|(o, z)| *o = z);
    }
}

/// Box–Muller on both word pairs, in f64 through a software libm: never the platform's.
fn normal4(words: [u32; 4]) -> [f32; 4] {
    let pair = |a: u32, b: u32| {
        let (u1, u2) = ((f64::from(a) + 1.0) / 4_294_967_296.0, f64::from(b) / 4_294_967_296.0);
        let radius = libm::sqrt(-2.0 * libm::log(u1));
        let angle = std::f64::consts::TAU * u2;
        ((radius * libm::cos(angle)) as f32, (radius * libm::sin(angle)) as f32)
    };
    let ((a, b), (c, d)) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_engine::dual::Directions as _;

    fn directions(family: Family, tangents: usize, tensors: &[Tensor]) -> Directions<'_> {
        Directions {
            family,
            sharing: Sharing::PerExample,
            run_key: [0x0123_4567, 0x89ab_cdef],
            round: 3,
            iteration: 5,
            device: 7,
            tangents,
            first_tangent: 0,
            tensors,
        }
    }

    #[test]
    fn signs_follow_the_bits_of_the_known_block() {
        // Stream (3, 5, 7, 2<<16|9), block 0 of tensor 4 starts with the word 967e17df.
        let mut v = [0.0f32; 200];
        directions(Family::Rademacher, 3, &[]).fill(2, 9, TensorId(4), &mut v);
        for (j, v) in v[..32].iter().enumerate() {
            assert_eq!(*v, if 0x967e_17dfu32 >> j & 1 == 1 { 1.0 } else { -1.0 });
        }
        assert_eq!(v[32], if 0x6926_e444u32 & 1 == 1 { 1.0 } else { -1.0 });
    }

    /// T3: E|ĝ|²/|g|² is (d+K+1)/K, (d+K−1)/K and d/K.
    #[test]
    fn second_moments() {
        let (d, k) = (48usize, 8usize);
        let tensors = [Tensor { id: TensorId(0), range: 0..d }];
        let g: Vec<f32> = (0..d).map(|i| ((i * 37 + 11) % 23) as f32 - 11.0).collect();
        let norm: f64 = g.iter().map(|v| f64::from(*v).powi(2)).sum();
        let ratio = |family: Family| {
            let mut total = 0.0;
            for iteration in 0..20_000 {
                let mut all = directions(family, k, &tensors);
                all.iteration = iteration;
                let mut estimate = vec![0.0f32; d];
                for t in 0..k {
                    let mut v = vec![0.0f32; d];
                    all.fill(t, 0, TensorId(0), &mut v);
                    let s: f32 = v.iter().zip(&g).map(|(a, b)| a * b).sum();
                    all.accumulate(t, 0, &tensors[0], s / k as f32, &mut estimate);
                }
                total += estimate.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            }
            total / 20_000.0 / norm
        };
        let (d, k) = (d as f64, k as f64);
        for (family, expected) in [
            (Family::Gaussian, (d + k + 1.0) / k),
            (Family::Rademacher, (d + k - 1.0) / k),
            (Family::Walsh, d / k),
        ] {
            let found = ratio(family);
            assert!((found / expected - 1.0).abs() < 0.05, "{family:?}: {found} against {expected}");
        }
    }

    /// T3: with K = d orthogonal directions the estimate is the gradient.
    #[test]
    fn walsh_is_exact_at_full_count() {
        let d = 64;
        let tensors = [Tensor { id: TensorId(0), range: 0..24 }, Tensor { id: TensorId(1), range: 24..d }];
        let all = directions(Family::Walsh, d, &tensors);
        let g: Vec<f64> = (0..d).map(|i| (i as f64 * 0.37).sin()).collect();
        let mut estimate = vec![0.0f64; d];
        for k in 0..d {
            let mut v = vec![0.0f32; d];
            for t in &tensors {
                all.fill(k, 0, t.id, &mut v[t.range.clone()]);
            }
            let s: f64 = v.iter().zip(&g).map(|(a, b)| f64::from(*a) * b).sum();
            estimate.iter_mut().zip(&v).for_each(|(e, v)| *e += s * f64::from(*v) / d as f64);
        }
        assert!(estimate.iter().zip(&g).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    /// T6: bits of the portable normal numbers; the same came out of a double-precision Box–Muller in Python.
    #[test]
    fn normal_numbers_have_fixed_bits() {
        let bits = normal4([0x967e_17df, 0x6926_e444, 0xcb01_617c, 0x0b1b_74a2]).map(f32::to_bits);
        assert_eq!(bits, KNOWN_NORMALS);
    }

    const KNOWN_NORMALS: [u32; 4] = [3_210_704_760, 1_057_773_590, 1_059_580_884, 1_044_105_466];
}
