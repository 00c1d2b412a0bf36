//! How well devices are served (specification 3.6): the server's model and each device's own, on data of the devices that
//! nobody trained on.

use serde::Serialize;
use sprig_learn::data::{Examples, Shuffle};
use sprig_learn::evaluate::{Evaluation, wilson};

/// The server's model after a round, on the local test parts of the devices of that round together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AccG(pub Evaluation);

/// Each device's model right after its local training, on its own local test part; all of a round together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AccP(pub Evaluation);

/// One of so many of a device's examples is for testing.
const PART: usize = 5;

/// Takes a fifth of a device's examples, rounded to the nearest number, off `ids` for testing. Both stay in ascending
/// order; a device with one or two examples keeps them all.
pub(super) fn split(ids: &mut Vec<usize>, seed: u64) -> Vec<usize> {
    let count = (ids.len() + PART / 2) / PART;
    let Some(order) = Shuffle::new(seed, ids.len()) else { return Vec::new() };
    let mut places: Vec<usize> = (0..count as u64).map(|i| order.at(i)).collect();
    places.sort_unstable();
    let test: Vec<usize> = places.iter().map(|&place| ids[place]).collect();
    ids.retain(|id| test.binary_search(id).is_err());
    test
}

/// Evaluations of several parts as one; `None` of none.
pub(super) fn together(found: &[Evaluation]) -> Option<Evaluation> {
    let n: u64 = found.iter().map(|e| e.n).sum();
    let hits: u64 = found.iter().map(|e| (e.accuracy * e.n as f64).round() as u64).sum();
    let loss: f64 = found.iter().map(|e| e.loss * e.n as f64).sum();
    let (accuracy, interval) = wilson(hits, n);
    // Errors of means that have nothing to do with each other.
    let errors: f64 = found.iter().map(|e| (e.loss_error * e.n as f64).powi(2)).sum();
    let loss_error = errors.sqrt() / n.max(1) as f64;
    (n > 0).then(|| Evaluation { n, loss: loss / n as f64, loss_error, accuracy, interval, answered: None })
}

/// A device's examples to learn from and to be tested on.
pub(super) struct Shard {
    pub train: Vec<usize>,
    pub test: Vec<usize>,
}

impl Shard {
    /// The test part of `set`, if there is one.
    pub(crate) fn test<'m>(&'m self, set: &'m sprig_learn::data::DataSet) -> Option<Examples<'m>> {
        (!self.test.is_empty()).then(|| Examples::some(set, &self.test))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_set_aside_and_nothing_lost() {
        for n in 0..60 {
            let all: Vec<usize> = (0..n).map(|i| 3 * i + 1).collect();
            let mut train = all.clone();
            let test = split(&mut train, 5);
            assert_eq!(test.len(), (n as f64 / 5.0).round() as usize);
            assert!(train.is_sorted() && test.is_sorted());
            let mut both = [train, test].concat();
            both.sort_unstable();
            assert_eq!(both, all);
        }
    }

    #[test]
    fn parts_count_by_their_size() {
        let found = |n, accuracy, loss| Evaluation {
            n,
            loss,
            loss_error: 0.1,
            accuracy,
            interval: [0.0, 1.0],
            answered: None,
        };
        let whole = together(&[found(3, 1.0 / 3.0, 2.0), found(9, 1.0, 1.0)]).unwrap();
        assert_eq!((whole.n, whole.accuracy, whole.loss), (12, 10.0 / 12.0, 1.25));
        assert_eq!(whole.interval, wilson(10, 12).1);
        assert!((whole.loss_error - 0.1 * 90f64.sqrt() / 12.0).abs() < 1e-12);
        assert_eq!(together(&[]), None);
    }
}
