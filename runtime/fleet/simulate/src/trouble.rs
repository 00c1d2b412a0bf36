//! Devices of a load that do not do their part: how long a round takes then.

use serde::Serialize;
use sprig_ground::names;
use sprig_transport::messages::{Body, Update};

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It loses its power when it has a task, and the broker says so.
    Dead,
    /// It never answers, and its connection stands.
    Hung,
    /// It sends what is refused.
    Refusing,
    /// It takes [`SLOWER`] times as long as the others.
    Slow,
}

names!(Trouble, "trouble", [Dead = "dead", Hung = "hung", Refusing = "refusing", Slow = "slow"]);

/// How many times as long a slow device takes.
pub const SLOWER: u32 = 20;

/// How the devices of a load behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Habits {
    /// Seconds that the slowest of those without trouble works on a task; the fastest takes half of it. 0: all answer at once.
    pub work: f32,
    /// What is wrong with some.
    #[serde(serialize_with = "named")]
    pub trouble: Option<Trouble>,
    /// How many those are: the first ones.
    pub troubled: u32,
}

impl Habits {
    /// What is wrong with device `n`.
    pub(crate) fn trouble_of(&self, n: u32) -> Option<Trouble> {
        self.trouble.filter(|_| n < self.troubled)
    }

    /// Seconds that device `n` works on a task.
    pub(crate) fn work_of(&self, n: u32) -> f32 {
        // Spread evenly, and every device has its own.
        let spread = (n.wrapping_mul(0x9E37_79B9) >> 8) as f32 / (1 << 24) as f32;
        let work = self.work * (0.5 + spread / 2.0);
        if self.trouble_of(n) == Some(Trouble::Slow) { work * SLOWER as f32 } else { work }
    }
}

/// Makes `update` one that is refused: not a number.
pub(crate) fn spoil(update: &mut Update) {
    if let Body::Scalars(scalars) = &mut update.body {
        scalars.iter_mut().take(1).for_each(|scalar| *scalar = f32::NAN);
    }
}

fn named<S: serde::Serializer>(trouble: &Option<Trouble>, to: S) -> Result<S::Ok, S::Error> {
    trouble.map(Trouble::name).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_take_between_half_the_time_and_all_of_it() {
        let habits = Habits { work: 2.0, trouble: Some(Trouble::Slow), troubled: 3 };
        let times: Vec<_> = (3..1000).map(|n| habits.work_of(n)).collect();
        assert!(times.iter().all(|t| (1.0..=2.0).contains(t)));
        let mean = times.iter().sum::<f32>() / times.len() as f32;
        assert!((mean - 1.5).abs() < 0.05, "{mean}");
        assert!((0..3).all(|n| (20.0..=40.0).contains(&habits.work_of(n))));
        let none = Habits::default();
        assert!((0..9).all(|n| none.work_of(n) == 0.0 && none.trouble_of(n).is_none()));
    }
}
