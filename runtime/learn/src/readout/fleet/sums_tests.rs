//! Sums as they travel, and what is refused.

use super::*;
use sprig_engine::kernels::Pool;
use sprig_ground::random::SplitMix64;

const SHAPE: Shape = Shape { inputs: 100, kept: 5, classes: 2 };

#[test]
fn weights_unfold_to_those_of_the_row() {
    let row: Vec<f32> = (0..100).map(|i| ((i * 37 + 11) % 50) as f32 * 0.3 - 6.0).collect();
    let (mut whole, mut unfolded) = ([0; 5], [0.0; 100]);
    let size = quantise(SHAPE.directions(), &row, &mut whole);
    let mut weights = [1e-2, -2e-2, 3e-2, 0.0, 5e-3];
    let folded: f64 = weights.iter().zip(&whole).map(|(w, &v)| w * f64::from(v)).sum();
    unfold(SHAPE.directions(), &mut weights, &mut unfolded);
    let own: f64 = unfolded.iter().zip(&row).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum();
    assert!((own / size - folded).abs() < 0.04, "{own} {folded}");
    assert!(whole.iter().any(|v| v.abs() > 8), "{whole:?}");
}

fn some(examples: usize) -> FleetSums {
    let mut random = SplitMix64::new(examples as u64);
    let mut sums = FleetSums::new(SHAPE);
    let rows: Vec<i32> = (0..5 * examples).map(|_| random.below(201) as i32 - 100).collect();
    let answers: Vec<usize> = (0..examples).map(|_| random.below(2)).collect();
    sums.sums.add(&Pool::new(1), &rows, &answers).unwrap();
    (0..examples).for_each(|_| sums.note(random.fraction()));
    sums
}

#[test]
fn sums_come_back_from_what_travels() {
    let (mut all, other) = (some(40), some(31));
    assert_eq!(FleetSums::unpacked(SHAPE, &all.packed(), 40).unwrap(), all);
    all.merge(&other).unwrap();
    let values = all.values();
    assert_eq!(values.len(), SHAPE.values());
    assert_eq!(FleetSums::from_values(SHAPE, &values).unwrap(), all);
    let none = FleetSums::new(SHAPE);
    assert_eq!(FleetSums::from_values(SHAPE, &vec![0.0; SHAPE.values()]).unwrap(), none);
    // The largest there can be.
    let mut numbers = vec![0; SHAPE.numbers()];
    numbers[3] = (1 << 48) - 1;
    numbers[4] = -(1 << 48);
    let extreme = FleetSums::of(SHAPE, &numbers).unwrap();
    let back: Vec<i64> =
        extreme.values().as_chunks::<2>().0.iter().map(|&[a, b]| a as i64 * LIMB + b as i64).collect();
    assert_eq!(back, numbers);
}

#[test]
fn what_no_examples_sum_up_to_is_refused() {
    let sums = some(40);
    let refused = |change: &dyn Fn(&mut FleetSums)| {
        let mut sums = sums.clone();
        change(&mut sums);
        FleetSums::unpacked(SHAPE, &sums.packed(), 40).unwrap_err().to_string()
    };
    assert!(refused(&|s| s.sums.counts[0] += 1).contains("sums of 41 examples; the message says 40"));
    assert!(refused(&|s| s.sums.products[0] = -1).contains("sum of squares of -1"));
    assert!(refused(&|s| s.sums.products[0] = 1 << 30).contains("sum of squares"));
    assert!(refused(&|s| s.sums.products[1] = 1 << 20).contains("sum of products"));
    assert!(refused(&|s| s.sums.classes[3] = -(1 << 20)).contains("sum of a class"));
    assert!(refused(&|s| s.ratio = -1).contains("size of the stream"));
    assert_eq!(FleetSums::unpacked(SHAPE, &[], 40), Err(Flaw::Form));
    let mut values = sums.values();
    values[5] = f32::NAN;
    assert_eq!(FleetSums::from_values(SHAPE, &values), Err(Flaw::Form));
}

#[test]
fn sums_that_are_cut_down_are_those_of_fewer_examples() {
    for (n, most) in [(40, 40), (40, 39), (40, 7), (31, 1), (1000, 12)] {
        let whole = some(n);
        let mut cut = whole.clone();
        cut.cut(most);
        let examples = cut.examples();
        assert!((most..=most + SHAPE.classes as u64).contains(&examples), "{n} {most} {examples}");
        assert_eq!(cut == whole, n as u64 <= most);
        cut.check(examples).unwrap();
        assert_eq!(FleetSums::from_values(SHAPE, &cut.values()).unwrap(), cut);
        let near = |cut: i64, whole: i64| (cut as f64 - whole as f64 * most as f64 / n as f64).abs() < 1.0;
        assert!(cut.numbers().zip(whole.numbers()).all(|(cut, whole)| near(cut, whole)), "{n} {most}");
    }
}
