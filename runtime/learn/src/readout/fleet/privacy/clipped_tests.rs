//! How far one example moves the sums; that noisy ones are always sums; what much and little noise leave of them.

use super::super::super::packed::most_bytes;
use super::super::super::sums::{Flaw, quantise};
use super::super::CLIP;
use super::super::settle;
use super::*;
use crate::privacy::Seeded;
use sprig_ground::random::SplitMix64;

const SHAPE: Shape = Shape { inputs: 96, kept: 12, classes: 3 };

fn source(seed: u64) -> Seeded {
    Seeded(SplitMix64::new(seed))
}

/// Rows as a model may give them, and as none should.
fn row(random: &mut SplitMix64) -> Vec<f32> {
    let mut row: Vec<f32> = (0..SHAPE.inputs).map(|_| 8.0 * random.fraction() as f32 - 3.0).collect();
    let at = random.below(SHAPE.inputs);
    match random.below(8) {
        0 => row.fill(0.0),
        1 => row[at] = f32::NAN,
        2 => row[at] = f32::INFINITY,
        // All of the size in one number, either way.
        3 => row[at] = 1e30,
        4 => row[at] = -1e30,
        // And in one direction.
        5 => {
            row.fill(0.0);
            row.iter_mut().skip(at % SHAPE.kept).step_by(SHAPE.kept).for_each(|v| *v = 1e20);
        }
        6 => row.iter_mut().for_each(|v| *v = 1e30 * v.signum()),
        _ => {}
    }
    row
}

fn reference(random: &mut SplitMix64) -> Reference {
    let common: Vec<f32> = (0..SHAPE.inputs).map(|_| 8.0 * random.fraction() as f32 - 3.0).collect();
    Reference::new(SHAPE, &common, 5.0)
}

fn clipped(reference: &Reference, rows: &[Vec<f32>], answers: &[usize]) -> Clipped {
    let mut sums = Clipped::new(SHAPE, reference.clone());
    for (row, &answer) in rows.iter().zip(answers) {
        let mut whole = vec![0; SHAPE.kept];
        quantise(SHAPE.directions(), row, &mut whole);
        sums.add(&Pool::new(1), &mut whole, &[answer]).unwrap();
    }
    sums
}

/// Σ (difference)²/2(variance), which is ρ of the discrete Gaussian.
fn rho(a: &Clipped, b: &Clipped, epsilon: Epsilon) -> f64 {
    let noise = Noise::of(epsilon, SHAPE.kept);
    let of = |a: i64, b: i64, variance: u64| {
        let apart = (a - b) as f64;
        apart * apart / (2.0 * variance as f64)
    };
    let zip = |a: &[i64], b: &[i64], variance: u64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| of(a, b, variance)).sum()
    };
    let counts = a.sums.counts.iter().zip(&b.sums.counts);
    let counts: f64 = counts.map(|(&a, &b)| of(a as i64, b as i64, noise.counts)).sum();
    let products: f64 = (0..SHAPE.kept)
        .map(|i| {
            let row = packed_len(i)..packed_len(i + 1) - 1;
            let corner = row.end..row.end + 1;
            zip(&a.sums.products[row.clone()], &b.sums.products[row], noise.products)
                + zip(&a.sums.products[corner.clone()], &b.sums.products[corner], 2 * noise.products)
        })
        .sum();
    counts + zip(&a.sums.classes, &b.sums.classes, noise.classes) + products
}

#[test]
fn no_example_in_place_of_another_moves_sums_further_than_the_noise_is_for() {
    let (mut random, epsilon) = (SplitMix64::new(5), Epsilon::new(2.0).unwrap());
    let (mut most, allowed) = (0.0f64, epsilon.rho());
    for _ in 0..3000 {
        let reference = reference(&mut random);
        let mut rows: Vec<Vec<f32>> = (0..4).map(|_| row(&mut random)).collect();
        let mut answers: Vec<usize> = (0..4).map(|_| random.below(SHAPE.classes)).collect();
        let before = clipped(&reference, &rows, &answers);
        (rows[0], answers[0]) = (row(&mut random), random.below(SHAPE.classes));
        let spent = rho(&before, &clipped(&reference, &rows, &answers), epsilon);
        assert!(spent <= allowed, "{spent} of {allowed}");
        most = most.max(spent);
    }
    // The bound is not a loose one: rows of random directions are nearly as far apart as any.
    assert!(most > 0.7 * allowed, "{most} of {allowed}");
}

/// The worst there is: ⟨x, x′⟩ = −s² within a class.
#[test]
fn the_furthest_example_spends_all_of_it_and_no_more() {
    let shape = Shape { inputs: 64, kept: 64, classes: 2 };
    let (epsilon, reference) = (Epsilon::new(1.0).unwrap(), Reference { row: vec![0; 64], ratio: 0 });
    // |x|² = 1024 = C²; ⟨x, x′⟩ = −512.
    let with = |second: [i32; 2]| {
        let mut sums = Clipped::new(shape, reference.clone());
        let mut rows = vec![0; 64];
        (rows[0], rows[1]) = (second[0], second[1]);
        sums.add(&Pool::new(1), &mut rows, &[1]).unwrap();
        sums
    };
    let (a, b) = (with([32, 0]), with([-16, 27]));
    let noise = Noise::of(epsilon, 64);
    let square = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| ((a - b) * (a - b)) as f64).sum::<f64>();
    let diagonal =
        |sums: &Clipped| -> Vec<i64> { (0..64).map(|i| sums.sums.products[packed_len(i + 1) - 1]).collect() };
    let squares = square(&diagonal(&a), &diagonal(&b));
    let all = square(&a.sums.products, &b.sums.products);
    let spent = squares / (4.0 * noise.products as f64)
        + (all - squares) / (2.0 * noise.products as f64)
        + square(&a.sums.classes, &b.sums.classes) / (2.0 * noise.classes as f64);
    let allowed = epsilon.rho();
    assert!(spent <= allowed && spent > 0.97 * allowed, "{spent} of {allowed}");
}

#[test]
fn rows_are_clipped_to_the_bound_in_whole_numbers() {
    let mut random = SplitMix64::new(8);
    for _ in 0..2000 {
        let reference = reference(&mut random);
        let mut whole = vec![0; SHAPE.kept];
        quantise(SHAPE.directions(), &row(&mut random), &mut whole);
        reference.centre(&mut whole);
        let square: i64 = whole.iter().map(|&v| i64::from(v) * i64::from(v)).sum();
        assert!(square <= (CLIP * SHAPE.kept as u64) as i64, "{whole:?}");
    }
    let mut extreme = vec![i32::MIN, i32::MAX, 0];
    Reference { row: vec![1, -1, 0], ratio: 0 }.centre(&mut extreme);
    assert_eq!(extreme, [-4, 4, 0]);
}

#[test]
fn noisy_sums_are_sums_that_a_coordinator_takes() {
    let mut random = SplitMix64::new(11);
    for draw in 0..400 {
        let n = [1, 2, 3, 20, 60][random.below(5)];
        let epsilon = Epsilon::new([0.01, 0.1, 1.0, 8.0, 100.0][random.below(5)]).unwrap();
        let rows: Vec<Vec<f32>> = (0..n).map(|_| row(&mut random)).collect();
        let answers: Vec<usize> = (0..n).map(|_| random.below(1 + draw % SHAPE.classes)).collect();
        let sums =
            clipped(&reference(&mut random), &rows, &answers).noised(epsilon, &mut source(draw as u64));
        let packed = sums.unwrap().packed();
        assert!(packed.len() <= most_bytes(SHAPE.numbers()));
        let back = FleetSums::unpacked(SHAPE, &packed, n as u64);
        assert_eq!(back.map(|sums| sums.examples()), Ok(n as u64), "ε {epsilon}, {n} examples");
    }
    let none = Clipped::new(SHAPE, reference(&mut random)).noised(Epsilon::new(1.0).unwrap(), &mut source(1));
    assert_eq!(none.unwrap().examples(), 0);
}

/// Examples that nothing is cut off: rows near the reference.
fn near(n: usize) -> (Reference, Vec<Vec<f32>>, Vec<usize>) {
    let mut random = SplitMix64::new(21);
    let common: Vec<f32> = (0..SHAPE.inputs).map(|_| 8.0 * random.fraction() as f32 - 3.0).collect();
    let reference = Reference::new(SHAPE, &common, 5.0);
    let mut off = || common.iter().map(|v| v + 0.5 * random.fraction() as f32 - 0.25).collect();
    let rows = (0..n).map(|_| off()).collect();
    (reference, rows, (0..n).map(|i| i % SHAPE.classes).collect())
}

#[test]
fn the_largest_epsilon_gives_nearly_the_plain_sums() {
    let n = 6000;
    let (reference, rows, answers) = near(n);
    let mut plain = FleetSums::new(SHAPE);
    for (row, &answer) in rows.iter().zip(&answers) {
        let mut whole = vec![0; SHAPE.kept];
        quantise(SHAPE.directions(), row, &mut whole);
        plain.sums.add(&Pool::new(1), &whole, &[answer]).unwrap();
    }
    let sums = clipped(&reference, &rows, &answers);
    let noised = sums.noised(Epsilon::new(100.0).unwrap(), &mut source(3)).unwrap();
    let scale = |i: usize| (plain.sums.products[packed_len(i + 1) - 1] as f64).sqrt();
    let mut at = plain.sums.products.iter().zip(&noised.sums.products);
    for i in 0..SHAPE.kept {
        for j in 0..=i {
            let (a, b) = at.next().unwrap();
            // σ is 27; on the diagonal 38.
            assert!(((a - b) as f64).abs() < 200.0 + 1e-3 * scale(i) * scale(j), "{i} {j}: {a} {b}");
        }
    }
    for (a, b) in plain.counts().iter().zip(noised.counts()) {
        assert!(a.abs_diff(*b) <= 5, "{a} {b}");
    }
    assert_eq!(noised.ratio, n as i64 * reference.ratio);
    // Another draw is another message.
    assert_ne!(sums.noised(Epsilon::new(100.0).unwrap(), &mut source(4)).unwrap(), noised);
}

#[test]
fn a_source_that_fails_leaves_no_sums() {
    let (reference, rows, answers) = near(30);
    let mut few: &[u8] = &[7; 5000];
    assert!(clipped(&reference, &rows, &answers).noised(Epsilon::new(1.0).unwrap(), &mut few).is_err());
}

/// Parts of the noise of four devices, three of which would do: what they add up to leads to sums like those of all their
/// examples with all of the noise, and each part is of its variance.
#[test]
fn parts_of_noise_add_up_to_all_of_it() {
    let mut random = SplitMix64::new(12);
    let reference = reference(&mut random);
    let rows: Vec<Vec<f32>> = (0..240)
        .map(|i| {
            (0..SHAPE.inputs)
                .map(|at| (8.0 * random.fraction() + 3.0 * f64::from((at + i) % 3 == 0)) as f32)
                .collect()
        })
        .collect();
    let answers: Vec<usize> = (0..240).map(|i| i % 3).collect();
    let whole = clipped(&reference, &rows, &answers);
    let devices: Vec<Clipped> =
        rows.chunks(60).zip(answers.chunks(60)).map(|(r, a)| clipped(&reference, r, a)).collect();
    let epsilon = Epsilon::new(20.0).unwrap();
    let mut total = vec![0i64; SHAPE.numbers()];
    for (device, seed) in devices.iter().zip(50..) {
        let part = device.part(epsilon, 3, &mut source(seed)).unwrap();
        total.iter_mut().zip(part).for_each(|(sum, number)| *sum += number);
    }
    let together = settle((SHAPE, &total), 240, &reference, epsilon).unwrap();
    let alone = whole.noised(epsilon, &mut source(1)).unwrap();
    assert_eq!((together.examples(), together.ratio), (240, alone.ratio));
    let trace = |sums: &FleetSums| -> f64 {
        (0..SHAPE.kept).map(|i| sums.sums.products[packed_len(i + 1) - 1] as f64).sum()
    };
    assert!((trace(&together) / trace(&alone) - 1.0).abs() < 0.05, "{} {}", trace(&together), trace(&alone));
    // Of one device, over many draws.
    let noise = Noise::of(epsilon, SHAPE.kept).part(3);
    let exact =
        FleetSums::made(SHAPE, devices[0].sums.clone(), 60 * reference.ratio).numbers().collect::<Vec<_>>();
    let at = SHAPE.numbers() - 2; // a product of two directions
    let draws: Vec<f64> = (0..2000)
        .map(|seed| (devices[0].part(epsilon, 3, &mut source(seed + 100)).unwrap()[at] - exact[at]) as f64)
        .collect();
    let variance = draws.iter().map(|v| v * v).sum::<f64>() / draws.len() as f64;
    assert!((variance / noise.products as f64 - 1.0).abs() < 0.16, "{variance} {}", noise.products);
    assert!(3 * noise.products >= Noise::of(epsilon, SHAPE.kept).products);
    // What no parts add up to.
    assert_eq!(settle((SHAPE, &total[1..]), 240, &reference, epsilon), Err(Flaw::Form));
    assert_eq!(settle((SHAPE, &total), 0, &reference, epsilon), Err(Flaw::Form));
    total[7] = i64::MIN;
    assert!(matches!(settle((SHAPE, &total), 240, &reference, epsilon), Err(Flaw::Range { .. })));
}
