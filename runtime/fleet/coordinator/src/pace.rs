//! How long a round waits for a device once others have reported: as long as it usually takes, or, where that is not known,
//! as long as its own measure says that it takes what the others did; and a grace on top.

use crate::countdown::Millis;

/// The least grace: networks and schedulers need it.
pub(crate) const GRACE: Millis = 2000;
/// A device that says it is slower than others by more than this is waited for no longer: its rate is its own claim.
const SLOWER: f64 = 32.0;

/// What those who have reported tell about a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// The longest that one of them took.
    slowest: Millis,
    /// Tokens that one of them computed, at most, if their rates are known.
    work: f64,
}

impl Pace {
    /// What is known once another device took `time` from its task to its update, at `rate` tokens a second (0: unknown).
    pub(crate) fn and(known: Option<Self>, time: Millis, rate: f32) -> Self {
        let Self { slowest, work } = known.unwrap_or(Self { slowest: 0, work: 0.0 });
        Self { slowest: slowest.max(time), work: work.max(time as f64 * f64::from(rate)) }
    }

    /// Time that a device has from its task on: one that `usual`ly takes so long, or whose rate is `rate`.
    pub(crate) fn allowance(&self, usual: Option<Millis>, rate: f32) -> Millis {
        let expected = match usual {
            Some(usual) => usual.max(self.slowest),
            // A first estimate, hence twice.
            None if rate > 0.0 && self.work > 0.0 => {
                let slowest = self.slowest as f64;
                2 * (self.work / f64::from(rate)).clamp(slowest, slowest * SLOWER) as Millis
            }
            None => 2 * self.slowest,
        };
        expected.saturating_add(GRACE.max(expected / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[(Millis, f32)]) -> Pace {
        times.iter().fold(None, |pace, &(time, rate)| Some(Pace::and(pace, time, rate))).unwrap()
    }

    #[test]
    fn a_device_has_the_time_it_usually_takes_and_half_as_much_again() {
        let pace = of(&[(3000, 0.0), (10_000, 0.0)]);
        assert_eq!(pace.allowance(Some(40_000), 0.0), 60_000);
        assert_eq!(pace.allowance(Some(100), 0.0), 15_000, "whoever is fast has the time of the slowest");
        let quick = of(&[(100, 0.0)]);
        assert_eq!(quick.allowance(Some(200), 0.0), 2200, "no grace is below two seconds");
    }

    #[test]
    fn an_unknown_device_has_time_by_its_rate_within_limits() {
        let pace = of(&[(10_000, 100.0), (4000, 200.0)]);
        assert_eq!(
            pace.allowance(None, 25.0),
            120_000,
            "a quarter of the rate: 40 s, twice, and half as much again"
        );
        assert_eq!(pace.allowance(None, 1000.0), 30_000);
        assert_eq!(pace.allowance(None, 0.001), 32 * 30_000);
        assert_eq!(pace.allowance(None, 0.0), 30_000, "without a rate it is as fast as the others");
    }
}
