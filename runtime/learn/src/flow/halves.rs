//! The two halves of a device's examples.

use crate::data::Shuffle;

/// Divides `ids` into two parts that have nothing in common, for the local adapter and for what is shared. Both keep the
/// order of `ids`; the second is the larger one where they are not equal, so that a lone example is in it. A function of
/// its arguments: whoever derives the same device's state anew has the same halves.
pub fn halves(ids: &[usize], seed: u64) -> (Vec<usize>, Vec<usize>) {
    let Some(order) = Shuffle::new(seed, ids.len()) else { return (Vec::new(), Vec::new()) };
    let mut local = vec![false; ids.len()];
    (0..ids.len() as u64 / 2).for_each(|i| local[order.at(i)] = true);
    let of =
        |wanted: bool| ids.iter().zip(&local).filter(|(_, l)| **l == wanted).map(|(id, _)| *id).collect();
    (of(true), of(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T12.
    #[test]
    fn halves_have_everything_once() {
        for n in 0..40 {
            let ids: Vec<usize> = (0..n).map(|i| 5 * i + 2).collect();
            let (local, shared) = halves(&ids, 7);
            assert_eq!((local.len(), shared.len()), (n / 2, n - n / 2));
            assert!(local.is_sorted() && shared.is_sorted());
            let mut all = [local.clone(), shared].concat();
            all.sort_unstable();
            assert_eq!(all, ids);
            assert!(n < 6 || halves(&ids, 8).0 != local, "{n}: the seed has no effect");
        }
    }
}
