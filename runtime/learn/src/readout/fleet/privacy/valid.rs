//! From noisy sums to sums that examples could have: what a coordinator checks holds, and a fit finds no direction without
//! spread. Nothing here sees an example.

use super::super::super::eigen::lift;
use super::super::super::features::MOST_EXAMPLES;
use super::super::super::sums::Sums;
use super::super::super::symmetric::{add, packed_len};
use super::super::sums::{Flaw, FleetSums, Shape};
use super::CLIP;
use super::noise::Noise;
use super::reference::Reference;
use crate::privacy::Epsilon;

/// Of the size of the noise's own matrix, 2σ√m, what every direction's spread within classes is at least: what noise makes
/// small is not to be divided by, and a coordinator knows of no noise when it chooses λ. Of the demo's task a 128th to a 12th
/// are within a point of each other for four devices (ε of 1 to 16), four tenths lose 5 points and more; one device alone
/// gains 4 points from a 32nd to a tenth at ε = 8.
const FLOOR: f64 = 1.0 / 16.0;

/// Numbers of a total are within this of 0: f64 holds them exactly.
const FURTHEST: i64 = 1 << 52;

/// Sums of centred, clipped examples after noise.
pub(super) struct Noisy {
    /// How many there are, which is known.
    pub(super) examples: u64,
    /// Of each class.
    pub(super) counts: Vec<i64>,
    /// Σ x of each class.
    pub(super) classes: Vec<i64>,
    /// Σ xxᵀ, the lower triangle.
    pub(super) products: Vec<i64>,
    /// σ, the deviation of the noise of products.
    pub(super) spread: f64,
}

impl Noisy {
    /// The same, known to have that noise.
    pub(super) fn spread(self, noise: Noise) -> Self {
        Self { spread: (noise.products as f64).sqrt(), ..self }
    }
}

/// Sums of φ of a total of parts ([`Clipped::part`](super::Clipped::part)) over devices with `examples` examples, which have noise for
/// `epsilon` together and measure from `reference`.
///
/// # Errors
/// Numbers that no such parts add up to.
pub fn settle(
    (shape, total): (Shape, &[i64]),
    examples: u64,
    reference: &Reference,
    epsilon: Epsilon,
) -> Result<FleetSums, Flaw> {
    if total.len() != shape.numbers() || !(1..=MOST_EXAMPLES).contains(&examples) {
        return Err(Flaw::Form);
    }
    if let Some(&found) = total.iter().find(|number| number.unsigned_abs() > FURTHEST.unsigned_abs()) {
        return Err(Flaw::Range { what: "sum", found, limit: FURTHEST });
    }
    let (counts, rest) = total.split_at(shape.classes);
    let (classes, products) = rest[1..].split_at(shape.classes * shape.kept);
    let (counts, classes, products) = (counts.to_vec(), classes.to_vec(), products.to_vec());
    let noisy = Noisy { examples, counts, classes, products, spread: 0.0 };
    Ok(valid(&noisy.spread(Noise::of(epsilon, shape.kept)), shape, reference))
}

/// Sums of φ that `noisy` ones are the nearest to, by classes: their sizes add up, their means are no longer than C, and
/// what products are left without the means spreads along every direction, by no more than nC² in all.
pub(super) fn valid(noisy: &Noisy, shape: Shape, reference: &Reference) -> FleetSums {
    let (m, n) = (shape.kept, noisy.examples as f64);
    let counts = shares(&noisy.counts, noisy.examples);
    let mut means = means(noisy, &counts, m);
    let mut within: Vec<f64> = noisy.products.iter().map(|&v| v as f64).collect();
    spread_out(&mut within, &means, &counts, -1.0);
    // Rounding to whole numbers has a size of √m.
    lift(&mut within, m, (m as f64).sqrt() * (2.0 * FLOOR * noisy.spread).max(1.0));
    let trace: f64 = (0..m).map(|i| within[packed_len(i + 1) - 1]).sum();
    let most = n * (CLIP * m as u64) as f64;
    if trace > most {
        within.iter_mut().for_each(|v| *v *= most / trace);
    }
    for mean in means.chunks_exact_mut(m) {
        mean.iter_mut().zip(&reference.row).for_each(|(v, &own)| *v += f64::from(own));
    }
    spread_out(&mut within, &means, &counts, 1.0);
    whole(&within, &means, counts, (shape, reference))
}

/// Counts that add up to `all`, of 1 at least where there are so many: moved alike, cut, scaled, rounded one after another.
fn shares(noisy: &[i64], all: u64) -> Vec<u64> {
    let classes = noisy.len() as u64;
    let least = u64::from(all >= classes);
    let over = (noisy.iter().map(|&n| n as f64).sum::<f64>() - all as f64) / classes as f64;
    let held = || noisy.iter().map(|&n| (n as f64 - over - least as f64).max(0.0));
    let (rest, total) = ((all - least * classes) as f64, held().sum::<f64>());
    let (mut sum, mut before) = (0.0, 0);
    let next = |n: f64| {
        sum += n;
        // 0 of nothing is none to a cast.
        let now = (rest * (sum / total)).round() as u64;
        least + now - std::mem::replace(&mut before, now)
    };
    held().map(next).collect()
}

/// The mean of each class, no longer than C; 0 of one that has no examples.
fn means(noisy: &Noisy, counts: &[u64], m: usize) -> Vec<f64> {
    let mut means: Vec<f64> = noisy.classes.iter().map(|&v| v as f64).collect();
    for (mean, &n) in means.chunks_exact_mut(m).zip(counts) {
        let size = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
        let most = n as f64 * ((CLIP * m as u64) as f64).sqrt();
        let by = if n == 0 { 0.0 } else { (most / size).min(1.0) / n as f64 };
        mean.iter_mut().for_each(|v| *v *= by);
    }
    means
}

/// A += sign·Σ n·mean·meanᵀ.
fn spread_out(a: &mut [f64], means: &[f64], counts: &[u64], sign: f64) {
    let m = means.len() / counts.len();
    for (mean, &n) in means.chunks_exact(m).zip(counts) {
        for i in 0..m {
            add(&mut a[packed_len(i)..packed_len(i + 1)], sign * n as f64 * mean[i], &mean[..=i]);
        }
    }
}

/// Rounded so that Cauchy's and Schwarz's inequalities stay: squares up, all else towards 0. A direction whose squares no
/// examples sum up to is made smaller as a whole.
fn whole(
    products: &[f64],
    means: &[f64],
    counts: Vec<u64>,
    (shape, reference): (Shape, &Reference),
) -> FleetSums {
    let (m, n) = (shape.kept, counts.iter().sum::<u64>());
    let most = (n as i64 * shape.most_square() - 1).max(0) as f64;
    let square = |i: usize| products[packed_len(i + 1) - 1];
    let by: Vec<f64> =
        (0..m).map(|i| if square(i) > most { (most / square(i)).sqrt() } else { 1.0 }).collect();
    let mut sums = Sums::new(shape.directions(), shape.classes);
    for i in 0..m {
        let rows = packed_len(i)..packed_len(i + 1);
        for (j, (to, from)) in sums.products[rows.clone()].iter_mut().zip(&products[rows]).enumerate() {
            let value = from * by[i] * by[j];
            *to = if i == j { value.ceil() } else { value } as i64;
        }
    }
    for (class, &n) in counts.iter().enumerate() {
        for (i, by) in by.iter().enumerate() {
            sums.classes[class * m + i] = (n as f64 * means[class * m + i] * by) as i64;
        }
    }
    sums.counts = counts;
    FleetSums::made(shape, sums, n as i64 * reference.ratio)
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn shares_are_of_all_examples_and_each_class_has_one() {
        assert_eq!(shares(&[3, 4, 5], 12), [3, 4, 5]);
        assert_eq!(shares(&[-9, 4, 5], 12), [1, 5, 6]);
        assert_eq!(shares(&[1 << 40, -(1 << 40), 0], 20), [18, 1, 1]);
        assert_eq!(shares(&[5, -5], 0), [0, 0]);
        for seed in 0..2000u64 {
            let number = |i: u64| (sprig_ground::random::mix(seed * 5 + i) % 400) as i64 - 200;
            let noisy: Vec<i64> = (0..1 + seed % 5).map(number).collect();
            let shares = shares(&noisy, seed);
            assert_eq!(shares.iter().sum::<u64>(), seed, "{noisy:?}");
            assert!(seed < 5 || shares.iter().all(|&n| n > 0), "{noisy:?} {shares:?}");
        }
    }
}
