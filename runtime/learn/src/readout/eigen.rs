//! Eigenvalues and eigenvectors of a symmetric matrix that was reduced, by QL steps with implicit shifts (Golub and Van
//! Loan, *Matrix Computations*, 8.3.3; EISPACK's tql2).

use super::symmetric::{Tridiagonal, add, packed_len};

/// Steps for an eigenvalue; two are usual. What is not done then is left: the vectors are orthogonal in any case.
const MOST_STEPS: usize = 60;

/// Heap bytes of [`lift`] beside the matrix.
pub(super) const fn lift_bytes(n: usize) -> usize {
    8 * n * n + 2 * Tridiagonal::bytes(n)
}

/// Raises every eigenvalue of the n × n matrix `packed` to `least` at least, and leaves its eigenvectors.
pub(super) fn lift(packed: &mut [f64], n: usize, least: f64) {
    let reduced = Tridiagonal::reduce(packed, n, |_| {});
    let (mut values, mut vectors) = (reduced.diagonal.clone(), vec![0.0; n * n]);
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let below = reduced.lower.iter().skip(1).copied();
    decompose(&mut values, &mut below.chain([0.0]).collect::<Vec<_>>(), &mut vectors);
    vectors.chunks_exact_mut(n.max(1)).for_each(|vector| reduced.out_of_basis(vector));
    packed.fill(0.0);
    for (value, vector) in values.iter().zip(vectors.chunks_exact(n.max(1))) {
        for i in 0..n {
            let row = &mut packed[packed_len(i)..packed_len(i + 1)];
            add(row, value.max(least) * vector[i], &vector[..=i]);
        }
    }
}

/// Turns a tridiagonal matrix of `diagonal` and what is `below` it into eigenvalues, in `diagonal`, and the rows of
/// `vectors`, of length n, into as many eigenvectors if they were the unit vectors.
fn decompose(diagonal: &mut [f64], below: &mut [f64], vectors: &mut [f64]) {
    let n = diagonal.len();
    for l in 0..n {
        for _ in 0..MOST_STEPS {
            let small = |i: usize| {
                let size = diagonal[i].abs() + diagonal[i + 1].abs();
                below[i].abs() <= f64::EPSILON * size
            };
            let end = (l..n - 1).find(|&i| small(i)).unwrap_or(n - 1);
            if end == l {
                break;
            }
            step(diagonal, below, vectors, (l, end));
        }
    }
}

/// One QL step of rows `l` to `end`, by rotations from the end upwards.
fn step(diagonal: &mut [f64], below: &mut [f64], vectors: &mut [f64], (l, end): (usize, usize)) {
    let n = diagonal.len();
    let half = (diagonal[l + 1] - diagonal[l]) / (2.0 * below[l]);
    let reach = half.hypot(1.0).copysign(half);
    let mut pull = diagonal[end] - diagonal[l] + below[l] / (half + reach);
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    for i in (l..end).rev() {
        let (f, b) = (sine * below[i], cosine * below[i]);
        let size = f.hypot(pull);
        below[i + 1] = size;
        if size == 0.0 {
            diagonal[i + 1] -= shift;
            below[end] = 0.0;
            return;
        }
        (sine, cosine) = (f / size, pull / size);
        pull = diagonal[i + 1] - shift;
        let r = (diagonal[i] - pull) * sine + 2.0 * cosine * b;
        shift = sine * r;
        diagonal[i + 1] = pull + shift;
        pull = cosine * r - b;
        let (above, under) = vectors.split_at_mut((i + 1) * n);
        for (a, u) in above[i * n..].iter_mut().zip(&mut under[..n]) {
            (*a, *u) = (cosine * *a - sine * *u, sine * *a + cosine * *u);
        }
    }
    diagonal[l] -= shift;
    below[l] = pull;
    below[end] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::random::SplitMix64;

    fn random(n: usize, seed: u64) -> Vec<f64> {
        let mut random = SplitMix64::new(seed);
        (0..packed_len(n)).map(|_| 2.0 * random.fraction() - 1.0).collect()
    }

    /// vᵀAv.
    fn form(packed: &[f64], v: &[f64]) -> f64 {
        let at = |i: usize, j: usize| packed[packed_len(i.max(j)) + i.min(j)];
        (0..v.len()).map(|i| (0..v.len()).map(|j| v[i] * at(i, j) * v[j]).sum::<f64>()).sum()
    }

    #[test]
    fn a_matrix_whose_eigenvalues_are_large_enough_stays_what_it_is() {
        for n in [0, 1, 2, 3, 17, 40] {
            let whole = random(n, 3 + n as u64);
            let mut lifted = whole.clone();
            lift(&mut lifted, n, -1e3);
            let off = whole.iter().zip(&lifted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-12 * (n + 1) as f64, "{n}: {off}");
        }
    }

    /// λ(A) in 1, −1 by construction: A = I − 2vvᵀ, which is lifted to I − (1 + least)·vvᵀ.
    #[test]
    fn eigenvalues_below_the_least_are_raised_to_it_and_others_stay() {
        let n = 12;
        let mut v: Vec<f64> = (0..n).map(|i| f64::from(i as u8) - 3.5).collect();
        let size = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= size);
        let matrix = |pull: f64| -> Vec<f64> {
            let at = |i: usize, j: usize| f64::from(u8::from(i == j)) - pull * v[i] * v[j];
            (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect()
        };
        let mut lifted = matrix(2.0);
        lift(&mut lifted, n, 0.25);
        for (found, wanted) in lifted.iter().zip(matrix(0.75)) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
    }

    #[test]
    fn what_is_lifted_is_positive_along_every_vector() {
        let n = 30;
        let mut lifted = random(n, 9);
        lift(&mut lifted, n, 0.1);
        for seed in 0..200 {
            let mut random = SplitMix64::new(seed);
            let v: Vec<f64> = (0..n).map(|_| 2.0 * random.fraction() - 1.0).collect();
            let square: f64 = v.iter().map(|v| v * v).sum();
            assert!(form(&lifted, &v) > 0.0999 * square);
        }
    }
}
