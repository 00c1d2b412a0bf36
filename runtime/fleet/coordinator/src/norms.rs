//! Norms of updates: which is refused, which is set aside, which counts whole. Those of scalars and of weights' changes are
//! measured by others of their kind, and told apart by their sign.

use crate::ids::DeviceNumber;
use sprig_learn::spry::CLIP;

/// How far an update's norm may lie above the median of those before it.
const FACTOR: f32 = 20.0;
/// Norms that a median needs before anything is held against it.
const QUORUM: usize = 5;
/// Norm no update may have, whatever came before. Scalars are directional derivatives of a loss, of order 1.
const CEILING: f32 = 1e6;

/// Norms of the updates that were applied last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Norms(Vec<f32>);

/// What becomes of contributions that are far from the others of their round.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Devices set aside, ascending: before there is a median, nothing can be refused on arrival.
    pub aside: Vec<DeviceNumber>,
    /// Norms up to which scalars, and changes of weights, count whole where contributions are cut down.
    pub most: [f32; 2],
}

impl Norms {
    /// Norms kept.
    pub(crate) const MOST: usize = 255;

    /// Those of a ledger.
    pub(crate) fn new(norms: Vec<f32>) -> Self {
        Self(norms)
    }

    /// As a ledger keeps them.
    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The norm of a change of weights, told from one of scalars.
    pub fn of_weights(norm: f32) -> f32 {
        -norm
    }

    /// The largest norms that scalars and weights' changes may have from now on.
    pub fn limits(&self) -> [f32; 2] {
        limits(&self.0)
    }

    /// Whether a norm is above the limit of its kind.
    pub fn beyond(norm: f32, limits: [f32; 2]) -> bool {
        norm.abs() > limits[usize::from(norm.is_sign_negative())]
    }

    /// What becomes of contributions of these norms, of one round: measured by its own median, and by those before too where it
    /// has too few for that.
    pub fn bounds(&self, round: &[(DeviceNumber, f32)]) -> Bounds {
        let own: Vec<f32> = round.iter().map(|&(_, norm)| norm).collect();
        let pool = limits(&[self.0.as_slice(), &own].concat());
        let far = |(_, norm): &&(DeviceNumber, f32)| Self::beyond(*norm, pool);
        let most = [false, true].map(|weights| {
            let mut kind = of_kind(&own, weights);
            if kind.len() < QUORUM {
                kind.extend(of_kind(&self.0, weights));
            }
            median(&mut kind).map_or(f32::INFINITY, |median| CLIP * median)
        });
        Bounds { aside: round.iter().filter(far).map(|&(number, _)| number).collect(), most }
    }

    /// Remembers the norms of a round that was applied, but those set aside.
    pub fn add(&mut self, round: &[(DeviceNumber, f32)], aside: &[DeviceNumber]) {
        let near = round.iter().filter(|(number, _)| aside.binary_search(number).is_err());
        self.0.extend(near.map(|&(_, norm)| norm));
        let surplus = self.0.len().saturating_sub(Self::MOST);
        self.0.drain(..surplus);
    }
}

/// The largest norms that scalars and weights' changes may have after those.
fn limits(norms: &[f32]) -> [f32; 2] {
    [false, true].map(|weights| {
        let mut kind = of_kind(norms, weights);
        let enough = kind.len() >= QUORUM;
        median(&mut kind).filter(|_| enough).map_or(CEILING, |median| (FACTOR * median).min(CEILING))
    })
}

fn of_kind(norms: &[f32], weights: bool) -> Vec<f32> {
    norms.iter().filter(|norm| norm.is_sign_negative() == weights).map(|norm| norm.abs()).collect()
}

/// The lower median of norms, of two the smaller; none of norms of zero, which are those of a loss that is flat here and say
/// nothing of the next.
fn median(norms: &mut [f32]) -> Option<f32> {
    let middle = norms.len().checked_sub(1)? / 2;
    let median = *norms.select_nth_unstable_by(middle, f32::total_cmp).1;
    (median > 0.0).then_some(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(norms: &[f32]) -> Vec<(DeviceNumber, f32)> {
        (1..).map(DeviceNumber).zip(norms.iter().copied()).collect()
    }

    #[test]
    fn scalars_and_weights_are_measured_by_others_of_their_kind() {
        let norms = [0.9, 1.1, 1.0, 1.2, 0.8].iter().flat_map(|n| [*n, Norms::of_weights(n / 1000.0)]);
        let [scalars, weights] = Norms::new(norms.collect()).limits();
        assert!((scalars - 20.0).abs() < 1e-5 && (weights - 0.02).abs() < 1e-6, "{scalars} {weights}");
    }

    #[test]
    fn a_first_round_is_measured_by_itself() {
        let found = Norms::default().bounds(&round(&[1.0, 15.0, 0.5, 2.0, 90.0]));
        assert_eq!(found, Bounds { aside: vec![DeviceNumber(5)], most: [6.0, f32::INFINITY] });
        // Of two, the larger is the one to be doubted.
        assert_eq!(Norms::default().bounds(&round(&[15.0, 1.0])).most[0], 3.0);
    }

    #[test]
    fn a_small_round_is_measured_by_those_before_too() {
        let mut norms = Norms::default();
        norms.add(&round(&[1.0, 1.0, 1.0, 1.0, 70.0]), &[DeviceNumber(5)]);
        assert_eq!(norms.as_slice(), [1.0; 4]);
        assert_eq!(
            norms.bounds(&round(&[8.0, 9.0])),
            Bounds { aside: Vec::new(), most: [3.0, f32::INFINITY] }
        );
        assert_eq!(norms.bounds(&round(&[8.0, 9.0, 25.0])).aside, [DeviceNumber(3)]);
        assert_eq!(norms.bounds(&round(&[8.0; 5])).most[0], 24.0);
    }
}
