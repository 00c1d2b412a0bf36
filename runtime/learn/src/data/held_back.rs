//! Which examples of a set are kept back.

use super::Shuffle;

/// Places of `count` of `examples` examples, ascending: a function of `seed`, and another choice than the order of any
/// epoch. Empty where nothing would be left.
pub fn held_back(examples: usize, count: usize, seed: u64) -> Vec<usize> {
    let Some(order) = Shuffle::new(seed, examples).filter(|_| count < examples) else { return Vec::new() };
    // The endless sequence's last epoch, which no run comes to.
    let first = u64::MAX / examples as u64 * examples as u64 - examples as u64;
    let mut places: Vec<usize> = (0..count as u64).map(|i| order.at(first + i)).collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_fixes_who_is_held_back_and_every_example_may_be() {
        for n in [1, 2, 9, 100] {
            for count in 0..n {
                let places = held_back(n, count, 7);
                assert!(places.len() == count && places.is_sorted_by(|a, b| a < b), "{places:?}");
                assert!(places.iter().all(|&place| place < n) && places == held_back(n, count, 7));
            }
            assert!(held_back(n, n, 7).is_empty());
        }
        assert_ne!(held_back(100, 10, 7), held_back(100, 10, 8));
        let mut times = [0; 20];
        (0..2000).for_each(|seed| held_back(20, 5, seed).iter().for_each(|&place| times[place] += 1));
        assert!(times.iter().all(|&n| (400..600).contains(&n)), "{times:?}");
    }
}
