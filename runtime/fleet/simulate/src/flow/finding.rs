//! How well devices are served, in numbers.

use super::control::Control;
use serde::Serialize;
use sprig_ground::random::SplitMix64;
use sprig_learn::outcome::Outcome;

/// What a control came to.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which.
    pub control: Control,
    /// Of the server's adapter, before anything personal runs, on the devices' own test parts.
    pub accuracy_global: f64,
    /// Of the devices' own adapters alone; that of the personal model where there is no other.
    pub accuracy_local: f64,
    /// Of the personal models.
    pub accuracy_personal: f64,
    /// The same where each block takes one adapter alone.
    pub accuracy_personal_hard: f64,
    /// 95 % of `accuracy_personal`, by resampling devices.
    pub interval: [f64; 2],
    /// Mean loss of the personal models, nats.
    pub loss_personal: f64,
    /// Mean loss of the server's adapter, nats.
    pub loss_global: f64,
    /// Devices that the personal model serves better than the server's adapter.
    pub devices_better: usize,
    /// As well.
    pub devices_equal: usize,
    /// Worse.
    pub devices_worse: usize,
    /// Of devices that never took part: accuracy of the server's adapter and of the personal models.
    pub unseen: Option<[f64; 2]>,
    /// Shares of test examples that both are right about, the personal model alone, the server's adapter alone.
    pub right: [f64; 3],
    /// Accuracy of whichever of the two pure paths is right: more than a choice for the whole model can have.
    pub oracle: f64,
    /// Accuracy of the path whose loss is lower, which knows the answer.
    pub oracle_loss: f64,
    /// Mean share of the global adapter, block after block; empty where none is routed.
    pub shares: Vec<f64>,
    /// The same of the examples that the personal model is wrong about.
    pub shares_wrong: Vec<f64>,
    /// Per device: whether it took part, test rows, hits of the server's adapter, of the local one, of the personal model.
    pub devices: Vec<Share>,
    /// Of devices that never took part, where devices differ in how they are served: by how many of their own examples.
    pub joined: Vec<Joined>,
    /// Seconds it took.
    pub seconds: f64,
}

/// How well devices are served that join with so many examples of their own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Joined {
    /// Examples of each.
    pub examples: usize,
    /// Devices that have as many.
    pub devices: usize,
    /// Rows of their test parts.
    pub rows: u64,
    /// Accuracy of the server's adapter,
    pub accuracy_global: f64,
    /// of their own,
    pub accuracy_local: f64,
    /// and of their personal models.
    pub accuracy_personal: f64,
}

/// How well one device is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Whether it took part in the training.
    pub seen: bool,
    /// Rows of its test part.
    pub rows: u64,
    /// Of them right: by the server's adapter,
    pub global: u64,
    /// by its own alone,
    pub local: u64,
    /// by its personal model,
    pub personal: u64,
    /// and by the hard one.
    pub hard: u64,
}

/// What was found on one device's test part: one outcome an example and policy.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub seen: bool,
    pub global: Vec<Outcome>,
    pub local: Vec<Outcome>,
    pub personal: Vec<Outcome>,
    pub hard: Vec<Outcome>,
    /// Shares of the personal model, by example, then by block.
    pub shares: Vec<Vec<f32>>,
}

/// Examples of their own that devices join with.
pub(super) const JOINED: [usize; 4] = [0, 10, 50, 200];

/// Resamples for an interval.
const RESAMPLES: usize = 2000;

impl Finding {
    /// Of what all devices were served.
    pub(super) fn new(control: Control, served: &[Served], seconds: f64) -> Self {
        let devices: Vec<Share> = served.iter().map(Served::share).collect();
        let ratio = |of: fn(&Share) -> u64| accuracy(&devices, of);
        let better = |order: std::cmp::Ordering| {
            devices.iter().filter(|d| d.rows > 0 && d.personal.cmp(&d.global) == order).count()
        };
        let unseen: Vec<Share> = devices.iter().copied().filter(|d| !d.seen).collect();
        let pairs = || {
            served.iter().flat_map(|s| s.global.iter().zip(&s.local).zip(s.personal.iter().zip(&s.shares)))
        };
        let rows: f64 = devices.iter().map(|d| d.rows as f64).sum();
        let count = |of: &dyn Fn(&Outcome, &Outcome, &Outcome) -> f64| {
            pairs().map(|((g, l), (p, _))| of(g, l, p)).sum::<f64>() / rows
        };
        let hits = |o: &Outcome| f64::from(o.hits);
        Self {
            control,
            accuracy_global: ratio(|d| d.global),
            accuracy_local: ratio(|d| d.local),
            accuracy_personal: ratio(|d| d.personal),
            accuracy_personal_hard: ratio(|d| d.hard),
            interval: interval(&devices),
            loss_personal: count(&|_, _, p| p.loss * f64::from(p.rows)),
            loss_global: count(&|g, _, _| g.loss * f64::from(g.rows)),
            devices_better: better(std::cmp::Ordering::Greater),
            devices_equal: better(std::cmp::Ordering::Equal),
            devices_worse: better(std::cmp::Ordering::Less),
            unseen: (!unseen.is_empty())
                .then(|| [accuracy(&unseen, |d| d.global), accuracy(&unseen, |d| d.personal)]),
            right: [
                count(&|g, _, p| hits(g).min(hits(p))),
                count(&|g, _, p| (hits(p) - hits(g)).max(0.0)),
                count(&|g, _, p| (hits(g) - hits(p)).max(0.0)),
            ],
            oracle: count(&|g, l, _| hits(g).max(hits(l))),
            oracle_loss: count(&|g, l, _| if l.loss < g.loss { hits(l) } else { hits(g) }),
            shares: mean_shares(pairs().map(|((_, _), (_, shares))| shares)),
            shares_wrong: mean_shares(
                pairs().filter(|(_, (p, _))| p.hits < p.rows).map(|((_, _), (_, shares))| shares),
            ),
            devices,
            joined: Vec::new(),
            seconds,
        }
    }

    /// The same, and how devices were served with each number of [`JOINED`] examples, where there are such.
    pub(super) fn with_joined(mut self, joined: &[Vec<Served>; JOINED.len()]) -> Self {
        let found = JOINED.into_iter().zip(joined).filter(|(_, served)| !served.is_empty());
        self.joined = found.map(|(examples, served)| Joined::new(examples, served)).collect();
        self
    }
}

impl Joined {
    fn new(examples: usize, served: &[Served]) -> Self {
        let devices: Vec<Share> = served.iter().map(Served::share).collect();
        Self {
            examples,
            devices: devices.len(),
            rows: devices.iter().map(|d| d.rows).sum(),
            accuracy_global: accuracy(&devices, |d| d.global),
            accuracy_local: accuracy(&devices, |d| d.local),
            accuracy_personal: accuracy(&devices, |d| d.personal),
        }
    }
}

impl Served {
    fn share(&self) -> Share {
        let sum = |outcomes: &[Outcome]| outcomes.iter().map(|o| u64::from(o.hits)).sum();
        Share {
            seen: self.seen,
            rows: self.personal.iter().map(|o| u64::from(o.rows)).sum(),
            global: sum(&self.global),
            local: sum(&self.local),
            personal: sum(&self.personal),
            hard: sum(&self.hard),
        }
    }
}

fn accuracy(devices: &[Share], of: impl Fn(&Share) -> u64) -> f64 {
    let rows: u64 = devices.iter().map(|d| d.rows).sum();
    devices.iter().map(of).sum::<u64>() as f64 / rows.max(1) as f64
}

/// 2.5 % to 97.5 % of the personal models' accuracy over resamples of the devices.
fn interval(devices: &[Share]) -> [f64; 2] {
    let mut random = SplitMix64::new(1);
    let mut resample = || {
        let drawn: Vec<Share> = (0..devices.len()).map(|_| devices[random.below(devices.len())]).collect();
        accuracy(&drawn, |d| d.personal)
    };
    let mut found: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
    found.sort_unstable_by(f64::total_cmp);
    [found[RESAMPLES / 40], found[RESAMPLES - 1 - RESAMPLES / 40]]
}

fn mean_shares<'s>(shares: impl Iterator<Item = &'s Vec<f32>>) -> Vec<f64> {
    let (mut sums, mut n) = (Vec::new(), 0.0f64);
    for shares in shares {
        sums.resize(shares.len(), 0.0f64);
        sums.iter_mut().zip(shares).for_each(|(sum, q)| *sum += f64::from(*q));
        n += 1.0;
    }
    sums.iter_mut().for_each(|sum| *sum /= n.max(1.0));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(hit: bool, loss: f64) -> Outcome {
        Outcome { loss, rows: 1, hits: u32::from(hit), record: 1.0, ..Outcome::default() }
    }

    /// T17, and what each number counts.
    #[test]
    fn devices_and_examples_are_counted() {
        let of = |hits: [bool; 3]| hits.map(|hit| outcome(hit, if hit { 0.1 } else { 2.0 })).to_vec();
        let one = Served {
            seen: true,
            global: of([true, false, false]),
            local: of([false, true, false]),
            personal: of([true, true, false]),
            hard: of([false, true, false]),
            shares: vec![vec![1.0, 0.0], vec![0.5, 0.0], vec![0.0, 0.25]],
        };
        let two = Served {
            seen: false,
            global: of([true, true, true]),
            local: of([false, false, true]),
            personal: of([true, true, false]),
            hard: of([true, true, true]),
            shares: vec![vec![1.0, 1.0]; 3],
        };
        let both = [one, two];
        let found = Finding::new(Control::Flow, &both, 0.0);
        let sixths = |v: f64| (v * 6.0).round();
        assert_eq!([found.accuracy_global, found.accuracy_local].map(sixths), [4.0, 2.0]);
        assert_eq!([found.accuracy_personal, found.accuracy_personal_hard].map(sixths), [4.0, 4.0]);
        assert_eq!((found.devices_better, found.devices_equal, found.devices_worse), (1, 0, 1));
        assert_eq!(found.right.map(sixths), [3.0, 1.0, 1.0]);
        assert_eq!(found.unseen, Some([1.0, 2.0 / 3.0]));
        assert!(
            found.oracle >= found.accuracy_global.max(found.accuracy_local) && sixths(found.oracle) == 5.0
        );
        assert_eq!(found.shares, [0.75, 3.25 / 6.0]);
        assert_eq!(found.shares_wrong, [0.5, 0.625]);
        assert!(found.joined.is_empty());
        let joined = found.clone().with_joined(&[Vec::from(both), Vec::new(), Vec::new(), Vec::new()]).joined;
        assert_eq!(joined.len(), 1);
        let Joined { examples, devices, rows, accuracy_global, .. } = joined[0];
        assert_eq!((examples, devices, rows, sixths(accuracy_global)), (0, 2, 6, 4.0));
        assert!(found.interval[0] <= found.accuracy_personal && found.accuracy_personal <= found.interval[1]);
    }
}
