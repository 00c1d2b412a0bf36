//! Devices that lie: what they send instead of what they found.

use sprig_ground::names;
use sprig_ground::random::SplitMix64;
use sprig_learn::spry::LocalUpdate;
use std::collections::HashMap;

/// How a device lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// What it found, [`FAR`] times as large.
    Scaled,
    /// The reverse of it, [`FAR`] times as large.
    Reversed,
    /// One and the same number everywhere, as large as [`FAR`] times what it found.
    Constant,
    /// What it found in its first round, each time again.
    Replayed,
    /// The reverse of it, just not too large to count whole: all liars together, as if they knew the rule.
    Colluding,
}

names!(
    Attack,
    "way to lie",
    [
        Scaled = "scaled",
        Reversed = "reversed",
        Constant = "constant",
        Replayed = "replayed",
        Colluding = "colluding",
    ]
);

/// How many times as large a lie is: just what a coordinator does not refuse, which is 20 medians.
const FAR: f32 = 15.0;
/// How many times as large a lie is that is to count whole where contributions are cut down to three medians.
const NEAR: f32 = 2.5;

/// Devices that lie, and how.
#[derive(Clone, Debug)]
pub(crate) struct Liars {
    attack: Attack,
    /// Their numbers, and what each found in its first round.
    first: HashMap<u32, Option<Vec<f32>>>,
}

impl Liars {
    /// `count` of `devices` devices, which `seed` chooses.
    pub(crate) fn new(attack: Attack, count: u32, devices: u32, seed: u64) -> Self {
        let mut numbers: Vec<u32> = (1..=devices).collect();
        let mut random = SplitMix64::new(!seed);
        for at in 0..(count.min(devices) as usize) {
            let other = at + random.below(numbers.len() - at);
            numbers.swap(at, other);
        }
        numbers.truncate(count as usize);
        Self { attack, first: numbers.into_iter().map(|number| (number, None)).collect() }
    }

    /// Has `update` of device `number` lie, if that does; `base` are the weights of its share before it.
    pub(crate) fn tamper(&mut self, number: u32, update: &mut LocalUpdate, base: &[f32]) {
        let Some(first) = self.first.get_mut(&number) else { return };
        tamper(self.attack, first, &mut update.scalars);
        let mut change: Vec<f32> = update.weights.iter().zip(base).map(|(w, base)| w - base).collect();
        tamper(self.attack, first, &mut change);
        update.weights.iter_mut().zip(change).zip(base).for_each(|((w, change), base)| *w = base + change);
    }
}

/// Makes a lie of `found`, which may be empty.
fn tamper(attack: Attack, first: &mut Option<Vec<f32>>, found: &mut [f32]) {
    if found.is_empty() {
        return;
    }
    let times = |found: &mut [f32], factor: f32| found.iter_mut().for_each(|n| *n *= factor);
    match attack {
        Attack::Scaled => times(found, FAR),
        Attack::Reversed => times(found, -FAR),
        Attack::Colluding => times(found, -NEAR),
        Attack::Constant => {
            let squares: f64 = found.iter().map(|&n| f64::from(n) * f64::from(n)).sum();
            found.fill(FAR * (squares / found.len() as f64).sqrt() as f32);
        }
        Attack::Replayed => {
            let first = first.get_or_insert_with(|| found.to_vec());
            // A share is another in each round: as much of it as there is.
            found.iter_mut().zip(first.iter().cycle()).for_each(|(n, first)| *n = *first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liars_lie_and_others_do_not() {
        let update = |x: f32| LocalUpdate {
            examples: 1,
            tokens: 1,
            loss: 1.0,
            scalars: vec![x, -3.0 * x],
            sums: Vec::new(),
            bins: None,
            weights: Vec::new(),
        };
        for (attack, second) in [
            (Attack::Scaled, vec![30.0, -90.0]),
            (Attack::Reversed, vec![-30.0, 90.0]),
            (Attack::Colluding, vec![-5.0, 15.0]),
            (Attack::Replayed, vec![1.0, -3.0]),
            (Attack::Constant, vec![15.0 * 20.0f32.sqrt(); 2]),
        ] {
            let mut liars = Liars::new(attack, 2, 10, 7);
            let mut lied = 0;
            for number in 1..=10 {
                liars.tamper(number, &mut update(1.0), &[]);
                let mut found = update(2.0);
                liars.tamper(number, &mut found, &[]);
                if found.scalars != update(2.0).scalars {
                    lied += 1;
                    let near = found.scalars.iter().zip(&second).all(|(a, b)| (a - b).abs() < 1e-3);
                    assert!(near, "{attack}: {:?}", found.scalars);
                }
            }
            assert_eq!(lied, 2, "{attack}");
        }
        let mut found = LocalUpdate { scalars: Vec::new(), weights: vec![1.5, 1.0], ..update(0.0) };
        Liars::new(Attack::Reversed, 1, 1, 7).tamper(1, &mut found, &[1.0, 1.0]);
        assert_eq!(found.weights, [-6.5, 1.0]);
    }
}
